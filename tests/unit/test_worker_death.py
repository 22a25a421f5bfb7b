"""What a worker said before it died: its greeting and the cause count, and nothing else does."""

import asyncio
import os

from ...ipc import messages
from ...ipc.channel import Channel, channel_pair
from ...ipc.codec import encode
from ...policy.dbus_numbers import LogCategory
from ...supervisor.workers.process import WorkerListener, WorkerProcess
from ...supervisor.workers.reap import Reaper
from ..support.frames import examples

DEADLINE = 10.0  # seconds
COUNTS = (
    messages.WorkerHello,  # without which it may say nothing
    messages.WorkerSnapshot,
    messages.LogLine,
    messages.Traffic,
    messages.Refused,
    messages.AuthenticationFailed,
    messages.Failed,
    messages.EngineDied,
    messages.Ended,
)


def speaks_and_dies(channel: Channel) -> int:
    """A child that says one of each message and ends; it has ended when this returns."""
    child = os.fork()
    if child == 0:
        try:
            for message in (one for one in examples(0) if type(one) not in messages.DESCRIPTORS):
                channel.send(encode(message))
            channel.send(encode(messages.LogLine(LogCategory.CRIT, "and why")))
        finally:
            os._exit(3)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    return child


class Listener(WorkerListener):
    """Keeps what it hears."""

    def __init__(self) -> None:
        self.messages: list[messages.ToSupervisor] = []
        self.ends: list[str] = []
        self.ended = asyncio.Event()

    def received(self, message: messages.ToSupervisor) -> None:
        self.messages.append(message)

    def rules_broken(self, reason: str) -> None:
        self.process_ended(reason)

    def not_handled(self, reason: str) -> None:
        self.process_ended(reason)

    def process_ended(self, how: str) -> None:
        self.ends.append(how)
        self.ended.set()


def test_of_a_dead_worker_only_greeting_and_cause_count() -> None:
    async def main() -> Listener:
        listener = Listener()
        ours, theirs = channel_pair()
        ours.socket.setblocking(False)
        pid = speaks_and_dies(theirs)
        theirs.close()
        reaper = Reaper()
        worker = WorkerProcess(pid, os.pidfd_open(pid), ours, reaper, listener)
        reaper.start()  # collects it before anything has been read
        async with asyncio.timeout(DEADLINE):
            await worker.ended.wait()
            await listener.ended.wait()
        reaper.stop()
        return listener

    listener = asyncio.run(main())
    assert [type(message) for message in listener.messages] == [
        kind for kind in map(type, examples(0)) if kind in COUNTS
    ] + [messages.LogLine]
    assert len(listener.ends) == 1 and "exited with 3" in listener.ends[0]
