"""A command with the VPN as its only network; what went where is seen on the cables."""

import signal
import sys
from pathlib import Path

import psutil
import pytest

from ...policy.limits import MAX_COMMANDS_INSIDE
from ..lab.network import CABLE, SERVER_ADDRESS, ip
from ..lab.processes import DEADLINE, HERE
from ..lab.service import OVPNCTL
from ..support.adoption import lasting, told
from ..support.sessions import CONNECTED, FAILED, PAUSED, RECONNECTING, kill, until, wait_gone
from ..support.traces import Traces
from .commands import Command, judged
from .test_updates import Updating
from .world import FAR, FAR6, NEIGHBOUR, World

NAMESPACE = "net.openvpn.v3.sessions.namespace"
NAME_SERVER = "198.18.0.1"  # the server's end of the tunnel
NAMES = {"far.example": [FAR], "far6.example": [FAR6]}
BOTH = "redirect-gateway def1 ipv6"
WAIT = "sleep 600"


def with_dns(world: World, *pushes: str) -> None:
    """A VPN server that pushes its own name server."""
    world.server(f"dhcp-option DNS {NAME_SERVER}", "dhcp-option DOMAIN example", *pushes)
    until(lambda: NAME_SERVER in ip("-n", world.lab.server_side.name, "address"))


def set_of_kernel(world: World) -> list[str]:
    """All that the machine's network is, but whether a device has been seen to work."""
    state = Traces(world.lab).kernel()
    return [line.replace("state UNKNOWN", "state UP") for kind in sorted(state) for line in state[kind]]


def sh(world: World, name: str, command: str, *options: str, user: str = "alice") -> "tuple[int, str, str]":
    """Status, output and errors of a command of a shell."""
    done = world.lab.ovpnctl(user, "exec", *options, name, "sh", "-c", command)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("pushes", [[], [BOTH]])
def test_everything_goes_through_the_tunnel(world: World, started: bool, pushes: list[str]) -> None:
    """Names too, which the tunnel's name server alone is asked for; whether the profile redirects or not."""
    with_dns(world, *pushes)
    asked = world.lab.dns(NAMES, address=NAME_SERVER, only=False)
    outside = world.lab.dns({"far.example": [NEIGHBOUR]}, address=SERVER_ADDRESS)
    world.start()
    session = world.session()
    if not started:
        session.connect()
    with Command(world, "profile 1") as command:
        with judged(world):
            for address in (FAR, FAR6, NEIGHBOUR, "far.example", "far6.example", "far"):
                assert command.echo(address)
            assert command.echo(FAR, "udp")
            assert command.devices() == {"tun0"}
        assert world.way(FAR) == CABLE  # others' traffic goes as without a tunnel
    assert {line for line in asked.lines if line != "ready"} == {"asked far.example", "asked far6.example"}
    assert outside.lines == ["ready"]
    session.call("Disconnect")


def test_what_else_answers_for_names_is_not_there(world: World) -> None:
    """The system's resolver, which would ask outside, neither by its socket nor by the bus."""
    resolved = world.lab.resolved()
    outside = world.lab.dns({"near.example": [NEIGHBOUR]}, address=SERVER_ADDRESS, only=False)
    with_dns(world)
    world.lab.dns(NAMES, address=NAME_SERVER, only=False)
    world.start()
    session = world.session()
    session.connect()
    resolved.ctl("dns", CABLE, SERVER_ADDRESS)
    with Command(world, "profile 1") as command:
        assert NEIGHBOUR in resolved.ctl("query", "near.example")
        seen = len(outside.lines)
        assert command.run("ls", "/run/systemd/resolve").stdout == b"stub-resolv.conf\n"
        bus = world.lab.bus.environment()["DBUS_SYSTEM_BUS_ADDRESS"]
        assert command.run("env", f"DBUS_SYSTEM_BUS_ADDRESS={bus}", "busctl", "list").returncode
        assert command.run("getent", "hosts", "near.example").returncode == 2
        assert command.run("getent", "hosts", "far.example").stdout.split()[0] == FAR.encode()
    assert outside.lines[seen:] == []
    resolved.ctl("revert", CABLE)
    session.call("Disconnect")


def test_the_server_changes_what_it_pushed(world: World) -> None:
    """While the connection lasts."""
    it = Updating(world, "persist-tun", pushes=(f"dhcp-option DNS {NAME_SERVER}",))
    with Command(world, "profile 1") as command:
        it.push("ifconfig 198.18.0.77 255.255.255.0", "dhcp-option DNS 198.18.0.9")
        until(lambda: b"198.18.0.77/24" in command.run("ip", "address").stdout)
        until(lambda: b"nameserver 198.18.0.9" in command.run("cat", "/etc/resolv.conf").stdout)
        command.wait_echo(FAR)
    it.end()


