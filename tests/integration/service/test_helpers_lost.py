"""A helper whose two processes end at once: only the next instance of the service has it again."""

import signal
from collections.abc import Iterator

import pytest

from ....policy.dbus_numbers import StatusMinor
from ....policy.exit_status import ExitStatus
from ...lab.connection import BusClient, BusError
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import PORT, TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.service import Service, service_command
from ...support.adoption import lasting, told
from ...support.flow import flowing
from ...support.helper_processes import helper_processes, kill_helper
from ...support.service_life import line_after, wait_until, with_limits
from ...support.sessions import CONNECTED, UserSession, begin

LOST = {
    "spawner": "The spawner and its keeper have ended: no session can be started",
    "resolver": "The resolver and its keeper have ended: no names can be looked up",
    "name setter": "The process that sets name servers and its keeper have ended: they stay as they are",
}
UNTIL = " until the service is restarted"


def connected(lab: Lab) -> UserSession:
    """Alice's session, which all helpers have worked for."""
    lab.dns({"vpn.example": [SERVER_ADDRESS]})
    lab.server(pushes=(*USUAL_PUSHES, f"dhcp-option DNS {SERVER_ADDRESS}"))
    session = begin(lab, remotes=[f"vpn.example {PORT}"])
    session.connect()
    return session


def instance(lab: Lab) -> bytes:
    """The instance that serves, by its lock; b"" where none does."""
    noted = (lab.service_directory / "runtime" / "lock").read_bytes()
    return noted if noted.startswith(b"serving") else b""


def all_there() -> bool:
    """Whether each helper has its two processes."""
    return all(helper_processes(name, "keeper") and helper_processes(name, "serving") for name in LOST)


def use(user: BusClient, lab: Lab) -> None:
    """Start a session for which all helpers have to work."""
    profile = user.import_profile("another", lab.profile(remotes=[f"vpn.example {PORT}"]))
    path = user.new_tunnel(profile)
    user.session(path, "Connect")
    user.wait_status(path, StatusMinor.CONN_CONNECTED)
    user.session(path, "Disconnect")


@pytest.fixture(params=LOST)
def name(request: pytest.FixtureRequest) -> Iterator[str]:
    """One helper after the other."""
    yield request.param


def test_one_that_the_bus_has_started_leaves_to_the_next(lab: Lab, name: str) -> None:
    lab.start_bus(activation=["--idle-exit=0"], through=with_limits(lab.directory, SERVING_AT_LEAST=2.0))
    session = connected(lab)
    wait_until(all_there)
    before, since = lasting(session), session.seen
    with flowing(lab, TUNNEL_ADDRESS) as flow:
        for _ in range(2):  # the second one has just begun to serve
            before_that = instance(lab)
            kill_helper(name)
            wait_until(lambda old=before_that: instance(lab) not in (b"", old))  # type: ignore[misc]
            wait_until(all_there)
        assert lasting(session) == before and told(session, since) == []
        use(lab.connection("bob"), lab)
        assert flow.stop().missing == 0
    session.call("Disconnect")
    said = lab.bus.process.text
    assert said.count(f"{LOST[name]}{UNTIL}") == 2 and "Leaving to the next instance, which has all of it, in " in said


@pytest.mark.parametrize("restart", ["on-failure", "no"])
def test_one_that_systemd_has_started_leaves_if_it_is_restarted(lab: Lab, restart: str) -> None:
    """By its status."""
    systemd = lab.systemd(restart)
    systemd.start(lab.bus, lab.watcher)
    as_unit = ["sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh", *service_command(lab.service_directory)]
    argv = [*with_limits(lab.directory, SERVING_AT_LEAST=0.0), *as_unit]
    service = Service(lab.client_side, lab.bus, argv, lab.watcher)
    service.wait_ready()
    session = connected(lab)
    before, since = lasting(session), session.seen
    kill_helper("spawner")
    if restart == "no":
        service.process.wait_line("Nobody would start this service again")
        service.process.signal(signal.SIGUSR2)
        assert service.process.wait() == ExitStatus.OK
    else:
        assert service.process.wait() == ExitStatus.HELPER_LOST
    next_one = lab.supervisor()
    assert lasting(session) == before and told(session, since) == []
    assert next_one.stop() == 0


def test_one_that_nobody_would_start_stays_and_says_what_to_do(lab: Lab, name: str) -> None:
    service = lab.supervisor()
    session = connected(lab)
    wait_until(all_there)
    before, since = lasting(session), session.seen
    said = line_after(service.process, "Nobody would start", lambda: kill_helper(name))
    assert "end it by SIGUSR2" in said
    assert f"{LOST[name]}{UNTIL}" in service.log
    for command in ("status", "inspect"):
        assert f"{LOST[name]}{UNTIL}" in lab.ovpnctl("alice", command, "work").stdout
    if name == "spawner":
        with pytest.raises(BusError, match="The spawner has ended; sessions can be started again when the service is"):
            use(lab.connection("bob"), lab)
    service.process.signal(signal.SIGUSR2)
    assert service.process.wait() == 0
    next_one: Service = lab.supervisor()
    assert lasting(session) == before and told(session, since) == []
    assert session.get("status")[1] == CONNECTED
    assert UNTIL not in lab.ovpnctl("alice", "status", "work").stdout
    use(lab.connection("bob"), lab)
    assert next_one.stop() == 0
