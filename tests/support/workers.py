"""Worker processes that are children of the test, and the supervisor's end of each."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import prctl

from ...ipc import messages
from ...ipc.channel import Channel, channel_pair
from ...supervisor.workers.process import WorkerListener, WorkerProcess
from ...supervisor.workers.reap import Reaper


class Heard(WorkerListener):
    """Keeps what it hears; `on_message` is what it does with a message."""

    def __init__(self) -> None:
        self.messages: list[messages.ToSupervisor] = []
        self.broken: list[str] = []
        self.unhandled: list[str] = []
        self.ends: list[str] = []
        self.on_message: Callable[[messages.ToSupervisor], Awaitable[None] | None] = lambda message: None
        self._news = asyncio.Event()

    def received(self, message: messages.ToSupervisor) -> Awaitable[None] | None:
        self.messages.append(message)
        self._news.set()
        return self.on_message(message)

    def rules_broken(self, reason: str) -> None:
        self.broken.append(reason)
        self._news.set()

    def not_handled(self, reason: str) -> None:
        self.unhandled.append(reason)
        self._news.set()

    def process_ended(self, how: str) -> None:
        self.ends.append(how)
        self._news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what was heard fulfils a condition."""
        while not condition():
            self._news.clear()
            await self._news.wait()


@contextmanager
def worker_process(life: Callable[[Channel], object] | None = None) -> Iterator[tuple[WorkerProcess, Heard, Channel]]:
    """A worker that lives as `life` says, or only waits; who hears it, and its end of the channel.

    With `life` the other end is the worker's alone.  Needs a running loop, in a process of its own
    (forked.py).
    """
    ours, theirs = channel_pair()
    ours.socket.setblocking(False)
    child = os.fork()
    if child == 0:
        try:
            prctl.set_pdeathsig(signal.SIGKILL)
            ours.close()
            if life is not None:
                life(theirs)
            else:
                signal.pause()
        finally:
            os._exit(0)
    if life is not None:
        theirs.close()
    reaper, heard = Reaper(), Heard()
    reaper.start()
    worker = WorkerProcess(child, os.pidfd_open(child), ours, reaper, heard)
    try:
        yield worker, heard, theirs
    finally:
        if worker.alive:
            worker._stop_reading()
            worker.kill()
            os.waitpid(child, 0)
        reaper.stop()
        theirs.close()
