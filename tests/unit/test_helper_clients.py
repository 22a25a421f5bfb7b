"""The supervisor's ends of spawner and resolver: what is asked, and what becomes of it when nobody waits any more."""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import prctl
import pytest

from ...ipc import helpers
from ...ipc.channel import Channel, ChannelClosed, channel_pair
from ...policy.limits import MAX_LOOKUPS_PER_SESSION
from ...supervisor.errors import SystemFailure
from ...supervisor.workers import helper_client, resolver_client, spawner_client
from ...supervisor.workers.reap import Reaper
from ...supervisor.workers.resolver_client import ResolverClient
from ...supervisor.workers.spawner_client import SpawnerClient
from ..support.descriptors import kernel_refuses_descriptors
from ..support.forked import run_forked
from ..support.waiting import until

DEADLINE = 20.0  # seconds
UID = 60707


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            await body()

    run_forked(main)


async def packet(channel: Channel) -> tuple[bytes, list[int]]:
    """The next one that the helper gets."""
    while True:
        try:
            arrived = channel.receive()
        except BlockingIOError:
            await asyncio.sleep(0)
        else:
            return arrived.data, arrived.descriptors


def waiting_child() -> int:
    child = os.fork()
    if child == 0:
        try:
            prctl.set_pdeathsig(signal.SIGKILL)
            signal.pause()
        finally:
            os._exit(0)
    return child


def pidfds() -> list[int]:
    """The open descriptors of processes."""
    files = [file for file in list(Path("/proc/self/fdinfo").iterdir()) if file.exists()]
    return [int(file.name) for file in files if "\nPid:" in file.read_text()]


# The spawner


class Spawner:
    """A spawner that the test speaks for, and the client that asks it."""

    def __init__(self) -> None:
        ours, self.channel = channel_pair()
        for channel in (ours, self.channel):
            channel.socket.setblocking(False)
        self.reaper = Reaper()
        self.reaper.start()
        self.free: list[int] = []
        self.replaced = 0
        self.client = SpawnerClient(ours, self.reaper, self.free.append, replace=self._replace)
        self.client.start()

    def _replace(self) -> None:
        self.replaced += 1

    async def asked(self, uid: int = UID) -> tuple[int, Channel]:
        """The serial number of the next request, and the worker's end of its channel."""
        data, [descriptor] = await packet(self.channel)
        serial, wanted, _ = helpers.unpack_spawn(data)
        assert wanted == uid
        return serial, Channel(socket.socket(fileno=descriptor))

    def answer(self, serial: int, child: int) -> None:
        descriptors = [os.pidfd_open(child)] if child > 0 else []
        self.channel.send(helpers.pack_spawned(serial, child), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)

    def close(self) -> None:
        self.client.close()
        self.channel.close()
        self.reaper.stop()


async def begun(spawner: Spawner) -> tuple["asyncio.Task[tuple[int, int, Channel]]", int, Channel]:
    task = asyncio.create_task(spawner.client.spawn(UID, [2]))
    serial, end = await spawner.asked()
    return task, serial, end


def test_a_worker_comes_with_its_channel() -> None:
    async def body() -> None:
        spawner = Spawner()
        task, serial, end = await begun(spawner)
        child = waiting_child()
        spawner.answer(serial + 7, child)  # to a request that there is not
        spawner.answer(serial, child)
        pid, pidfd, channel = await task
        assert pidfds() == [pidfd]  # that of the other answer is closed
        assert pid == child and not spawner.client.owes(UID) and spawner.free == []
        assert not channel.socket.getblocking()
        if kernel_refuses_descriptors():
            with pytest.raises(PermissionError):
                end.send(b"hello", [0])
        channel.send(b"hello")
        assert end.receive().data == b"hello"
        assert spawner.reaper._expected == 0
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        ended: list[str] = []
        spawner.reaper.watch(pid, ended.append)
        await until(lambda: bool(ended))
        os.close(pidfd)
        channel.close()
        with pytest.raises(ChannelClosed):
            end.receive()  # nobody else holds it
        end.close()
        spawner.close()

    run(body)


