"""A service without a session costs nothing: each of its threads waits for events, and for no time but the idle exit's.

What a thread waits in, and for how long, the kernel tells (proc_pid_syscall(5)).
"""

import platform
import socket
import struct
from pathlib import Path

import pytest

from ....policy.exit_status import ExitStatus
from ...lab.connection import SESSIONS_PATH
from ...lab.lab import Lab
from ...lab.processes import DEADLINE
from ...support.service_life import connected, frozen, processes, started, wait_until
from ...support.skipping import cannot_run_here


@pytest.fixture(autouse=True)
def _known_system_calls() -> None:
    if platform.machine() != "x86_64":
        cannot_run_here("numbers of system calls are those of x86-64")


_RARE = 30.0  # seconds that are left of a minute at least, when somebody looks: what waits as long costs nothing
_ENDLESS = -1.0
_PROCESSES = 5  # spawner and resolver are two each
_WITHOUT_TIME = {45: "recvfrom", 47: "recvmsg", 61: "wait4", 247: "waitid", 0: "read", 128: "rt_sigtimedwait"}
_MILLISECONDS = {232: 3, 281: 3, 7: 2}  # epoll_wait, epoll_pwait, poll: which argument
_STRUCTURES = {23: 4, 270: 4, 271: 2, 202: 3}  # select, pselect6, ppoll, futex: which argument


def _waits(thread: Path) -> float | None:
    """How long a thread waits at most, in seconds, _ENDLESS for ever; None while it runs, or does something else."""
    fields = (thread / "syscall").read_text().split()
    if fields[0] == "running":
        return None
    number, arguments = int(fields[0]), [int(field, 16) for field in fields[1:7]]
    if number in _WITHOUT_TIME:
        return _ENDLESS
    if number in _MILLISECONDS:
        (milliseconds,) = struct.unpack("=i", (arguments[_MILLISECONDS[number]] & 0xFFFFFFFF).to_bytes(4, "little"))
        return _ENDLESS if milliseconds < 0 else milliseconds / 1000
    if number in _STRUCTURES:
        return _ENDLESS if arguments[_STRUCTURES[number]] == 0 else 0.0
    return None


def _timers() -> list[float] | None:
    """The times that the service's threads wait for; None while one of them is doing something, or is missing."""
    ours = [pid for prefix in ("openvpn3-service-sessionmgr", "openvpn3-session") for pid in processes(prefix)]
    if len(ours) < _PROCESSES:
        return None  # they are still being started
    times = [_waits(thread) for pid in ours for thread in Path(f"/proc/{pid}/task").iterdir()]
    return None if None in times else [time for time in times if time is not None and time != _ENDLESS]


@pytest.mark.parametrize("minutes", [0, 5])
def test_nothing_wakes_it(lab: Lab, minutes: float) -> None:
    """After a session, and while a front-end looks now and then."""
    lab.server()
    lab.supervisor(idle_exit=minutes)
    alice, [path] = connected(lab)
    alice.session(path, "Disconnect")
    expected = 1 if minutes else 0
    for _ in range(3):
        alice.session(SESSIONS_PATH, "FetchAvailableSessions")
        alice.get(SESSIONS_PATH, "version")
        wait_until(lambda: _only(_timers(), expected))


def test_systemd_is_told_that_it_turns_and_that_is_rare(lab: Lab) -> None:
    place = lab.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(place))
        place.chmod(0o666)
        told.settimeout(DEADLINE)
        environment = {**lab.bus.environment(), "NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "120000000"}
        with started(lab, "--idle-exit=5", environment=environment) as service:
            assert told.recv(4096) == b"READY=1\nSTATUS=Serving"
            assert told.recv(4096) == b"WATCHDOG=1"
            wait_until(lambda: _only(_timers(), 1))
            assert service.stop() == ExitStatus.OK
            assert told.recv(4096) == b"STOPPING=1\nSTATUS=Ending"


def test_no_turn_no_sign_of_life(lab: Lab) -> None:
    """A service that stands still tells nothing, though its threads and children go on."""
    place = lab.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(place))
        place.chmod(0o666)
        told.settimeout(DEADLINE)
        environment = {**lab.bus.environment(), "NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "200000"}
        with started(lab, environment=environment) as service:
            for _ in range(3):
                told.recv(4096)
            with frozen(service.pid):
                told.settimeout(0.5)
                with pytest.raises(TimeoutError):
                    while True:
                        told.recv(4096)
            told.settimeout(DEADLINE)
            assert told.recv(4096) == b"WATCHDOG=1"


def _only(timers: list[float] | None, expected: int) -> bool:
    return timers is not None and len(timers) == expected and all(time >= _RARE for time in timers)
