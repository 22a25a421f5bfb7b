"""The Debian packages, installed, used and removed on a machine with nothing of the project.

Not collected by itself: see conftest.py.
"""

import os
import pwd
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ..lab.connection import CONFIGURATION, SESSIONS, SESSIONS_PATH
from ..lab.lab import Lab
from ..lab.openvpn import TUNNEL_ADDRESS
from ..lab.processes import describe, pids
from .machine import Machine, packages, rival, run

LOG = "net.openvpn.v3.log"
_SERVICES = Path("/usr/share/dbus-1/system-services")
_POLICIES = Path("/usr/share/dbus-1/system.d")
_ASIDE = ".openvpn3-client"
# What both packages have, and ours is used of.
_CONTESTED = (
    *(_SERVICES / f"{name}.service" for name in (SESSIONS, LOG)),
    *(_POLICIES / f"{name}.conf" for name in (SESSIONS, LOG)),
    Path("/usr/share/man/man8/openvpn3-service-sessionmgr.8.gz"),
)


def install(*names: str) -> None:
    run("dpkg", "--install", *(str(packages()[name]) for name in names or packages()))


def pid_of_service(lab: Lab) -> int:
    bus = ("/org/freedesktop/DBus", "org.freedesktop.DBus")
    pid: int = lab.watcher.call(*bus, "GetConnectionUnixProcessID", "s", SESSIONS, to=bus[1])
    return pid


def owner(path: Path) -> str:
    """Which package a file came from, as its content shows."""
    text = path.read_bytes() if path.suffix != ".gz" else run("zcat", str(path)).encode()
    return "ours" if b"/usr/bin/openvpn3-service-sessionmgr" in text or b"Generated from" in text else "theirs"


def start_session(machine: Machine, profile: str) -> None:
    file = machine.file("office.ovpn", profile)
    for command in (["config-import", "--config", str(file), "--name", "office"], ["session-start", "-c", "office"]):
        done = machine.ovpnctl("alice", *command)
        assert done.returncode == 0, f"{done.stderr}\n{machine.logged()}"


def test_installed_used_and_removed(machine: Machine) -> None:
    machine.server()
    machine.start_bus()  # it notices by itself what is installed later
    install()
    assert pwd.getpwnam("_openvpn").pw_shell == "/usr/sbin/nologin"
    compiled = Path("/usr/lib/python3/dist-packages/openvpn3_sessionmgr/supervisor/__pycache__")
    assert list(compiled.glob("service.*.pyc"))
    for page in ("openvpn3-service-sessionmgr", "openvpn3-sessionmgr.conf", "ovpnctl"):
        assert page in run("man", page)
    file = "/etc/openvpn3-sessionmgr/config.toml"
    assert f" {file} " in run("dpkg-query", "--show", "--showformat=${Conffiles}", "openvpn3-sessionmgr")
    assert run("ovpnctl", "config-check") == "Nothing is chosen in /etc/openvpn3-sessionmgr\n"

    start_session(machine, machine.profile())
    assert machine.echo(TUNNEL_ADDRESS, b"through the installed service") == b"through the installed service"
    assert any("runs as user" in line for line in machine.logged())
    service = pid_of_service(machine)
    assert Path(f"/proc/{service}").stat().st_uid == pwd.getpwnam("_openvpn").pw_uid

    # An upgrade cuts no session, though it replaces the service; removal ends them all.
    install()
    assert machine.echo(TUNNEL_ADDRESS, b"still there") == b"still there"
    before, service = service, pid_of_service(machine)
    assert service != before and not Path(f"/proc/{before}").exists()
    assert "connected" in machine.ovpnctl("alice", "sessions-list").stdout.lower()
    run("dpkg", "--remove", *packages())
    assert not Path(f"/proc/{service}").exists()
    assert machine.client_side.devices() == {"cable"}
    assert not [title for title in map(describe, pids()) if re.search("openvpn3-service|openvpn3-session:", title)]
    assert Path("/var/lib/openvpn3-sessionmgr").exists()
    run("dpkg", "--purge", *packages())
    assert not Path("/run/openvpn3-sessionmgr").exists() and not Path("/etc/openvpn3-sessionmgr").exists()