@pytest.mark.parametrize(("number", "reason"), [(-11, "Resource temporarily unavailable"), (-9999, "unknown")])
def test_one_that_could_not_be_started(number: int, reason: str) -> None:
    async def body() -> None:
        spawner = Spawner()
        task, serial, end = await begun(spawner)
        spawner.channel.send(b"junk")  # is no answer
        spawner.answer(serial, number)
        with pytest.raises(SystemFailure, match=rf"^The spawner could not start a worker: {reason}$"):
            await task
        assert not spawner.client.owes(UID) and spawner.free == [] and spawner.reaper._expected == 0
        with pytest.raises(ChannelClosed):
            end.receive()
        end.close()
        spawner.close()

    run(body)


@pytest.mark.parametrize("late", [False, True])
def test_one_that_comes_too_late_is_killed_and_then_its_user_id_is_free(
    late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if late:
        monkeypatch.setattr(spawner_client, "SPAWN_DEADLINE", 0.01)

    async def body() -> None:
        spawner = Spawner()
        task, serial, end = await begun(spawner)
        if late:
            with pytest.raises(SystemFailure, match=r"^The spawner did not start a worker within 0.01 s$"):
                await task
        else:
            task.cancel()
            await asyncio.wait([task])
        with pytest.raises(ChannelClosed):
            end.receive()
        assert spawner.client.owes(UID) and spawner.free == []
        child = waiting_child()
        spawner.answer(serial, child)
        await until(lambda: bool(spawner.free))
        assert not Path(f"/proc/{child}").exists()
        assert not spawner.client.owes(UID) and spawner.free == [UID] and spawner.reaper._expected == 0
        end.close()
        spawner.close()

    run(body)


def test_one_that_nobody_takes_although_it_has_come() -> None:
    async def body() -> None:
        spawner = Spawner()
        task, serial, end = await begun(spawner)
        child = waiting_child()
        spawner.reaper.stop()  # so that one sees what is owed
        spawner.answer(serial, child)
        spawner.client._readable()  # the answer is there, and the session is given up before anybody has seen it
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() and spawner.client.owes(UID) and spawner.free == []
        spawner.reaper.start()
        await until(lambda: bool(spawner.free))
        assert not Path(f"/proc/{child}").exists()
        assert spawner.free == [UID] and not spawner.client.owes(UID)
        end.close()
        spawner.close()

    run(body)


def test_the_user_id_of_one_that_does_not_come_is_free() -> None:
    async def body() -> None:
        spawner = Spawner()
        task, serial, end = await begun(spawner)
        task.cancel()
        await asyncio.wait([task])
        spawner.answer(serial, -11)
        await until(lambda: bool(spawner.free))
        assert spawner.free == [UID] and not spawner.client.owes(UID)
        end.close()
        spawner.close()

    run(body)


def test_what_a_spawner_died_over_is_lost_when_the_next_request_is_answered() -> None:
    async def body() -> None:
        spawner = Spawner()
        given_up, _, first = await begun(spawner)
        given_up.cancel()
        await asyncio.wait([given_up])
        waits, _, second = await begun(spawner)
        third = asyncio.create_task(spawner.client.spawn(UID + 1))
        serial, end = await spawner.asked(UID + 1)
        child = waiting_child()
        spawner.answer(serial, child)
        pid, pidfd, channel = await third
        with pytest.raises(SystemFailure, match=r"^The spawner died while it was starting a worker$"):
            await waits
        assert pid == child and spawner.free == [UID] and not spawner.client.owes(UID)
        assert spawner.reaper._expected == 0
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
        channel.close()
        for one in (first, second, end):
            one.close()
        spawner.close()

    run(body)


def test_a_spawner_that_answers_nothing_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_client, "ANSWER_DEADLINE", 0.01)

    async def body() -> None:
        spawner = Spawner()
        task, serial, end = await begun(spawner)
        await until(lambda: spawner.replaced == 1)
        spawner.answer(serial, -11)
        with pytest.raises(SystemFailure, match=r"^The spawner could not start"):
            await task
        assert spawner.client._answer_due is None
        end.close()
        spawner.close()

    run(body)