def test_the_command_runs_as_its_user_and_gains_nothing(world: World) -> None:
    world.server()
    world.start()
    session = world.session()
    session.connect()
    lines = "id -u; cat; echo $MARK; pwd; grep -h -e ^Cap -e ^NoNewPrivs /proc/self/status"
    environment = {**world.lab.bus.environment(), "MARK": "of the environment"}
    argv = [OVPNCTL, "exec", "profile 1", "sh", "-c", lines]
    done = world.lab.client_side.run(argv, "alice", stdin="typed\n", environment=environment)
    here = str(Path.cwd())
    capabilities = [f"{name}:\t{0:016x}" for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
    assert done.stdout.splitlines() == ["4001", "typed", "of the environment", here, *capabilities, "NoNewPrivs:\t1"]
    for root in ("umount /etc/resolv.conf", "ip link set lo down", "ip link del tun0", "mount -t tmpfs none /mnt"):
        status, _, errors = sh(world, "profile 1", f"export PATH=$PATH:/sbin; {root}")
        assert status, errors
    session.call("Disconnect")


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["true"], 0),
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], -signal.SIGKILL),
        (["/nowhere"], 127),
        (["no-such-program"], 127),
        (["/etc/passwd"], 126),
        (["sh", "-c", 'echo "$@"', "sh", "--timeout", "-q", "--", "--help"], 0),
    ],
)
def test_exit_statuses_are_those_of_env(world: World, command: list[str], status: int) -> None:
    world.server()
    world.start()
    session = world.session()
    session.connect()
    done = world.lab.ovpnctl("alice", "exec", "profile 1", *command)
    assert done.returncode == status, done.stderr
    assert done.stdout == ("--timeout -q -- --help\n" if "--help" in command else "")
    session.call("Disconnect")


def test_commands_share_the_network_until_the_last_has_ended(world: World) -> None:
    """Then the device is this machine's again, as it was."""
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    before = set_of_kernel(world)
    first = Command(world, "profile 1").__enter__()
    with judged(world), Command(world, "tun0") as second, Command(world, session.path) as third:
        assert first.network == second.network == third.network
        first.end()
        until(lambda: len(session.user.get(session.path, "holders", NAMESPACE)) == 2)
        third.end()
        assert second.echo(FAR)
        assert world.lab.ovpnctl("alice", "status", "profile 1").stdout.count("network namespace of user alice") == 1
        assert second.devices() == {"tun0"}
    until(lambda: session.user.get(session.path, "namespace", NAMESPACE) == 0)
    until(lambda: bool(world.lab.client_side.addresses("tun0")))
    assert set_of_kernel(world) == before
    assert session.get("status")[1] == CONNECTED
    assert world.way(FAR) == "tunnel"
    session.call("Disconnect")


@pytest.mark.parametrize(
    ("there", "options", "stays"),
    [
        (True, [], True),
        (True, ["--afterwards", "disconnect"], False),
        (False, [], False),
        (False, ["--afterwards", "keep"], True),
    ],
)
def test_what_becomes_of_the_session(world: World, there: bool, options: list[str], stays: bool) -> None:
    world.server()
    world.start()
    user = world.lab.connection("alice")
    profile = user.import_profile("work", world.profile())
    if there:
        path = user.new_tunnel(profile)
        user.session(path, "Connect")
        user.wait_status(path, CONNECTED)
    assert sh(world, "work", "ip -o link", *options)[0] == 0

    def paths() -> list[str]:
        return list(user.session("/net/openvpn/v3/sessions", "FetchAvailableSessions"))

    until(lambda: len(paths()) == stays)
    for path in paths():
        until(lambda: not any(user.get(one, "namespace", NAMESPACE) for one in paths()))
        assert user.get(path, "status")[1] == CONNECTED
        assert world.lab.client_side.addresses("tun0")
        user.session(path, "Disconnect")


@pytest.mark.parametrize("bus", ["dbus-daemon", "dbus-broker"])
def test_one_after_the_other(world: World, bus: str) -> None:
    """The next one starts a session while that of the last one ends."""
    world.lab.bus_program = bus
    world.server()
    world.start()
    world.lab.connection("alice").import_profile("work", world.profile())
    for _ in range(4):
        status, output, errors = sh(world, "work", "ip -o -4 address show dev tun0")
        assert (status, output.split()[3][:9]) == (0, "198.18.0."), errors


