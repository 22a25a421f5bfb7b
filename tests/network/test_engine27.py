"""A sample of stories with an engine of OpenVPN 2.7, with servers of its version and of the machine's.

It tells of name servers and of the default route otherwise than 2.6.  `make test-engine27` runs all tests with it.
"""

from pathlib import Path

import pytest

from ..lab.engine27 import PROGRAM
from ..lab.network import CABLE
from ..support.authentication import answer
from ..support.sessions import CONNECTED, FAILED
from .world import FAR, FAR6, SERVERS, World

PUSHES = (
    *("redirect-gateway def1 ipv6", f"route {SERVERS[1]} 255.255.255.255 net_gateway"),
    *("dhcp-option DNS 198.18.0.1", "dhcp-option DOMAIN a.example", "dns search-domains b.example"),
)


@pytest.mark.parametrize("version", ["2.6", "2.7"])
def test_settings(world: World, version: str) -> None:
    resolved = world.lab.resolved()
    engine = world.lab.openvpn27
    world.server(*PUSHES, program=engine if version == "2.7" else "openvpn")
    world.start(f"--openvpn={engine}")
    session = world.session("auth-user-pass")
    answer(session, username="alice", password="open sesame")
    for member in ("Connect", "Restart"):
        before = session.seen
        session.call(member)
        session.wait(CONNECTED, before)
        assert (world.way(FAR), world.way(FAR6), world.way(SERVERS[1])) == ("tunnel", "tunnel", CABLE)
        assert resolved.ctl("dns", "tun0").split()[-1] == "198.18.0.1"
        assert set(resolved.ctl("domain", "tun0").split()[3:]) == {"a.example", "b.example", "~."}
    assert Path(f"/proc/{session.engine.pid}/maps").read_text().count(str(PROGRAM.parent))
    session.call("Disconnect")
    assert world.way(FAR) == world.way(FAR6) == CABLE


def test_an_engine_that_dies(world: World) -> None:
    world.server("redirect-gateway def1 ipv6")
    world.start(f"--openvpn={world.lab.openvpn27}")
    session = world.session()
    session.connect()
    session.engine.kill()
    session.wait(FAILED)
    world.wait_way(FAR, CABLE)
