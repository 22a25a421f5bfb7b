"""The laboratory itself: what it claims to show is there to be seen."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ...lab import debian_tree
from ...lab.connection import SESSIONS, SESSIONS_PATH, BusError
from ...lab.lab import Lab
from ...lab.network import BEHIND_ADDRESS, BEHIND_ADDRESS6, SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS, TUNNEL_ADDRESS6
from ...lab.pki import Pki
from ...lab.processes import LabError, describe, pids, wait_gone

MARKER = b"a text that must not cross the cable in clear"


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_traffic_through_a_tunnel_is_encrypted(lab: Lab, protocol: str) -> None:
    server = lab.server(protocol="udp" if protocol == "udp" else "tcp")
    lab.plain_openvpn(lab.profile(protocol=protocol))
    with lab.client_side.capture() as cable, lab.client_side.capture("tun0") as tunnel:
        for address in (TUNNEL_ADDRESS, TUNNEL_ADDRESS6, BEHIND_ADDRESS, BEHIND_ADDRESS6):
            for transport in ("tcp", "udp"):
                assert lab.echo(address, MARKER, protocol=transport) == MARKER
        assert tunnel.saw(MARKER)
        assert not cable.saw(MARKER)
        assert lab.echo(SERVER_ADDRESS, MARKER) == MARKER
        assert cable.saw(MARKER)  # so the capture does see what crosses in clear
    assert len(server.clients()) == 1
    assert min(server.traffic()) > 4 * len(MARKER)


@pytest.mark.parametrize("fault", ["stranger", "expired_client", "expired_server"])
def test_bad_papers_are_refused(lab: Lab, fault: str) -> None:
    lab.server(identity=lab.pki.expired_server if fault == "expired_server" else None)
    authority = lab.pki.stranger if fault == "stranger" else None
    identity = lab.pki.expired_client if fault == "expired_client" else None
    profile = lab.profile(authority=authority, identity=identity, more=["tls-exit", "hand-window 2"])
    with pytest.raises(LabError, match="ended"):
        lab.plain_openvpn(profile)


def test_a_frozen_server_goes_on_where_it_stood(lab: Lab) -> None:
    server = lab.server()
    client = lab.plain_openvpn(lab.profile())
    server.process.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        lab.echo(TUNNEL_ADDRESS, MARKER, deadline=0.5)
    server.process.thaw()
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    server.stop()
    server.start()
    client.process.signal(signal.SIGUSR1)
    client.wait_state("CONNECTED")
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER


def test_users_on_the_bus_are_who_they_are(lab: Lab) -> None:
    alice, bob = lab.connection("alice"), lab.connection("bob")
    for user, uid in ((alice, 4001), (bob, 4002)):
        bus = ("/org/freedesktop/DBus", "org.freedesktop.DBus")
        found = bob.call(*bus, "GetConnectionUnixUser", "s", user.unique_name, to=bus[1])
        assert found == uid
    with pytest.raises(BusError, match="AccessDenied"):
        alice.call("/", "a.b", "C", to=bob.unique_name)
    with pytest.raises(BusError, match="ServiceUnknown"):
        alice.get("/net/openvpn/v3/nothing", "version")
    assert lab.as_user("alice", ["id", "-un"]).stdout == "alice\n"


def test_the_bus_starts_the_service_with_an_empty_environment(lab: Lab) -> None:
    lab.start_bus(activation=["--idle-exit=0"])
    lab.connection("alice").get(SESSIONS_PATH, "version")
    bus = ("/org/freedesktop/DBus", "org.freedesktop.DBus")
    pid = lab.watcher.call(*bus, "GetConnectionUnixProcessID", "s", SESSIONS, to=bus[1])
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    names = {variable.split("=")[0] for variable in variables if variable}
    assert "DBUS_SYSTEM_BUS_ADDRESS" in names
    assert not names & {"PYTHONPATH", "HOME", "PYTEST_CURRENT_TEST"}
    os.kill(pid, signal.SIGTERM)
    lab.watcher.wait_no_owner(SESSIONS)


def test_a_service_that_cannot_start_is_reported(lab: Lab) -> None:
    with pytest.raises(LabError, match="no-such-option"):
        lab.supervisor("--no-such-option")


@pytest.mark.parametrize("protocol", ["", "use-vc"])
def test_name_server(lab: Lab, protocol: str) -> None:
    many = [f"192.0.2.{number}" for number in range(1, 101)]
    server = lab.dns({"vpn.example": ["192.0.2.7", "2001:db8::7"], "many.example": many})
    if protocol:
        with Path("/run/lab/resolv.conf").open("a") as file:
            file.write(f"options {protocol}\n")
    found = lab.as_user("alice", ["getent", "ahosts", "vpn.example"]).stdout
    assert {line.split()[0] for line in found.splitlines()} == {"192.0.2.7", "2001:db8::7"}
    found = lab.as_user("alice", ["getent", "ahostsv4", "many.example"]).stdout
    assert {line.split()[0] for line in found.splitlines()} == set(many)  # too many for one datagram
    assert lab.as_user("alice", ["getent", "ahosts", "missing.example"]).returncode == 2
    assert "asked vpn.example" in server.lines


def test_slow_and_dead_name_servers(lab: Lab) -> None:
    slow = lab.dns({"vpn.example": ["192.0.2.7"]}, delay=0.5)
    before = time.monotonic()
    assert lab.as_user("alice", ["getent", "ahostsv4", "vpn.example"]).returncode == 0
    assert time.monotonic() - before >= 0.5
    slow.stop()
    dead = lab.dns(dead=True)
    with pytest.raises(subprocess.TimeoutExpired):
        lab.as_user("alice", ["getent", "ahostsv4", "vpn.example"], deadline=1)
    dead.wait_line("asked vpn.example")


def test_what_is_left_behind_fails_the_lab(pki: Pki) -> None:
    with pytest.raises(LabError, match="sleep 77") as caught, Lab(pki, patience=0.2) as lab:
        lab.client_side.run(["sh", "-c", "setsid sleep 77 >/dev/null 2>&1 & ip tuntap add left7 mode tun"])
    assert "device left7" in str(caught.value)
    pid = int(str(caught.value).split("process ")[1].split()[0])
    assert wait_gone(pid, 5)


def test_a_failed_test_leaves_nothing_to_the_next(pki: Pki) -> None:
    with pytest.raises(ZeroDivisionError), Lab(pki) as lab:
        lab.client_side.run(["sh", "-c", "setsid sleep 78 >/dev/null 2>&1 &"])
        [left] = [pid for pid in pids() if "sleep 78" in describe(pid)]
        raise ZeroDivisionError
    assert wait_gone(left, 5)


def test_the_kernel_cleans_up_after_a_killed_run() -> None:
    """The test starts surroundings within its own, and kills the program that holds them."""
    alive, held = os.pipe()
    environment = {key: value for key, value in os.environ.items() if key != "OPENVPN3_SESSIONMGR_LAB"}
    inner = f"setsid sleep 1000 & ip netns add gone; echo up >&{held}; exec sleep 1000"
    run = subprocess.Popen(
        [sys.executable, "-m", "openvpn3_sessionmgr.tests.lab.enter", "bash", "-c", inner],
        env=environment,
        pass_fds=[held],
    )
    os.close(held)
    with os.fdopen(alive) as output:
        assert output.readline() == "up\n"
        run.kill()
        run.wait()
        assert output.read() == ""  # end of file: the last process that held it is gone
    assert not Path("/run/netns/gone").exists()


_LEAVES_MOUNTS = """#!/bin/sh
for directory; do :; done
mkdir -p "$directory/proc"
mount -t tmpfs none "$directory/proc"
touch "$directory/proc/1"
"""


def test_nothing_stays_mounted_in_a_debian_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mmdebstrap goes on when it cannot unmount something; what an earlier one left is detached, too."""
    program = tmp_path / "bin" / "mmdebstrap"
    program.parent.mkdir()
    program.write_text(_LEAVES_MOUNTS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(debian_tree, "CACHE", tmp_path / "cache")
    stale = tmp_path / "cache" / "tree-of-before"
    subprocess.run([program, stale], check=True)
    tree = debian_tree.DebianTree("tree", "trixie", ()).make()
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == [tree.name]
    assert not any((tree / "proc").iterdir())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