def test_several_at_once(world: World) -> None:
    """All are in the same network, of one session."""
    world.server()
    world.start()
    world.lab.connection("alice").import_profile("work", world.profile())
    commands = [Command(world, "work") for _ in range(3)]
    for command in commands:
        command.process.wait_line("^ready$", 60)
    assert len({command.network for command in commands}) == 1
    for command in commands:
        command.end()


def test_a_profile_from_a_file(world: World) -> None:
    world.server()
    world.start()
    file = world.lab.file("work.ovpn", world.profile())
    status, output, errors = sh(world, str(file), "ip -o -4 address show dev tun0")
    assert (status, output.split()[3]) == (0, "198.18.0.2/24"), errors


@pytest.mark.parametrize("persist", [True, False])
def test_nothing_leaks_while_it_is_not_connected(world: World, persist: bool) -> None:
    """Paused, or without its server: there is no network, and then the same again, with other addresses."""
    server = world.server(BOTH, more=["keepalive 1 4"])
    world.start()
    session = world.session(*(["persist-tun"] if persist else []), "connect-retry 1 1")
    session.connect()
    with judged(world) as judge, Command(world, "profile 1") as command:
        command.wait_echo(FAR)
        since = session.seen
        session.call("Pause", "s", "test")
        session.wait(PAUSED, since)
        for address in (FAR, FAR6, NEIGHBOUR):
            command.send(address)
        assert not command.echo(FAR, "udp")
        session.call("Resume")
        session.wait(CONNECTED, since)
        command.wait_echo(FAR)
        since = session.seen
        server.stop()
        session.wait(RECONNECTING, since, 30)
        for address in (FAR, FAR6, NEIGHBOUR):
            command.send(address)
        assert judge.clear == []
        other = world.lab.server(
            pushes=[BOTH], more=["local 192.0.2.1", "explicit-exit-notify 1"], subnet="198.18.7.0",
            subnet6="2001:db8:2:7::/64",
        )  # fmt: skip
        session.wait(CONNECTED, since, 60)
        command.wait_echo(FAR)
        assert b"198.18.7.2/24" in command.run("ip", "address").stdout
        assert b"198.18.0.2/24" not in command.run("ip", "address").stdout
        other.stop()
    session.call("Disconnect")


def test_the_session_ends(world: World) -> None:
    """The command goes on, without any network."""
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    with judged(world), Command(world, "profile 1") as command:
        assert command.echo(FAR)
        session.call("Disconnect")
        command.process.wait_line("session has ended: the command has no network")
        assert command.devices() == set()
        command.send(FAR)
        assert command.process.running()


@pytest.mark.parametrize("who", ["command", "keeper", "engine", "worker"])
def test_kill_9(world: World, who: str) -> None:
    """Whoever dies: nothing leaks, and nothing is left."""
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    with judged(world):
        command = Command(world, "profile 1").__enter__()
        assert command.echo(FAR)
        since = session.seen
        keeper = psutil.Process(command.keeper)
        match who:
            case "command":
                command.process.signal(signal.SIGKILL)
            case "keeper":
                keeper.kill()
            case "engine":
                kill(session.engine)
            case "worker":
                kill(session.worker)
        if who == "command":
            assert command.process.wait() == -signal.SIGKILL
        else:
            if who != "keeper":
                session.wait(FAILED, since)
            until(lambda: command.devices() == set())
            for address in (FAR, FAR6, NEIGHBOUR):
                command.send(address)
            assert not command.echo(FAR, "udp")
    command.end()
    wait_gone([keeper])
    if who in ("command", "keeper"):
        until(lambda: session.user.get(session.path, "namespace", NAMESPACE) == 0)
        assert world.way(FAR) == "tunnel"
        session.call("Disconnect")


@pytest.mark.parametrize("afterwards", ["keep", "disconnect"])
def test_another_instance_of_the_service(world: World, afterwards: str) -> None:
    """The command notices nothing, whatever the session does then, and all is undone when it has ended."""
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    with judged(world):
        with Command(world, "profile 1", "--afterwards", afterwards) as command:
            keeper = psutil.Process(command.keeper)
            second = Command(world, "profile 1").__enter__()
            before = lasting(session)
            for _ in range(2):
                since = session.seen
                world.service.process.signal(signal.SIGKILL)
                world.service.process.wait()
                assert command.echo(FAR)
                world.start()
                assert lasting(session) == before and told(session, since) == []
                until(lambda: len(session.user.get(session.path, "holders", NAMESPACE)) == 2)
                for one in (command, second):
                    assert one.echo(FAR) and one.echo(FAR6)
            session.call("Pause", "s", "test")
            session.wait(PAUSED, since)
            session.call("Resume")
            session.wait(CONNECTED, since, 6 * DEADLINE)
            command.wait_echo(FAR)
            second.end()
            assert command.echo(FAR)
        wait_gone([keeper])
        if afterwards == "keep":
            until(lambda: session.user.get(session.path, "namespace", NAMESPACE) == 0)
            until(lambda: world.way(FAR) == "tunnel")
            session.call("Disconnect")
        else:
            session.user.wait_signal(lambda one: one.member == "SessionManagerEvent", since=since)


