"""The supervisor's end of one worker: frames strictly in order, bounds, and an end that leaves nothing."""

import asyncio
import errno
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from ...ipc import messages
from ...ipc.channel import Channel
from ...ipc.codec import decode_to_worker, encode
from ...policy.dbus_numbers import LogCategory
from ...supervisor.errors import ProtocolViolation
from ...supervisor.workers import process
from ...supervisor.workers.process import WorkerProcess
from ..support.forked import run_forked
from ..support.workers import Heard, worker_process

DEADLINE = 20.0  # seconds
KILLED = ["was killed by SIGKILL"]
Body = Callable[[WorkerProcess, Heard, Channel], Coroutine[Any, Any, None]]


def run(body: Body, life: Callable[[Channel], object] | None = None) -> None:
    async def main() -> None:
        with worker_process(life) as (worker, heard, theirs):
            async with asyncio.timeout(DEADLINE):
                await body(worker, heard, theirs)

    run_forked(main)


def said(number: int) -> messages.LogLine:
    return messages.LogLine(LogCategory.INFO, f"line {number}")


def say(theirs: Channel, *numbers: int) -> None:
    for number in numbers:
        theirs.send(encode(said(number)))


def numbers(heard: Heard) -> list[int]:
    """Of the lines heard."""
    return [int(line.text.split()[1]) for line in heard.messages if isinstance(line, messages.LogLine)]


def test_one_that_does_not_read_is_killed_and_congested_before() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        assert not worker.congested
        sent = congested = 0
        while not heard.broken:
            worker.send(messages.LogCredit(1))
            sent += 1
            congested = congested or (sent if worker.congested else 0)
            await asyncio.sleep(0)
        assert heard.broken == ["it does not read what it is sent"]
        assert 0 < congested < sent
        await heard.until(lambda: bool(heard.ends))
        assert heard.ends == KILLED and not worker.alive
        assert not worker.congested
        worker.send(messages.LogCredit(1))  # is left to its end
        worker.kill()

    run(body)


def test_one_that_reads_in_the_end_is_not_congested() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        while not worker.congested:
            worker.send(messages.LogCredit(1))
        theirs.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                theirs.receive()
        assert not worker.congested and not heard.broken

    run(body)


def test_a_frame_that_takes_time_holds_back_the_next_until_it_is_given_up() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        done = [asyncio.get_running_loop().create_future() for _ in range(2)]
        heard.on_message = lambda message: done[len(heard.messages) - 1] if len(heard.messages) <= 2 else None
        say(theirs, 1, 2, 3, 4)
        await heard.until(lambda: len(heard.messages) == 1)
        say(theirs, 5)
        await asyncio.sleep(0)
        assert numbers(heard) == [1]
        worker.cancel_busy()
        await heard.until(lambda: len(heard.messages) == 2)
        assert done[0].cancelled() and numbers(heard) == [1, 2]
        done[1].set_result(None)
        await heard.until(lambda: len(heard.messages) == 5)
        assert numbers(heard) == [1, 2, 3, 4, 5] and heard.broken == []
        worker.cancel_busy()  # there is none

    run(body)