def test_a_spawner_that_is_busy_without_answering_anything_is_replaced() -> None:
    async def body() -> None:
        spawner = Spawner()
        spawner.client.found_busy()
        assert spawner.replaced == 0
        task, serial, end = await begun(spawner)
        spawner.answer(serial, -11)
        await asyncio.wait([task])
        assert task.exception() is not None
        spawner.client.found_busy()
        assert spawner.replaced == 0
        spawner.client.found_busy()
        assert spawner.replaced == 1
        end.close()
        spawner.close()

    run(body)


def test_a_spawner_that_ends_owes_nothing() -> None:
    async def body() -> None:
        spawner = Spawner()
        given_up, _, first = await begun(spawner)
        given_up.cancel()
        await asyncio.wait([given_up])
        waits, _, second = await begun(spawner)
        spawner.channel.close()
        with pytest.raises(SystemFailure, match=r"^The spawner has ended while it was starting a worker$"):
            await waits
        assert spawner.free == [UID] and not spawner.client.owes(UID) and spawner.reaper._expected == 0
        with pytest.raises(SystemFailure, match=r"^The spawner has ended; sessions can be started again when"):
            await spawner.client.spawn(UID)
        for end in (first, second):
            end.close()
        spawner.close()

    run(body)


def test_a_spawner_that_takes_no_requests() -> None:
    async def body() -> None:
        spawner = Spawner()
        with pytest.raises(BlockingIOError):
            while True:
                spawner.client._channel.send(b"x")
        with pytest.raises(SystemFailure, match=r"^The spawner takes no requests$"):
            await spawner.client.spawn(UID)
        assert not spawner.client.owes(UID) and spawner.reaper._expected == 0
        spawner.close()

    run(body)


def test_there_is_room_for_a_worker_that_was_asked_for() -> None:
    """Its pidfd arrives, whatever else is open by then."""

    async def body() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
        spawner = Spawner()
        for _ in range(2):
            task, serial, _ = await begun(spawner)
            child = waiting_child()
            taken = []
            spawner.answer(serial, child)
            with pytest.raises(OSError, match="Too many open files"):
                while True:
                    taken.append(os.dup(0))
            pid, pidfd, _ = await task
            assert pid == child and pidfds() == [pidfd]
            for descriptor in (pidfd, *taken):
                os.close(descriptor)
        spawner.close()

    run(body)


@pytest.mark.parametrize("ended", [False, True])
def test_nothing_is_read_from_a_channel_that_is_closed(ended: bool) -> None:
    async def body() -> None:
        spawner = Spawner()
        descriptor = spawner.client._channel.fileno()
        if ended:
            spawner.channel.close()
            await until(lambda: spawner.client.ended)
            assert not asyncio.get_running_loop().remove_reader(descriptor)
        spawner.client.close()
        assert not asyncio.get_running_loop().remove_reader(descriptor)
        if not ended:
            with pytest.raises(ChannelClosed):
                spawner.channel.receive()
        spawner.channel.close()
        spawner.reaper.stop()

    run(body)


# The resolver


class Resolver:
    """A resolver that the test speaks for, and the client that asks it."""

    def __init__(self) -> None:
        ours, self.channel = channel_pair()
        for channel in (ours, self.channel):
            channel.socket.setblocking(False)
        self.ends = 0
        self.client = ResolverClient(ours, self._ended)
        self.client.start()

    def _ended(self) -> None:
        self.ends += 1

    async def asked(self) -> helpers.ToResolver:
        data, _ = await packet(self.channel)
        return helpers.decode_to_resolver(data)

    async def lookup(self, host: str = "vpn.example") -> int:
        """The number of the next request, which is a look-up of this name."""
        asked = await self.asked()
        assert isinstance(asked, helpers.Lookup) and asked.host == host
        return asked.number

    def ask(self, session: str = "s", host: str = "vpn.example") -> "asyncio.Task[tuple[tuple[str, ...], str]]":
        return asyncio.create_task(self.client.resolve(session, host))

    def answer(self, number: int, *addresses: str, error: str = "") -> None:
        self.channel.send(helpers.encode(helpers.LookupResult(number, addresses, error)))

    def close(self) -> None:
        self.client.close()
        self.channel.close()


