"""Name servers of sessions in /etc/resolv.conf, where nothing else maintains it."""

import os
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from ....policy.resolv_conf import with_servers
from ...lab.connection import CONFIGURATION, INSPECTION, BusClient
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.private_etc import OF_RESOLV_CONF
from ...lab.surroundings import RESOLV_CONF
from ...support.service_life import make_read_only
from ...support.sessions import UserSession, kill_with_sessions, until

LAN, TUNNEL, OTHER = "192.0.2.80", "203.0.113.80", "203.0.113.81"
WWW = "www.example"
OTHER_TUNNEL = "198.18.1.1"
DNS = (f"dhcp-option DNS {TUNNEL_ADDRESS}", "dhcp-option DOMAIN corp.example")
BEFORE = f"# the administrator's\nnameserver {SERVER_ADDRESS}\nsearch lan.example\noptions timeout:1\n"
SETTER = "openvpn3-service-sessionmgr: name setter"


class Place:
    """A machine whose resolv.conf names the LAN's name server; one behind the tunnel gives other answers."""

    def __init__(self, lab: Lab, *options: str, pushes: tuple[str, ...] = DNS) -> None:
        self.lab = lab
        lab.dns({WWW: [LAN]}, only=False)
        lab.server(pushes=(*USUAL_PUSHES, *pushes))
        lab.dns({WWW: [TUNNEL], "host.corp.example": [TUNNEL]}, address=TUNNEL_ADDRESS, only=False)
        OF_RESOLV_CONF.write_text(BEFORE)
        self.options = options
        self.service = lab.supervisor(*options)

    def add_server(self) -> None:
        self.lab.server(
            port=1195, subnet="198.18.1.0", subnet6="2001:db8:4::/64", pushes=[f"dhcp-option DNS {OTHER_TUNNEL}"]
        )
        self.lab.dns({WWW: [OTHER]}, address=OTHER_TUNNEL, only=False)

    def connected(self, user: BusClient | None = None, port: int = 1194, scope: str = "") -> UserSession:
        owner = user or self.lab.connection("alice")
        profile = owner.import_profile("work", self.lab.profile(remotes=[f"{SERVER_ADDRESS} {port}"]))
        owner.call(profile, CONFIGURATION, "SetOverride", "sv", "dns-scope", ["s", scope])
        made = UserSession(owner, profile, owner.new_tunnel(profile))
        made.connect()
        return made

    def end(self, session: UserSession) -> None:
        session.call("Disconnect")
        until(lambda: not self.lab.client_side.devices() - {"cable"})

    def address_of(self, name: str = WWW) -> str:
        done = self.lab.client_side.run(["getent", "ahostsv4", name], "alice")
        return done.stdout.split()[0] if done.stdout else ""

    def says(self, text: str) -> None:
        self.service.process.wait_line(re.escape(text))


def setters() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [])[:1] == [SETTER]]


def test_names_are_looked_up_through_the_tunnel_and_the_file_comes_back(lab: Lab) -> None:
    place = Place(lab)
    place.says("Name servers are set by /etc/resolv.conf (nothing else maintains /etc/resolv.conf)")
    inode = OF_RESOLV_CONF.stat().st_ino
    session = place.connected()
    assert place.address_of() == TUNNEL
    assert place.address_of("host") == TUNNEL
    assert OF_RESOLV_CONF.stat().st_ino == inode
    place.end(session)
    assert OF_RESOLV_CONF.read_text() == BEFORE
    assert place.address_of() == LAN


def test_it_is_read_only_for_a_while(lab: Lab) -> None:
    """What a session has had is taken back when that is possible; one that begins meanwhile is connected without."""
    place = Place(lab)
    until(lambda: len(setters()) == 2)
    session = place.connected()
    writable = make_read_only(place.service.pid, Path("/etc/resolv.conf"))
    place.end(session)
    place.says("Name servers could not be given back: /etc/resolv.conf: Read-only file system")
    assert OF_RESOLV_CONF.read_text() != BEFORE
    writable()
    place.says("The name servers set for tun0 have been given back")
    assert OF_RESOLV_CONF.read_text() == BEFORE
    writable = make_read_only(place.service.pid, Path("/etc/resolv.conf"))
    session = place.connected(session.user)
    assert "not used by this machine: /etc/resolv.conf: Read-only file system" in " ".join(
        session.user.get(session.path, "notices", INSPECTION)
    )
    writable()
    place.end(session)
    assert OF_RESOLV_CONF.read_text() == BEFORE
    assert place.address_of() == LAN


def test_the_process_that_writes_it_is_root_without_a_capability(lab: Lab) -> None:
    place = Place(lab)
    session = place.connected()
    until(lambda: len(setters()) == 2)  # another one while something is done
    for one in setters():
        status = Path(f"/proc/{one.pid}/status").read_text()
        assert one.uids().real == 0
        assert re.findall(r"Cap(?:Prm|Eff|Bnd|Amb):\t(\w+)", status) == ["0" * 16] * 4
        assert "NoNewPrivs:\t1" in status
    place.end(session)


def test_where_only_all_names_can_be_looked_up_others_are_not(lab: Lab) -> None:
    place = Place(lab)
    session = place.connected(scope="tunnel")
    place.says("they could only be used for all names, which takes the override dns-scope=global")
    assert OF_RESOLV_CONF.read_text() == BEFORE
    place.end(session)


