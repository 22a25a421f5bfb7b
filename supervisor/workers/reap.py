"""Collecting ended children: workers, which become ours when the process that forked them ends, and the helpers."""

import asyncio
import os
import signal
from collections.abc import Callable

from ...kernel.signals import open_signalfd, take_signals
from ...policy.exit_status import describe

_UNCLAIMED_KEPT = 5.0  # seconds that the exit of a child may wait for somebody to ask for it


class Reaper:
    """Waits for all children of this process; as their subreaper (prctl(2)) that includes orphaned descendants."""

    def __init__(self) -> None:
        self._children_end = -1
        self._watched: dict[int, Callable[[str], None]] = {}
        # A worker may end before anybody has told us its process id; kept only while one is being started, since
        # the kernel gives the number to another process some day.
        self._unclaimed: dict[int, str] = {}
        self._expected = 0

    def start(self) -> None:
        """Collect from now on.  Needs a running loop, and threads that all block SIGCHLD.

        Raises OSError.
        """
        self._children_end = open_signalfd({signal.SIGCHLD})
        asyncio.get_running_loop().add_reader(self._children_end, self._collect)
        self._collect()  # a helper may have ended by now

    def stop(self) -> None:
        """Collect no more; does nothing when not started."""
        if self._children_end >= 0:
            asyncio.get_running_loop().remove_reader(self._children_end)
            os.close(self._children_end)
            self._children_end = -1

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

    def watch(self, pid: int, ended: Callable[[str], None]) -> None:
        """Call `ended` with the child's exit in words ("was killed by SIGKILL"), at once if that was before."""
        if pid in self._unclaimed:
            asyncio.get_running_loop().call_soon(ended, self._unclaimed.pop(pid))
        else:
            self._watched[pid] = ended

    def _collect(self) -> None:
        take_signals(self._children_end)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            how = describe(status)
            if pid in self._watched:
                self._watched.pop(pid)(how)
            else:
                self._unclaimed[pid] = how
                if not self._expected:
                    asyncio.get_running_loop().call_later(_UNCLAIMED_KEPT, self._forget_unclaimed)