def test_each_look_up_gets_its_own_answer() -> None:
    async def body() -> None:
        resolver = Resolver()
        tasks = [resolver.ask(), resolver.ask(host="other.example")]
        first, second = await resolver.lookup(), await resolver.lookup("other.example")
        resolver.channel.send(b"junk")
        resolver.answer(second + 7, "192.0.2.9")
        resolver.answer(second, error="no such name")
        resolver.answer(first, "192.0.2.1", "2001:db8::1")
        resolver.answer(first, "192.0.2.2")  # twice
        assert await tasks[0] == (("192.0.2.1", "2001:db8::1"), "")
        assert await tasks[1] == ((), "no such name")
        assert resolver.client._waiting == {} and not resolver.client._per_session
        resolver.close()

    run(body)


def test_a_session_has_so_many_look_ups_and_no_more() -> None:
    async def body() -> None:
        resolver = Resolver()
        tasks = [resolver.ask() for _ in range(MAX_LOOKUPS_PER_SESSION)]
        numbers = [await resolver.lookup() for _ in tasks]
        assert await resolver.client.resolve("s", "vpn.example") == (
            (),
            "too many names are being resolved for this session",
        )
        others = resolver.ask("another")
        resolver.answer(await resolver.lookup(), "192.0.2.1")
        await others
        resolver.answer(numbers[0], "192.0.2.1")
        await tasks[0]
        tasks.append(resolver.ask())
        resolver.answer(await resolver.lookup(), "192.0.2.1")
        resolver.answer(numbers[1], "192.0.2.1")
        await asyncio.gather(*tasks)
        resolver.close()

    run(body)


@pytest.mark.parametrize("host", ["", "a" * 254, "a\nb", "a\0b"])
def test_what_is_no_name_is_not_asked(host: str) -> None:
    async def body() -> None:
        resolver = Resolver()
        assert await resolver.client.resolve("s", host) == ((), "this is no host name")
        with pytest.raises(BlockingIOError):
            resolver.channel.receive()
        longest = resolver.ask(host="a" * 253)
        resolver.answer(await resolver.lookup("a" * 253), "192.0.2.1")
        assert await longest == (("192.0.2.1",), "")
        resolver.close()

    run(body)


def test_a_look_up_that_is_given_up_is_cancelled_at_the_resolver() -> None:
    async def body() -> None:
        resolver = Resolver()
        task = resolver.ask()
        number = await resolver.lookup()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert await resolver.asked() == helpers.Cancel(number)
        assert resolver.client._waiting == {} and not resolver.client._per_session
        resolver.close()

    run(body)


def test_a_resolver_that_does_not_answer_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_client, "RESOLVE_DEADLINE", 0.01)
    monkeypatch.setattr(resolver_client, "_GRACE", 0.0)

    async def body() -> None:
        resolver = Resolver()
        assert await resolver.client.resolve("s", "vpn.example") == ((), "the resolver does not answer")
        assert not resolver.client._per_session
        resolver.close()

    run(body)


def test_a_resolver_that_ends_answers_everybody() -> None:
    async def body() -> None:
        resolver = Resolver()
        tasks = [resolver.ask(), resolver.ask()]
        await resolver.lookup()
        resolver.answer(await resolver.lookup(), "192.0.2.1")
        resolver.channel.close()
        ended = ((), "the resolver has ended; names can be looked up again when the service is restarted")
        assert await tasks[0] == ended and await tasks[1] == (("192.0.2.1",), "")
        assert await resolver.client.resolve("s", "vpn.example") == ended
        assert resolver.ends == 1
        resolver.close()

    run(body)


def test_a_resolver_in_the_place_of_another_is_asked_what_that_one_had_not_answered() -> None:
    async def body() -> None:
        resolver = Resolver()
        tasks = [resolver.ask(host="a.example"), resolver.ask(host="b.example")]
        resolver.answer(await resolver.lookup("a.example"), "192.0.2.1")
        number = await resolver.lookup("b.example")
        await tasks[0]
        resolver.channel.send(helpers.encode(helpers.ServesAnew()))
        assert await resolver.lookup("b.example") == number
        resolver.answer(number, "192.0.2.2")
        assert await tasks[1] == (("192.0.2.2",), "")
        resolver.close()

    run(body)