def test_what_the_file_cannot_say_is_told(lab: Lab) -> None:
    place = Place(lab, pushes=(f"dns server 0 address {TUNNEL_ADDRESS}:5353",))
    session = place.connected()
    place.says("/etc/resolv.conf cannot have them asked at another port than 53")
    assert OF_RESOLV_CONF.read_text() == BEFORE
    place.end(session)


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_two_sessions_in_any_order(lab: Lab, first_ends_first: bool) -> None:
    place = Place(lab)
    place.add_server()
    first, second = place.connected(), place.connected(port=1195)
    assert place.address_of() == TUNNEL
    if first_ends_first:
        first.call("Disconnect")
        place.says(f"name server {OTHER_TUNNEL}: in use now")
        assert place.address_of() == OTHER
        place.end(second)
    else:
        second.call("Disconnect")
        until(lambda: "tun1" not in lab.client_side.devices())
        assert place.address_of() == TUNNEL
        place.end(first)
    assert OF_RESOLV_CONF.read_text() == BEFORE


@pytest.mark.changes_names
def test_an_administrators_change_in_between_is_kept(lab: Lab) -> None:
    place = Place(lab)
    session = place.connected()
    with OF_RESOLV_CONF.open("a") as file:
        file.write("options rotate\n")
    place.end(session)
    assert OF_RESOLV_CONF.read_text() == BEFORE + "options rotate\n"
    session = place.connected()
    OF_RESOLV_CONF.write_text(f"nameserver {SERVER_ADDRESS}\n")
    place.end(session)
    assert OF_RESOLV_CONF.read_text() == f"nameserver {SERVER_ADDRESS}\n"


@pytest.mark.changes_names
@pytest.mark.usefixtures("private_etc")
@pytest.mark.parametrize("linked", [True, False])
def test_a_link_and_a_file_that_is_replaced(lab: Lab, linked: bool) -> None:
    place = Place(lab)
    target = Path("/etc/resolv.conf.real")
    for _ in range(2):
        if linked:
            target.write_text(BEFORE)
            OF_RESOLV_CONF.unlink()
            OF_RESOLV_CONF.symlink_to(target)
        else:
            target.write_text(BEFORE)
            target.rename(OF_RESOLV_CONF)
        session = place.connected()
        assert place.address_of() == TUNNEL
        assert OF_RESOLV_CONF.is_symlink() == linked
        place.end(session)
        assert OF_RESOLV_CONF.read_text() == BEFORE


@pytest.mark.usefixtures("private_etc")
def test_a_file_that_root_may_not_write_is_left_as_it_is(lab: Lab) -> None:
    place = Place(lab)
    os.chown(OF_RESOLV_CONF, 4003, 4003)
    session = place.connected()
    place.says(f"name server {TUNNEL_ADDRESS}: not used by this machine: /etc/resolv.conf: Permission denied")
    place.end(session)
    assert OF_RESOLV_CONF.read_text() == BEFORE


def test_a_read_only_file_is_noticed_at_the_start(lab: Lab) -> None:
    subprocess.run(["mount", "--bind", RESOLV_CONF, OF_RESOLV_CONF], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", OF_RESOLV_CONF], check=True)
        service = lab.supervisor()
        service.process.wait_line("Name servers are set by none .*read-only")
        assert setters() == []
    finally:
        subprocess.run(["umount", OF_RESOLV_CONF], check=True)


def test_a_killed_service_leaves_names_to_the_tunnel(lab: Lab) -> None:
    place = Place(lab)
    session = place.connected()
    changed = OF_RESOLV_CONF.read_text()
    place.service.process.signal(signal.SIGKILL)
    place.service.process.wait()
    place.service = lab.supervisor()
    place.says("Took over 1 session")
    assert OF_RESOLV_CONF.read_text() == changed and place.address_of() == TUNNEL
    place.end(session)
    assert OF_RESOLV_CONF.read_text() == BEFORE and place.address_of() == LAN


def test_killed_with_its_sessions_it_is_cleaned_up_after_at_the_next_start(lab: Lab) -> None:
    place = Place(lab)
    place.connected()
    assert place.address_of() == TUNNEL
    for one in setters():
        one.kill()
    kill_with_sessions(place.service.process)
    assert OF_RESOLV_CONF.read_text() != BEFORE
    place.service = lab.supervisor()
    place.says("Gave back the name servers that an earlier instance had set for tun0")
    assert OF_RESOLV_CONF.read_text() == BEFORE
    assert place.address_of() == LAN


@pytest.mark.changes_names
def test_what_a_machine_had_that_lost_its_power_is_cleaned_up_at_the_next_start(lab: Lab) -> None:
    """/run, where devices are noted, is empty then."""
    OF_RESOLV_CONF.write_text(with_servers(BEFORE, [TUNNEL_ADDRESS], ["corp.example"]))
    lab.supervisor().process.wait_line("Gave back the name servers that an earlier instance had set")
    assert OF_RESOLV_CONF.read_text() == BEFORE


def test_a_serving_process_that_dies_is_replaced(lab: Lab) -> None:
    place = Place(lab)
    session = place.connected()
    keeper = min(setters(), key=lambda one: one.create_time())
    [serving] = keeper.children()
    serving.kill()
    place.end(session)
    assert OF_RESOLV_CONF.read_text() == BEFORE


def test_refused_by_the_administrator_there_is_no_such_process(lab: Lab) -> None:
    place = Place(lab, "--dns=refuse")
    session = place.connected()
    assert setters() == []
    place.says("setting name servers is for nobody (--dns refuse)")
    place.end(session)
    assert OF_RESOLV_CONF.read_text() == BEFORE
