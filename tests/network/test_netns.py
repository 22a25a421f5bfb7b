"""A VPN in a named network namespace, for services; what went where is seen on the cables."""

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ..lab.lab import ECHO_PORT
from ..lab.network import CABLE, ip
from ..lab.private_etc import PrivateEtc
from ..lab.processes import DEADLINE, Process, helper
from ..lab.service import OVPNCTL
from ..support.sessions import CONNECTED, UserSession, kill, until
from .commands import judged
from .test_exec import BOTH, NAME_SERVER, NAMES, with_dns
from .world import FAR, FAR6, NEIGHBOUR, World

WORK = "ovpn-work"
RESOLV_CONF = Path("/etc/netns", WORK, "resolv.conf")


class Named:
    """The namespace, and the process that has a VPN there."""

    def __init__(self, world: World, place: Path) -> None:
        self._world = world
        self._place = place
        self.keeper: Process

    def keep(self, name: str = "profile 1") -> None:
        """Start the process, and wait until systemd would be told that all is set."""
        self._place.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(str(self._place))
            command = ["/usr/bin/env", f"NOTIFY_SOCKET={self._place}", OVPNCTL, "netns", WORK, name]
            told.settimeout(6 * DEADLINE)
            self.keeper = self._world.lab.start_as_user("root", command)
            assert b"READY=1" in told.recv(4096)

    def run(self, *argv: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
        """What a service does in there."""
        enter = ["ip", "netns", "exec", WORK]
        return subprocess.run([*enter, *argv], input=stdin, capture_output=True, timeout=6 * DEADLINE, check=False)

    def echo(self, address: str, protocol: str = "tcp") -> bool:
        """Whether something goes from there to an address and back."""
        assert self._world.lab.echo_service
        return self.run(*helper("echo.py", "send", protocol, address, str(ECHO_PORT)), stdin=b"echo").stdout == b"echo"

    def devices(self) -> set[str]:
        """The network devices in there, but for the loopback."""
        shown = self.run("ip", "-o", "link").stdout.decode()
        return {line.split(": ")[1] for line in shown.splitlines()} - {"lo"}


@pytest.fixture
def named(world: World, tmp_path: Path) -> Iterator[Named]:
    """The namespace, and an /etc of the test's own."""
    with PrivateEtc(tmp_path / "etc"):
        ip("netns", "add", WORK)
        try:
            yield Named(world, tmp_path / "told")
        finally:
            if Path("/run/netns", WORK).exists():
                ip("netns", "del", WORK)


def sessions(world: World) -> list[Any]:
    """The paths of root's sessions."""
    user = world.lab.connection("root")
    return list(user.session("/net/openvpn/v3/sessions", "FetchAvailableSessions"))


def imported(world: World, *pushes: str) -> None:
    """A VPN server, the service, and a profile of root's."""
    world.server(*pushes)
    world.start()
    world.lab.connection("root").import_profile("work", world.profile())


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("pushes", [[], [BOTH]])
def test_services_in_there_have_the_vpn(world: World, named: Named, started: bool, pushes: list[str]) -> None:
    """Names too; nobody else has it, and a signal ends it."""
    with_dns(world, *pushes)
    asked = world.lab.dns(NAMES, address=NAME_SERVER, only=False)
    world.start()
    session: UserSession = world.session(user="root")
    if not started:
        session.connect()
    named.keep()
    with judged(world):
        for address in (FAR, FAR6, NEIGHBOUR, "far.example", "far6.example"):
            assert named.echo(address)
        assert named.echo(FAR, "udp")
        assert named.devices() == {"tun0"}
    assert world.way(FAR) == CABLE
    assert {"asked far.example", "asked far6.example"} <= set(asked.lines)
    assert f"nameserver {NAME_SERVER}" in RESOLV_CONF.read_text()
    named.keeper.signal(signal.SIGTERM)
    assert named.keeper.wait() == 0
    until(lambda: not sessions(world))
    assert named.devices() == set()
    assert "nameserver" not in RESOLV_CONF.read_text()


def test_a_resolv_conf_of_the_administrators_stays(world: World, named: Named) -> None:
    RESOLV_CONF.parent.mkdir(parents=True)
    RESOLV_CONF.write_text("nameserver 192.0.2.53\n")
    imported(world, BOTH)
    named.keep("work")
    named.keeper.wait_line("is not changed")
    assert named.echo(FAR)
    assert RESOLV_CONF.read_text() == "nameserver 192.0.2.53\n"
    [path] = sessions(world)
    world.lab.connection("root").session(path, "Disconnect")
    assert named.keeper.wait() == 0
    until(lambda: not sessions(world))


@pytest.mark.parametrize("who", ["keeper", "engine", "worker"])
def test_kill_9(world: World, named: Named, who: str) -> None:
    """Whoever dies: nothing leaks, and nothing is left in there."""
    world.server(BOTH)
    world.start()
    session = world.session(user="root")
    session.connect()
    named.keep()
    with judged(world):
        assert named.echo(FAR)
        match who:
            case "keeper":
                for process in psutil.Process(named.keeper.pid).children(recursive=True):
                    process.kill()
                named.keeper.signal(signal.SIGKILL)
            case "engine":
                kill(session.engine)
            case "worker":
                kill(session.worker)
        assert named.keeper.wait() != 0
        until(lambda: named.devices() == set(), 6 * DEADLINE)
        assert not named.echo(FAR, "udp")
    if who == "keeper":
        until(lambda: not sessions(world))


def test_another_instance_of_the_service(world: World, named: Named) -> None:
    """Services in there notice nothing, and all is undone when it is ended."""
    world.server(BOTH)
    world.start()
    session = world.session(user="root")
    session.connect()
    named.keep()
    with judged(world):
        world.service.process.signal(signal.SIGKILL)
        world.service.process.wait()
        assert named.echo(FAR)
        world.start()
        assert session.get("status")[1] == CONNECTED
        assert named.echo(FAR) and named.echo(FAR6)
    named.keeper.signal(signal.SIGTERM)
    assert named.keeper.wait() == 0
    until(lambda: not sessions(world))
    assert named.devices() == set()


def test_the_namespace_is_removed(world: World, named: Named) -> None:
    """The session ends, with the reason."""
    imported(world, BOTH)
    named.keep("work")
    ip("netns", "del", WORK)
    named.keeper.wait_line(f"the network namespace {WORK} was removed")
    assert named.keeper.wait() == 4
    until(lambda: not sessions(world))


def test_refusals(world: World, named: Named) -> None:
    """Each with its reason, before anything is sent."""
    imported(world)
    machine = world.lab.client_side.name
    (file := Path("/run/netns/ovpn-file")).touch()
    try:
        for user, namespace, status, reason in (
            ("alice", WORK, 3, "only root"),
            ("root", "ovpn-none", 3, "there is no network namespace ovpn-none"),
            ("root", file.name, 3, "is no network namespace"),
            ("root", machine, 3, "is the machine's"),
            ("root", "../netns/x", 2, "has a slash"),
            ("root", "..", 2, "begins with a dot"),
        ):
            done = world.lab.ovpnctl(user, "netns", namespace, "work")
            assert (done.returncode, reason in done.stderr) == (status, True), (namespace, done)
            until(lambda: not sessions(world))
    finally:
        file.unlink()


def test_exec_says_where_the_device_is(world: World, named: Named) -> None:
    imported(world)
    named.keep("work")
    done = world.lab.ovpnctl("root", "exec", "work", "true")
    assert (done.returncode, "in a named network namespace" in done.stderr) == (3, True), done
    assert named.echo(FAR)
    named.keeper.signal(signal.SIGTERM)
    assert named.keeper.wait() == 0
    until(lambda: not sessions(world))
