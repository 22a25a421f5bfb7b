"""Name servers of sessions by resolvconf(8): openresolv's, and Debian's own."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.private_etc import OF_RESOLV_CONF
from ...lab.resolvconf import Resolvconf
from ...lab.service import Service
from ...lab.surroundings import SHARED
from ...support.sessions import UserSession, begin, kill_with_sessions, until

pytestmark = pytest.mark.changes_names

LAN, TUNNEL = "192.0.2.80", "203.0.113.80"
WWW = "www.example"


@pytest.fixture(params=["openresolv", "resolvconf"])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The program is there, and this machine uses the LAN's name server by it; to be asked for before the lab."""
    with Resolvconf(request.param, SHARED / f"resolvconf-{tmp_path.name}", SERVER_ADDRESS):
        yield request.param


def start(lab: Lab) -> Service:
    lab.dns({WWW: [LAN]}, only=False)
    pushes = (f"dhcp-option DNS {TUNNEL_ADDRESS}", "dhcp-option DOMAIN corp.example")
    lab.server(pushes=(*USUAL_PUSHES, *pushes))
    lab.dns({WWW: [TUNNEL], "host.corp.example": [TUNNEL]}, address=TUNNEL_ADDRESS, only=False)
    return lab.supervisor()


def address_of(lab: Lab, name: str = WWW) -> str:
    done = lab.client_side.run(["getent", "ahostsv4", name], "alice")
    return done.stdout.split()[0] if done.stdout else ""


def connected(lab: Lab) -> UserSession:
    session = begin(lab)
    session.connect()
    return session


def test_names_are_looked_up_through_the_tunnel(package: str, lab: Lab) -> None:
    before = OF_RESOLV_CONF.read_text()
    assert SERVER_ADDRESS in before
    service = start(lab)
    service.process.wait_line(f"Name servers are set by {package} ")
    session = connected(lab)
    assert address_of(lab) == TUNNEL
    assert address_of(lab, "host") == TUNNEL
    assert (SERVER_ADDRESS in OF_RESOLV_CONF.read_text()) == (package == "resolvconf")
    session.call("Disconnect")
    until(lambda: not lab.client_side.devices() - {"cable"})
    assert OF_RESOLV_CONF.read_text() == before
    assert address_of(lab) == LAN


def test_a_killed_service_leaves_names_to_the_tunnel(package: str, lab: Lab) -> None:
    service = start(lab)
    connected(lab)
    assert address_of(lab) == TUNNEL
    service.process.signal(signal.SIGKILL)
    service.process.wait()
    lab.supervisor().process.wait_line("Took over 1 session")
    assert address_of(lab) == TUNNEL
    assert service.log.count("Gave back") == 0


def test_killed_with_its_sessions_it_is_cleaned_up_after_at_the_next_start(package: str, lab: Lab) -> None:
    before = OF_RESOLV_CONF.read_text()
    service = start(lab)
    connected(lab)
    kill_with_sessions(service.process)
    lab.supervisor().process.wait_line("Gave back the name servers that an earlier instance had set for tun0")
    assert OF_RESOLV_CONF.read_text() == before