@pytest.mark.parametrize(
    ("error", "broken", "unhandled"),
    [
        (ProtocolViolation("it asked too much"), ["it asked too much"], []),
        (KeyError("x"), [], ["KeyError('x')"]),
        (OSError(errno.EMFILE, "Too many open files"), [], ["Too many open files"]),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_what_cannot_be_handled_kills_it_and_is_said_once(
    error: Exception, broken: list[str], unhandled: list[str], later: bool
) -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        async def fail() -> None:
            raise error

        def fail_at_2(message: messages.ToSupervisor) -> Awaitable[None] | None:
            if len(heard.messages) < 2:
                return None
            if later:
                return fail()
            raise error

        heard.on_message = fail_at_2
        say(theirs, 1, 2, 3)
        await heard.until(lambda: bool(heard.ends))
        assert numbers(heard) == [1, 2]  # nor is the other one its last word
        assert (heard.broken, heard.unhandled, heard.ends) == (broken, unhandled, KILLED)

    run(body)


@pytest.mark.parametrize("beyond", [0, 1])
def test_so_many_frames_in_a_second_and_no_more(beyond: int, monkeypatch: pytest.MonkeyPatch) -> None:
    most = 40  # more than are read at once
    monkeypatch.setattr(process, "MAX_WORKER_FRAMES", most)

    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        monkeypatch.setattr(worker._loop, "time", lambda: 1000.0)
        say(theirs, *range(most + beyond))
        await heard.until(lambda: len(heard.messages) == most if not beyond else bool(heard.broken))
        assert heard.broken == [f"it sent more than {most} messages in a second"] * beyond
        assert numbers(heard) == list(range(most))
        if not beyond:
            monkeypatch.setattr(worker._loop, "time", lambda: 1001.0)
            say(theirs, *range(most))
            await heard.until(lambda: len(heard.messages) == 2 * most)
            assert heard.broken == []

    run(body)


def test_descriptors_break_the_rules() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        read_end, write_end = os.pipe()
        theirs.send(encode(said(1)), [write_end, write_end])
        os.close(write_end)
        await heard.until(lambda: bool(heard.ends))
        assert heard.broken == ["it sent 2 descriptors"] and heard.messages == []
        assert await asyncio.to_thread(os.read, read_end, 1) == b""  # they are closed
        os.close(read_end)

    run(body)


def test_what_is_no_message_breaks_the_rules() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        theirs.send(b"junk")
        await heard.until(lambda: bool(heard.ends))
        [told] = heard.broken
        assert "4 bytes are not a message" in told and heard.ends == KILLED

    run(body)


def close_and_stay(channel: Channel) -> None:
    channel.close()
    signal.pause()


def test_one_that_only_closes_its_channel_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CLOSED_GRACE", 0.01)

    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        await heard.until(lambda: bool(heard.ends))
        assert (heard.ends, heard.broken) == (KILLED, [])

    run(body, close_and_stay)


def test_its_end_gives_up_what_is_being_done_for_it_and_closes_everything() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        busy: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heard.on_message = lambda message: busy if len(heard.messages) == 1 else None
        say(theirs, 1, 2, 3)
        await heard.until(lambda: len(heard.messages) == 1)
        descriptors = worker._channel.fileno(), worker._pidfd
        worker.kill()
        await worker.ended.wait()
        assert not worker.alive and heard.ends == []
        await heard.until(lambda: bool(heard.ends))
        assert busy.cancelled() and numbers(heard) == [1, 2, 3]  # what it had said explains its end
        for descriptor in descriptors:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(descriptor)

    run(body)


def test_one_that_nobody_wants_any_more_is_killed_unheard() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        busy: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heard.on_message = lambda message: busy
        say(theirs, 1, 2)
        await heard.until(lambda: len(heard.messages) == 1)
        worker.dismiss()
        assert busy.cancelled()  # at once
        await worker.ended.wait()
        await asyncio.sleep(0)
        assert (numbers(heard), heard.ends, heard.broken) == ([1], [], [])

    run(body)


def test_the_signal_that_it_is_sent() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        reads = worker._channel.fileno()
        worker.kill(signal.SIGTERM)
        await heard.until(lambda: bool(heard.ends))
        assert not worker._loop.remove_reader(reads)  # the number may be another file's by now
        assert heard.ends == ["was killed by SIGTERM"]

    run(body)


def test_one_that_does_not_answer_is_killed_and_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ANSWER_DEADLINE", 0.05)

    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        worker.ask_for_answer()
        await heard.until(lambda: bool(heard.ends))
        await worker.ended.wait()
        for _ in range(3):
            await asyncio.sleep(0)
        assert heard.ends == ["does not answer within 0.05 s, and is killed"] and heard.broken == []

    run(body)


def test_one_that_answers_is_left_alone_and_may_not_answer_unasked() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        heard.on_message = lambda message: worker.answered()
        for _ in range(2):
            worker.ask_for_answer()
            worker.ask_for_answer()
            assert decode_to_worker(theirs.receive().data, 0) == messages.Ping()
            theirs.send(encode(messages.Pong()))
            await heard.until(lambda: worker._answer_due is None)
        theirs.send(encode(messages.Pong()))
        await heard.until(lambda: bool(heard.broken))
        assert heard.broken == ["it answered what it was not asked"]

    run(body)


def test_the_answer_may_wait_behind_what_is_being_done_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "ANSWER_DEADLINE", 0.01)

    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        done = asyncio.Event()

        async def takes_long() -> None:
            await done.wait()

        def on_message(message: messages.ToSupervisor) -> Awaitable[None] | None:
            if isinstance(message, messages.Pong):
                worker.answered()
                return None
            return takes_long()

        heard.on_message = on_message
        say(theirs, 1)
        await heard.until(lambda: bool(heard.messages))
        worker.ask_for_answer()
        theirs.send(encode(messages.Pong()))
        first = worker._answer_due
        while worker._answer_due is first:
            await asyncio.sleep(0)
        done.set()
        await heard.until(lambda: len(heard.messages) == 2)
        assert heard.ends == []

    run(body)


def test_one_that_stays_stopped_is_killed() -> None:
    async def body(worker: WorkerProcess, heard: Heard, theirs: Channel) -> None:
        worker.kill(signal.SIGSTOP)
        await heard.until(lambda: bool(heard.ends))
        await worker.ended.wait()
        assert heard.ends == ["is stopped (SIGSTOP), and is killed"]

    run(body)
