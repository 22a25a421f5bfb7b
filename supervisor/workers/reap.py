"""Children that end or are stopped: workers, which become ours when who forked them ends, and the helpers."""

import asyncio
import os
import signal
from collections.abc import Callable

from ...kernel.signals import open_signalfd, take_signals
from ...policy.exit_status import ExitStatus, describe
from ...policy.limits import STOPPED_GRACE

_UNCLAIMED_KEPT = 5.0  # seconds that the exit of a child may wait for somebody to ask for it


class NoChild:
    """Tells of the end of a process that is no child of this one: when it ends, but not how."""

    def __init__(self, pidfd: int) -> None:
        """Does not own `pidfd`, which stays open until the end has been told."""
        self._pidfd = pidfd

    def watch(self, pid: int, ended: Callable[[str], None], stopped: Callable[[str], None] | None = None) -> None:
        """Call `ended` with words for it; that it is stopped only who looks can see (lookout.py)."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            loop.remove_reader(self._pidfd)
            ended("ended without a word: it was killed, or crashed")

        loop.add_reader(self._pidfd, readable)


class Reaper:
    """Waits for all children of this process; as their subreaper (prctl(2)) that includes orphaned descendants.

    A child that is stopped (SIGSTOP) may go on within a grace.  After that whoever watches its stops is told; if
    nobody does, it is made to go on (SIGCONT).
    """

    def __init__(
        self,
        stopped_grace: float = STOPPED_GRACE,
        going_on: Callable[[int, str], None] = lambda pid, how: None,
        unconfined: Callable[[], None] = lambda: None,
    ) -> None:
        """`stopped_grace` is in seconds, 0 for ever; `going_on` is called before a child is made to go on.

        `unconfined` is called when one has ended since it could not be confined.
        """
        self._stopped_grace = stopped_grace
        self._going_on = going_on
        self._unconfined = unconfined
        self._changes = -1
        self._watched: dict[int, Callable[[str], None]] = {}
        self._watched_stops: dict[int, Callable[[str], None]] = {}
        self._stopped: dict[int, asyncio.TimerHandle] = {}
        # A worker may end before anybody has told us its process id; kept only while one is being started, since
        # the kernel gives the number to another process some day.
        self._unclaimed: dict[int, str] = {}
        self._expected = 0

    def start(self) -> None:
        """Collect from now on.  Needs a running loop, and threads that all block SIGCHLD.

        Raises OSError.
        """
        self._changes = open_signalfd({signal.SIGCHLD})
        asyncio.get_running_loop().add_reader(self._changes, self._collect)
        self._collect()  # a helper may have ended by now

    def stop(self) -> None:
        """Collect no more; does nothing when not started."""
        if self._changes >= 0:
            asyncio.get_running_loop().remove_reader(self._changes)
            os.close(self._changes)
            self._changes = -1
        for grace in self._stopped.values():
            grace.cancel()
        self._stopped.clear()

    def expect(self) -> None:
        """A child is being started; its process id will be told later."""
        self._expected += 1

    def expect_no_more(self) -> None:
        """The process id of one that was expected has been told, or there is none."""
        self._expected -= 1
        if not self._expected:
            asyncio.get_running_loop().call_later(_UNCLAIMED_KEPT, self._forget_unclaimed)

    def _forget_unclaimed(self) -> None:
        if not self._expected:
            self._unclaimed.clear()

    def watch(self, pid: int, ended: Callable[[str], None], stopped: Callable[[str], None] | None = None) -> None:
        """Call `ended` with the child's exit in words ("was killed by SIGKILL"), at once if that was before.

        `stopped` is called, with words for it, when the child is stopped for longer than the grace.
        """
        if pid in self._unclaimed:
            asyncio.get_running_loop().call_soon(ended, self._unclaimed.pop(pid))
        else:
            self._watched[pid] = ended
            if stopped is not None:
                self._watched_stops[pid] = stopped

    def _collect(self) -> None:
        take_signals(self._changes)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (grace := self._stopped.pop(pid, None)) is not None:
                grace.cancel()
            if os.WIFSTOPPED(status):
                self._child_stopped(pid, f"is stopped ({signal.Signals(os.WSTOPSIG(status)).name})")
            elif not os.WIFCONTINUED(status):
                if os.waitstatus_to_exitcode(status) == ExitStatus.CONFINEMENT:
                    self._unconfined()
                self._child_ended(pid, describe(status))

    def _child_stopped(self, pid: int, how: str) -> None:
        if self._stopped_grace:
            later = asyncio.get_running_loop().call_later
            self._stopped[pid] = later(self._stopped_grace, self._stays_stopped, pid, how)

    def _stays_stopped(self, pid: int, how: str) -> None:
        del self._stopped[pid]
        if pid in self._watched_stops:
            self._watched_stops[pid](how)
        else:
            self._going_on(pid, how)
            os.kill(pid, signal.SIGCONT)  # cannot hit a stranger: it has not been waited for

    def _child_ended(self, pid: int, how: str) -> None:
        self._watched_stops.pop(pid, None)
        if pid in self._watched:
            self._watched.pop(pid)(how)
        else:
            self._unclaimed[pid] = how
            if not self._expected:
                asyncio.get_running_loop().call_later(_UNCLAIMED_KEPT, self._forget_unclaimed)
