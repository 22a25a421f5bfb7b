"""Name servers of sessions that other programs take away: they are put back, and what those wrote is the machine's."""

import contextlib
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.private_etc import OF_RESOLV_CONF
from ...lab.resolvconf import PROGRAM, Resolvconf
from ...lab.service import Service
from ...lab.surroundings import SHARED
from ...support.sessions import CONNECTED, UserSession, begin, until

pytestmark = pytest.mark.changes_names

LAN, TUNNEL = "192.0.2.80", "203.0.113.80"
WWW = "www.example"
BEFORE = f"# the administrator's\nnameserver {SERVER_ADDRESS}\nsearch lan.example\n"
AFTER = f"# by another program\nsearch other.example\nnameserver {SERVER_ADDRESS}\n"
SETTER = "openvpn3-service-sessionmgr: name setter"
SAID = f"name server {TUNNEL_ADDRESS}: another program took it away, and it has been put back"


class Place:
    """A machine that uses the LAN's name server, and a session whose tunnel has one with other answers."""

    def __init__(self, lab: Lab, text: str = "") -> None:
        self.lab = lab
        lab.dns({WWW: [LAN]}, only=False)
        lab.server(pushes=(*USUAL_PUSHES, f"dhcp-option DNS {TUNNEL_ADDRESS}", "dhcp-option DOMAIN corp.example"))
        lab.dns({WWW: [TUNNEL], "host.corp.example": [TUNNEL]}, address=TUNNEL_ADDRESS, only=False)
        if text:
            OF_RESOLV_CONF.write_text(text)
        self.service: Service = lab.supervisor()
        self.session: UserSession = begin(lab)
        self.session.connect()
        assert self.address == TUNNEL

    @property
    def address(self) -> str:
        done = self.lab.client_side.run(["getent", "ahostsv4", WWW], "alice")
        return done.stdout.split()[0] if done.stdout else ""

    def put_back(self) -> None:
        """Wait until the tunnel's name server is in use again, and see that the user was told."""
        self.service.process.wait_line(re.escape(SAID))
        assert self.address == TUNNEL
        assert SAID in self.notices

    @property
    def notices(self) -> list[str]:
        found = self.session.user.get(self.session.path, "notices", "net.openvpn.v3.sessions.inspect")
        return [str(one) for one in found]

    def end(self) -> None:
        self.session.call("Disconnect")
        until(lambda: not self.lab.client_side.devices() - {"cable"})


@pytest.mark.parametrize("how", ["in place", "renamed"])
@pytest.mark.usefixtures("private_etc")
def test_a_file_that_another_program_writes_anew(lab: Lab, how: str) -> None:
    """As NetworkManager and dhclient do, and an administrator with an editor."""
    place = Place(lab, BEFORE)
    if how == "in place":
        OF_RESOLV_CONF.write_text(AFTER)
    else:
        other = Path("/etc/resolv.conf.other")
        other.write_text(AFTER)
        other.rename(OF_RESOLV_CONF)
    place.put_back()
    assert OF_RESOLV_CONF.read_text().endswith(
        AFTER.replace("search", "#openvpn3-sessionmgr-had# search").replace(
            "nameserver", "#openvpn3-sessionmgr-had# nameserver"
        )
    )
    place.end()
    assert OF_RESOLV_CONF.read_text() == AFTER
    assert place.address == LAN


def test_a_name_server_that_is_put_before_the_tunnels(lab: Lab) -> None:
    place = Place(lab, BEFORE)
    OF_RESOLV_CONF.write_text(f"nameserver {SERVER_ADDRESS}\n{OF_RESOLV_CONF.read_text()}")
    place.put_back()
    place.end()
    assert OF_RESOLV_CONF.read_text() == f"nameserver {SERVER_ADDRESS}\n{BEFORE}"


@pytest.mark.usefixtures("private_etc")
def test_a_link_that_is_made_to_lead_elsewhere_and_what_it_leads_to(lab: Lab) -> None:
    real, other = Path("/etc/real"), Path("/etc/other")
    real.mkdir()
    other.mkdir()
    (real / "resolv.conf").write_text(BEFORE)
    OF_RESOLV_CONF.unlink()
    OF_RESOLV_CONF.symlink_to(real / "resolv.conf")
    place = Place(lab)
    (real / "new").write_text(AFTER)
    (real / "new").rename(real / "resolv.conf")
    place.put_back()
    (other / "resolv.conf").write_text(BEFORE)
    link = Path("/etc/resolv.conf.link")
    link.symlink_to(other / "resolv.conf")
    link.rename(OF_RESOLV_CONF)
    until(lambda: TUNNEL_ADDRESS in (other / "resolv.conf").read_text())
    assert place.address == TUNNEL
    place.end()
    assert (other / "resolv.conf").read_text() == BEFORE