def test_removed_after_the_service_was_killed(machine: Machine) -> None:
    """Its sessions have gone on; they end with the package, though the configuration has become wrong."""
    machine.server()
    machine.start_bus()
    install()
    start_session(machine, machine.profile())
    wrong = Path("/etc/openvpn3-sessionmgr/config.d")
    wrong.mkdir()
    (wrong / "wrong.toml").write_text("nonsense = 1\n")
    os.kill(pid_of_service(machine), signal.SIGKILL)
    assert machine.echo(TUNNEL_ADDRESS, b"without a service") == b"without a service"
    done = machine.client_side.run(["dpkg", "--remove", *packages()])
    assert done.returncode == 0, done.stderr
    assert machine.client_side.devices() == {"cable"}
    assert not [title for title in map(describe, pids()) if "openvpn3-session:" in title]


def test_options_by_a_copy_of_the_activation_file(machine: Machine) -> None:
    """As the manual says for machines without systemd."""
    install()
    machine.start_bus()
    mine = Path("/usr/local/share/dbus-1/system-services")
    mine.mkdir(parents=True)
    log = machine.directory / "log"
    for name in (SESSIONS, CONFIGURATION):
        text = (_SERVICES / f"{name}.service").read_text()
        (mine / f"{name}.service").write_text(text.replace("sessionmgr\n", f"sessionmgr --log-file={log}\n", 1))
    run("dbus-send", "--system", "--type=method_call", "--print-reply", "--dest=org.freedesktop.DBus", "/",
        "org.freedesktop.DBus.ReloadConfig")  # fmt: skip
    machine.connection("alice").get(SESSIONS_PATH, "version")
    assert log.exists()
    for file in mine.iterdir():
        file.unlink()
    mine.rmdir()
    mine.parent.rmdir()


@pytest.mark.parametrize("order", ["ours first", "theirs first"])
def test_beside_openvpn3_client(machine: Machine, order: str) -> None:
    def install_theirs(version: str = "") -> None:
        # Its libraries are not here, and its programs are not run.
        run("dpkg", "--force-depends", "--install", str(rival(machine.directory, version)))

    def install_ours() -> None:
        run("dpkg", "--force-depends", "--install", str(packages()["openvpn3-sessionmgr"]))

    steps = [install_ours, install_theirs]
    for step in steps if order == "ours first" else reversed(steps):
        step()
    afterwards: list[Callable[[], None]] = [
        lambda: None,
        install_theirs,
        install_ours,
        lambda: install_theirs("99"),
    ]
    for again in afterwards:
        again()
        assert {owner(path) for path in _CONTESTED} == {"ours"}
        assert {owner(Path(f"{path}{_ASIDE}")) for path in _CONTESTED} == {"theirs"}
    assert "openvpn3-service-configmgr" in (_SERVICES / f"{CONFIGURATION}.service").read_text()

    if order == "ours first":
        run("dpkg", "--remove", "openvpn3-sessionmgr")
        assert {owner(path) for path in _CONTESTED} == {"theirs"}
    else:
        run("dpkg", "--force-depends", "--purge", "openvpn3-client")
        assert {owner(path) for path in _CONTESTED} == {"ours"}
    assert not [path for path in _CONTESTED if Path(f"{path}{_ASIDE}").exists()]


def test_services_of_both_exclude_each_other(machine: Machine) -> None:
    install()
    theirs = ["dpkg", "--install", str(rival(machine.directory))]
    done = subprocess.run(theirs, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "conflicts with openvpn3-client" in done.stderr
    assert "openvpn3-service-sessionmgr" in (_SERVICES / f"{CONFIGURATION}.service").read_text()
