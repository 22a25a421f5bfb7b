"""The VPN server's name is looked up past the tunnel that is down, whatever sets its name servers."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

import pytest

from ...lab.connection import CONFIGURATION
from ...lab.lab import Lab
from ...lab.network import CABLE, SERVER_ADDRESS, SERVER_ADDRESS6, ip
from ...lab.openvpn import TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.private_etc import OF_RESOLV_CONF, PrivateEtc
from ...lab.resolvconf import Resolvconf
from ...lab.surroundings import SHARED
from ...support.sessions import CONNECTED, RECONNECTING, UserSession

NAME = "vpn.lan.example"
MOVED_TO = "198.51.100.4"
KINDS = ["file", "openresolv", "resolvconf", "resolved"]


@pytest.fixture
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """What sets name servers; to be asked for before the lab."""
    name = str(request.param)
    with contextlib.ExitStack() as stack:
        if name == "file":
            stack.enter_context(PrivateEtc(SHARED / f"etc-{tmp_path.name}"))
            OF_RESOLV_CONF.write_text(f"nameserver {SERVER_ADDRESS6}\nsearch lan.example\n")
        elif name != "resolved":
            package = cast(Literal["openresolv", "resolvconf"], name)
            stack.enter_context(Resolvconf(package, SHARED / f"resolvconf-{tmp_path.name}", SERVER_ADDRESS6))
        yield name


class Place:
    """A session that is connected to a server by its name, and keeps its device when it loses that."""

    def __init__(self, lab: Lab, kind: str, name: str = NAME) -> None:
        self.lab = lab
        self.resolved = lab.resolved() if kind == "resolved" else None
        if self.resolved is not None:
            self.resolved.ctl("dns", "cable", SERVER_ADDRESS6)
        ip("-n", lab.server_side.name, "address", "add", f"{MOVED_TO}/24", "dev", CABLE)
        self.machines = lab.dns({NAME: [SERVER_ADDRESS]}, address=SERVER_ADDRESS6, only=False)
        pushes = (*USUAL_PUSHES, f"dhcp-option DNS {TUNNEL_ADDRESS}", "dhcp-option DOMAIN corp.example")
        self.server = lab.server(pushes=pushes, more=["keepalive 1 3"])
        self.tunnels = lab.dns({NAME: ["203.0.113.9"]}, address=TUNNEL_ADDRESS, only=False)
        self.service = lab.supervisor()
        owner = lab.connection("alice")
        more = ["connect-timeout 1", "connect-retry 1 1", "persist-tun"]
        profile = owner.import_profile("work", lab.profile(remotes=[f"{name} 1194"], more=more))
        owner.call(profile, CONFIGURATION, "SetOverride", "sv", "persist-tun", ["b", True])
        self.session = UserSession(owner, profile, owner.new_tunnel(profile))
        self.session.connect()

    def server_moves(self, addresses: tuple[str, ...] = (MOVED_TO,)) -> None:
        """To another address, by which the machine's name server knows it."""
        self.server.stop()
        self.machines.stop()
        self.machines = self.lab.dns({NAME: addresses}, address=SERVER_ADDRESS6, only=False)
        self.lab.server(more=[f"local {MOVED_TO}"])

    def follows(self) -> None:
        """Wait until the session is connected there."""
        before = self.session.seen
        self.session.wait(RECONNECTING, before, deadline=30)
        self.session.wait(CONNECTED, before, deadline=60)
        assert self.session.get("connected_to") == ["udp", MOVED_TO, 1194]
        assert f"asked {NAME}" not in self.tunnels.text


@pytest.mark.parametrize("kind", KINDS, indirect=True)
def test_the_machines_own_name_servers_are_asked(kind: str, lab: Lab) -> None:
    place = Place(lab, kind)
    place.server_moves()
    place.follows()


@pytest.mark.parametrize("kind", ["file"], indirect=True)
def test_in_the_machines_own_domains(kind: str, lab: Lab) -> None:
    """A name without a dot, which is searched."""
    place = Place(lab, kind, NAME.partition(".")[0])
    place.server_moves()
    place.follows()


@pytest.mark.changes_names
@pytest.mark.parametrize("kind", ["file"], indirect=True)
def test_what_another_program_has_written_since_counts(kind: str, lab: Lab) -> None:
    place = Place(lab, kind)
    other = lab.dns({NAME: [MOVED_TO]}, only=False)
    OF_RESOLV_CONF.write_text(f"nameserver {SERVER_ADDRESS}\n")
    place.service.process.wait_line("another program took it away, and it has been put back")
    place.server_moves(("203.0.113.8",))
    place.follows()
    assert f"asked {NAME}" in other.text


@pytest.mark.parametrize("kind", ["file", "resolved"], indirect=True)
def test_the_file_of_hosts_counts_first(kind: str, lab: Lab) -> None:
    place = Place(lab, kind)
    place.server_moves(("203.0.113.8",))
    hosts = Path("/etc/hosts")
    hosts.write_text(f"{hosts.read_text()}\n{MOVED_TO} {NAME}\n")
    place.follows()


@pytest.mark.changes_names
@pytest.mark.parametrize("kind", ["resolved"], indirect=True)
def test_name_servers_that_resolved_has_for_no_link(kind: str, lab: Lab) -> None:
    directory = Path("/run/systemd/resolved.conf.d")
    directory.mkdir(parents=True)
    try:
        (directory / "lab.conf").write_text(f"[Resolve]\nDNS={SERVER_ADDRESS6}\n")
        place = Place(lab, kind)
        assert place.resolved is not None
        place.resolved.ctl("revert", "cable")
        place.server_moves()
        place.follows()
    finally:
        (directory / "lab.conf").unlink()
        directory.rmdir()
