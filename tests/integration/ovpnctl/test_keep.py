"""ovpnctl session-keep: a session as a service of systemd."""

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from ....ctl.exits import CommandExit
from ...lab import service
from ...lab.auth_server import knows
from ...lab.connection import CONFIGURATION, SESSIONS, SESSIONS_PATH, BusClient
from ...lab.lab import Lab
from ...lab.processes import DEADLINE, Process
from ...lab.surroundings import ALICE, BOB
from ...support.credentials import GivenCredentials, credential_names
from ...support.service_life import owner_pid
from ...support.sessions import kill, until


class Kept:
    """session-keep, run by root, and what it tells systemd."""

    def __init__(self, process: Process, told: socket.socket) -> None:
        self.process = process
        self._told = told

    def wait_told(self, words: str) -> str:
        """Wait until it tells something with these words."""
        while words not in (text := self._told.recv(4096).decode()):
            pass
        return text


@contextmanager
def keeping(lab: Lab, whose: str, **environment: str) -> Iterator[Kept]:
    place = lab.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(place))
        place.chmod(0o666)
        told.settimeout(3 * DEADLINE)
        variables = [f"{name}={value}" for name, value in {"NOTIFY_SOCKET": str(place), **environment}.items()]
        command = ["/usr/bin/env", *variables, service.OVPNCTL, "session-keep", whose]
        kept = Kept(lab.start_as_user("root", command), told)
        try:
            yield kept
        finally:
            kept.process.stop()
            place.unlink()


def sessions(user: BusClient) -> list[str]:
    found: list[str] = user.session(SESSIONS_PATH, "FetchAvailableSessions")
    return found


def starting() -> list[psutil.Process]:
    """Processes of services that do not serve yet: these have another title."""
    found = []
    for one in psutil.process_iter(["cmdline"]):
        if "openvpn3-service-sessionmgr --" in " ".join(one.info["cmdline"] or []):
            found.append(one)
    return found


def office(lab: Lab) -> tuple[BusClient, str]:
    """A service and a server, and alice's profile "office"."""
    lab.server()
    lab.supervisor("--dns-backend=none")
    alice = lab.connection("alice")
    return alice, alice.import_profile("office", lab.profile(), persistent=True)


def test_it_is_ready_when_connected_and_disconnects_when_stopped(lab: Lab) -> None:
    alice, _ = office(lab)
    with keeping(lab, "alice:office") as kept:
        assert kept.wait_told("READY=1") == "READY=1\nSTATUS=Connection, Client connected"
        [path] = sessions(alice)
        assert alice.get(path, "owner") == ALICE.uid
        alice.session(path, "Pause", "s", "lunch")
        kept.wait_told("STATUS=Connection, Client connection paused")
        alice.session(path, "Resume")
        kept.wait_told("STATUS=Connection, Client connected")
        kept.process.signal(signal.SIGTERM)
        assert kept.process.wait() == 0
        assert sessions(alice) == []


def test_a_failure_is_its_failure_and_a_hand_is_not(lab: Lab) -> None:
    alice, _ = office(lab)
    with keeping(lab, "alice:office") as kept:
        kept.wait_told("READY=1")
        [path] = sessions(alice)
        [engine] = psutil.Process(alice.get(path, "backend_pid")).children()
        kill(engine)
        assert kept.process.wait() == CommandExit.CONNECTION_FAILED, kept.process.text
        until(lambda: sessions(alice) == [])
    with keeping(lab, "alice:office") as kept:
        kept.wait_told("READY=1")
        alice.session(sessions(alice)[0], "Disconnect")
        assert kept.process.wait() == 0


def test_it_outlives_the_service_and_takes_a_session_that_is_there(lab: Lab) -> None:
    lab.start_bus(activation=["--dns-backend=none", "--idle-exit=0.01"])
    lab.server()
    alice = lab.connection("alice")
    profile = alice.import_profile("office", lab.profile(), persistent=True)
    path = alice.new_tunnel(profile)
    with keeping(lab, "alice:office") as kept:
        kept.wait_told("READY=1")
        assert sessions(alice) == [path]
        # Killed, and so is the one that is started in its place, before it answers.
        kill(psutil.Process(owner_pid(alice)))
        until(lambda: bool(starting()))
        for one in starting():
            with suppress(psutil.NoSuchProcess):
                kill(one)
        kept.wait_told("STATUS=The session manager is away")
        kept.wait_told("STATUS=Connection, Client connected")
        assert sessions(alice) == [path]
        alice.session(path, "Disconnect")
        assert kept.process.wait() == 0
    lab.watcher.wait_no_owner(SESSIONS)


def test_whose_profile_it_is(lab: Lab) -> None:
    alice, profile = office(lab)
    alice.call(profile, CONFIGURATION, "AccessGrant", "u", BOB.uid)
    for user, whose, said, status in (
        ("root", "bob:office", "no configuration profile named office that belongs to bob", CommandExit.REFUSED),
        ("bob", "alice:office", "only root can keep a session of alice", CommandExit.REFUSED),
        ("root", "nobody-here:office", "there is no user nobody-here", CommandExit.REFUSED),
        ("root", "office", "Name the owner and the profile, as in alice:office.", CommandExit.USAGE),
    ):
        done = lab.ovpnctl(user, "session-keep", whose)
        assert (done.returncode, said in done.stderr) == (status, True), done
    root = lab.connection("root")
    root.set_setting(profile, "kill-switch", True)
    assert "has a kill switch" in lab.ovpnctl("root", "session-keep", "alice:office").stderr
    alice.import_profile("typed", lab.profile(more=["auth-user-pass"]))
    done = lab.ovpnctl("root", "session-keep", "alice:typed")
    said = "asks for Auth User name, Auth Password, and the unit has no credential"
    assert (done.returncode, said in done.stderr) == (CommandExit.REFUSED, True), done
    assert sessions(alice) == []


def test_credentials_of_the_unit_answer(lab: Lab) -> None:
    server = lab.auth_server(knows(alice="open sesame"))
    lab.supervisor("--dns-backend=none")
    alice = lab.connection("alice")
    profile = alice.import_profile("office", lab.profile(more=["auth-user-pass"]), persistent=True)
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "automatic-restart", ["s", "on-failure"])
    given = GivenCredentials(lab, "root")
    given.give(credential_names(alice, profile), username="alice", password="open sesame")
    with keeping(lab, "alice:office", **given.environment) as kept:
        kept.wait_told("READY=1")
        assert server.logins[0].password == "open sesame"
        # What is kept open for later is not for the owner, who it runs as.
        pid = kept.process.pid
        for what in ("fd", "mem", "environ"):
            shown = lab.as_user("alice", ["ls" if what == "fd" else "cat", f"/proc/{pid}/{what}"])
            assert shown.returncode and "Permission denied" in shown.stderr, shown
        [path] = sessions(alice)
        kill(psutil.Process(alice.get(path, "backend_pid")))
        kept.wait_told("STATUS=Connection, Configuration requires user input")
        kept.wait_told("STATUS=Connection, Client connected")
        assert len(server.logins) == 2 and "open sesame" not in kept.process.text
        alice.session(path, "Disconnect")
        assert kept.process.wait() == 0
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "server-override", ["s", "203.0.113.9"])
    with keeping(lab, "alice:office", **given.environment) as kept:
        assert kept.process.wait() == CommandExit.REFUSED
        assert "and the unit has no credential for that" in kept.process.text
    assert len(server.logins) == 2 and sessions(alice) == []