@pytest.mark.usefixtures("private_etc")
def test_a_file_that_is_away_for_a_while(lab: Lab) -> None:
    place = Place(lab, BEFORE)
    OF_RESOLV_CONF.unlink()
    place.service.process.wait_line(
        f"name server {TUNNEL_ADDRESS}: not used by this machine: /etc/resolv.conf: No such file or directory"
    )
    OF_RESOLV_CONF.write_text(AFTER)
    place.put_back()
    place.end()
    assert OF_RESOLV_CONF.read_text() == AFTER


def test_who_takes_them_away_again_and_again_is_told_of_once(lab: Lab) -> None:
    place = Place(lab, BEFORE)
    for number in range(6):
        OF_RESOLV_CONF.write_text(f"# {number}\n{AFTER}")
        until(lambda: TUNNEL_ADDRESS in OF_RESOLV_CONF.read_text())
    assert place.address == TUNNEL
    assert place.notices.count(SAID) == 1
    assert place.service.log.count(f"{SAID}\n") == 1
    place.end()
    assert OF_RESOLV_CONF.read_text() == f"# 5\n{AFTER}"


def test_a_session_that_ends_puts_nothing_back(lab: Lab) -> None:
    place = Place(lab, BEFORE)
    OF_RESOLV_CONF.write_text(AFTER)
    place.end()
    assert OF_RESOLV_CONF.read_text() == AFTER


@pytest.fixture(params=["openresolv", "resolvconf"])
def package(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The program is there, and this machine uses the LAN's name server by it; to be asked for before the lab."""
    with Resolvconf(request.param, SHARED / f"resolvconf-{tmp_path.name}", SERVER_ADDRESS):
        yield request.param


def test_what_resolvconf_knows_is_forgotten(package: str, lab: Lab) -> None:
    """As when its directory is emptied, and made anew."""
    before = OF_RESOLV_CONF.read_text()
    place = Place(lab)
    directory = Path("/run/resolvconf", "interfaces" if package == "openresolv" else "interface")
    for one in directory.iterdir():
        if one.name.startswith("tun0"):
            one.unlink()
    subprocess.run([PROGRAM, "-a", "eth0.dhcp"], input=f"nameserver {SERVER_ADDRESS}\n".encode(), check=True)
    place.put_back()
    shutil.rmtree(directory)
    directory.mkdir()
    subprocess.run([PROGRAM, "-a", "eth0.dhcp"], input=f"nameserver {SERVER_ADDRESS}\n".encode(), check=True)
    until(lambda: any(one.name.startswith("tun0") for one in directory.iterdir()))
    until(lambda: place.address == TUNNEL)
    place.end()
    assert OF_RESOLV_CONF.read_text() == before


def test_what_resolvconf_made_is_written_anew(package: str, lab: Lab) -> None:
    place = Place(lab)
    OF_RESOLV_CONF.write_text(AFTER)
    place.put_back()
    place.end()
    assert place.address == LAN


def test_a_link_of_resolved_that_is_reverted(lab: Lab) -> None:
    resolved = lab.resolved()
    resolved.ctl("dns", "cable", SERVER_ADDRESS)
    place = Place(lab)
    resolved.ctl("revert", "tun0")
    place.put_back()
    resolved.ctl("dns", "tun0", "203.0.113.53")  # the administrator's choice
    resolved.ctl("revert", "tun0")
    until(lambda: place.address == TUNNEL)
    place.end()
    assert place.address == LAN


def setters() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if (one.info["cmdline"] or [])[:1] == [SETTER]]


@pytest.mark.parametrize("which", ["keeper", "serving"])
def test_a_process_that_writes_it_is_killed(lab: Lab, which: str) -> None:
    """Again and again, when each has been replaced."""
    place = Place(lab, BEFORE)
    for _ in range(3):
        until(lambda: len(setters()) == 2)
        [keeper] = [one for one in setters() if one.ppid() == place.service.process.pid]
        [serving] = keeper.children()
        (keeper if which == "keeper" else serving).kill()
        OF_RESOLV_CONF.write_text(AFTER)
        until(lambda: place.address == TUNNEL)
    assert place.session.minors[-1] == CONNECTED
    place.end()
    assert OF_RESOLV_CONF.read_text() == AFTER
    place.service.process.signal(signal.SIGTERM)
    place.service.process.wait()
    until(lambda: not setters())


def test_all_of_the_processes_that_write_it_are_killed(lab: Lab) -> None:
    place = Place(lab, BEFORE)

    def are_killed() -> bool:
        for one in setters():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        return not setters()

    until(are_killed)
    place.service.process.wait_line("The process that sets name servers and its keeper have ended: ")
    place.end()
    assert place.address != LAN
    place.service.process.signal(signal.SIGTERM)
    place.service.process.wait()
    lab.supervisor().process.wait_line("Gave back the name servers that an earlier instance had set for tun0")
    assert OF_RESOLV_CONF.read_text() == BEFORE