@pytest.mark.parametrize("who", ["command", "both", "session"])
def test_what_ends_while_there_is_no_service(world: World, who: str) -> None:
    world.server(BOTH)
    world.start()
    session = world.session()
    session.connect()
    command = Command(world, "profile 1").__enter__()
    keeper, worker, since = psutil.Process(command.keeper), session.worker, session.seen
    world.service.process.signal(signal.SIGKILL)
    world.service.process.wait()
    match who:
        case "command":
            command.end()
            wait_gone([keeper])
        case "both":
            keeper.kill()
        case "session":
            kill(worker)
    world.start()
    if who == "session":
        session.wait(FAILED, since)
        until(lambda: command.devices() == set())
    else:  # with its last process its namespace has gone, and the device
        _, _, text = session.wait(FAILED, since)
        assert "device" in text
    command.end()


def test_only_its_owner(world: World) -> None:
    """Neither those whom it is shared with, nor root."""
    world.server()
    world.start()
    session = world.session()
    session.connect()
    session.call("AccessGrant", "u", 4002)
    for user in ("bob", "root"):
        status, _, errors = sh(world, session.path, "true", user=user)
        assert status == 3, errors
        assert "Access denied" in errors
    assert session.get("status")[1] == CONNECTED
    assert session.user.get(session.path, "namespace", NAMESPACE) == 0
    session.call("Disconnect")


def test_descriptors_that_are_no_namespace_of_the_callers(world: World) -> None:
    """Each is refused with the reason, and stays open nowhere; nor may others enter with one that would do."""
    world.server()
    world.start()
    session = world.session()
    session.connect()
    session.call("AccessGrant", "u", 4002)
    open_before = psutil.Process(world.service.pid).num_fds()
    for user, what, reason in (
        ("alice", "file", "is no socket"),
        ("alice", "datagrams", "is no socket for network devices"),
        ("alice", "machine", "is the machine's"),
        ("alice", "nothing", "descriptor was not taken"),
        ("bob", "own", "Access denied"),
        ("root", "own", "Access denied"),
    ):
        program = [sys.executable, "-I", str(HERE / "hand_over.py"), session.path, what]
        done = world.lab.as_user(user, program)
        assert reason in done.stdout, (user, what, done)
    until(lambda: psutil.Process(world.service.pid).num_fds() <= open_before)
    assert session.user.get(session.path, "namespace", NAMESPACE) == 0
    session.call("Disconnect")


def test_roots_own_session(world: World) -> None:
    world.server()
    world.start()
    session = world.session(user="root")
    session.connect()
    status, output, errors = sh(world, "profile 1", "id -u; grep CapEff /proc/self/status", user="root")
    assert (status, output.split()) == (0, ["0", "CapEff:", f"{0:016x}"]), errors
    session.call("Disconnect")


def test_where_user_namespaces_are_forbidden(world: World) -> None:
    """It is said, with what to do about it; the session stays as it is."""
    world.server()
    world.start()
    session = world.session()
    session.connect()
    forbid = f"echo 0 > /proc/sys/user/max_user_namespaces; exec {OVPNCTL} exec 'profile 1' true"
    argv = ["unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", forbid]
    done = world.lab.as_user("alice", argv)
    assert done.returncode == 3, done.stderr
    assert "user.max_user_namespaces forbids it" in done.stderr
    assert "sysctl user.max_user_namespaces" in done.stderr
    assert session.get("status")[1] == CONNECTED
    session.call("Disconnect")


def test_few_commands_of_a_session(world: World) -> None:
    world.server()
    world.start()
    session = world.session()
    session.connect()
    commands = [Command(world, "profile 1") for _ in range(MAX_COMMANDS_INSIDE)]
    for command in commands:
        command.process.wait_line("^ready$", 60)
    status, _, errors = sh(world, "profile 1", "true")
    assert (status, f"{MAX_COMMANDS_INSIDE} commands" in errors) == (3, True), errors
    for command in commands:
        command.end()
    session.call("Disconnect")
