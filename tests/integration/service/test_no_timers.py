"""Where there is nothing to do, nobody looks now and then: every thread waits for events, without a deadline."""

import platform
from pathlib import Path

import psutil

from ...lab.lab import Lab
from ...support.service_life import processes
from ...support.sessions import begin, until
from ...support.skipping import cannot_run_here

HELPERS = 4  # processes: spawner and resolver, each with its keeper

# System calls that wait, by their numbers, and which argument is the deadline (-1: they have none; syscall(2)).
_CALLS = {
    "x86_64": {0: -1, 7: 2, 23: 4, 45: -1, 47: -1, 61: -1, 202: 3, 232: 3, 247: -1, 270: 4, 271: 2, 281: 3},
    "aarch64": {22: 3, 63: -1, 72: 4, 73: 2, 95: -1, 98: 3, 207: -1, 212: -1, 260: -1},
}
_FOR_EVER = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)  # no pointer to a time, or -1 ms
_POLLING = {"x86_64": (7, 232, 281), "aarch64": (22,)}  # with a number of ms: 0 is a deadline there


def waits(pid: int) -> list[bool]:
    """Of each thread, whether it waits for ever (proc_pid_syscall(5))."""
    return [_for_ever((task / "syscall").read_text()) for task in Path(f"/proc/{pid}/task").iterdir()]


def _for_ever(call: str) -> bool:
    number, *arguments = (int(word, 0) for word in call.split()) if call != "running\n" else (-1,)
    machine = platform.machine()
    at = _CALLS[machine].get(number)
    if at is None or at < 0:
        return at is not None
    return arguments[at] in (_FOR_EVER[1:] if number in _POLLING[machine] else _FOR_EVER)


def all_wait(*roots: int) -> bool:
    """Whether all threads of these processes, and of those below them, wait for ever."""
    found = [psutil.Process(root) for root in roots]
    return all(all(waits(one.pid)) for root in found for one in (root, *root.children(recursive=True)))


def test_without_a_session_nobody_has_a_deadline_and_with_one_no_worker(lab: Lab) -> None:
    if platform.machine() not in _CALLS:
        cannot_run_here("the numbers of its system calls are not in the table")
    lab.server()
    service = lab.supervisor()
    until(lambda: len(processes("openvpn3-service-sessionmgr: ")) >= HELPERS)
    until(lambda: all_wait(service.pid))
    session = begin(lab)
    session.connect()
    until(lambda: all(waits(session.worker.pid)))
    until(lambda: all_wait(*processes("openvpn3-service-sessionmgr: ")))
    session.call("Disconnect")
    until(lambda: all_wait(service.pid))
