"""A run is undone whole, in one order, and the next one begins after that."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from ...ipc import messages
from ...ipc.codec import decode_to_worker, encode
from ...policy.dbus_numbers import LogCategory, LogGroup
from ...policy.dns import DnsSettings, NameServer
from ...policy.limits import LOG_CREDIT
from ...supervisor.dns import names as dns
from ...supervisor.dns.backend import NoBackend
from ...supervisor.dns.names import Names
from ...supervisor.errors import ProtocolViolation, SystemFailure
from ...supervisor.logging.log import Log
from ...supervisor.network.apply import Network
from ...supervisor.network.locking.kill_switch import KillSwitch
from ...supervisor.network.locking.lock import MachineLock
from ...supervisor.network.locking.lock_rules import Terms as LockTerms
from ...supervisor.network.name_servers import MachineNameServers
from ...supervisor.network.roaming import Roaming
from ...supervisor.network.serial_executor import SerialExecutor
from ...supervisor.sessions import run as runs
from ...supervisor.sessions.journal import SessionJournal
from ...supervisor.sessions.launch_spec import LaunchSpec
from ...supervisor.sessions.run import Run
from ...supervisor.sessions.states import Event, State
from ...supervisor.sessions.uids import UserIds
from ...supervisor.workers.spawner_client import SpawnerClient
from ..support.bare import BareSession, empty_spec, session_in
from ..support.forked import run_forked
from ..support.log_lines import LogLines
from ..support.workers import worker_process

UID = 60707
DEADLINE = 10.0  # seconds
Done = list[str]


class Books(Network, SessionJournal, UserIds):
    """What a run takes from and gives back to, in one object that notes it."""

    def __init__(self, done: Done, failing: bool) -> None:
        self._done = done
        self._failing = failing
        executor = SerialExecutor("ways")
        self.roaming = Roaming(executor)
        self.kill_switch = KillSwitch(MachineLock(LockTerms(range(0), ()), frozenset), executor, Log())
        self.away: Any = ()  # no device has been moved

    protected = range(0)

    async def create_device(self, session: str, uid: int, owner: int, wanted: str = "") -> str:
        self._done.append(f"device for {uid}")
        return "tun7"

    async def clear(self, device: str, *, keep: bool = False) -> None:
        self._done.append(f"clear {device}")
        if self._failing:
            raise SystemFailure("no")

    async def delete_device(self, device: str) -> None:
        await asyncio.sleep(0)  # others get to see what is there before
        self._done.append(f"delete {device}")
        if self._failing:
            raise SystemFailure("no")

    def place_to_wait(self, session: str) -> socket.socket:
        return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def keep(self, session: str, dossier: bytes) -> None:
        pass

    def forget(self, session: str) -> None:
        pass

    def let_go(self, session: str) -> None:
        pass

    def end_exemption(self, uid: int) -> None:
        self._done.append(f"end exemption of {uid}")

    def remove(self, session: str) -> None:
        self._done.append(f"forget worker of {session}")
        if self._failing:
            raise OSError(5, "no")

    def take(self) -> int:
        self._done.append(f"take {UID}")
        return UID

    def give_back(self, uid: int) -> None:
        self._done.append(f"give back {uid}")


class Spawner(SpawnerClient):
    """One that no worker is expected of."""

    def __init__(self) -> None:
        pass

    def owes(self, uid: int) -> bool:
        return False


class DeviceRun(Run):
    """A run that has a device and a user id, and no worker."""

    async def _launch(self, spec: LaunchSpec) -> None:
        self._uid = self._context.user_ids.take()
        await self.network.make_device(self._uid, spec.device, self._owner.noticed)


UNDONE = ["clear tun7", "delete tun7", f"end exemption of {UID}", "forget worker of s", f"give back {UID}"]
MADE = [f"take {UID}", f"device for {UID}"]


def run_test(
    body: Callable[[BareSession, Done], Coroutine[Any, Any, None]], *, failing: bool = False, **others: Any
) -> None:
    async def main() -> None:
        done: Done = []
        books = Books(done, failing)
        others.update(network=books, journal=books, user_ids=books, spawner=Spawner())
        with session_in(State.CONNECTED, **others) as session:
            async with asyncio.timeout(DEADLINE):
                await body(session, done)

    run_forked(main)


async def begin(session: BareSession, after: asyncio.Event | None = None) -> DeviceRun:
    made = DeviceRun(session, empty_spec(), session._context, after)
    if after is None:
        await made._starting
    return made


@pytest.mark.parametrize("failing", [False, True])
@pytest.mark.parametrize("goodbye", [False, True])
def test_everything_is_given_back_once_and_in_order(failing: bool, goodbye: bool) -> None:
    async def body(session: BareSession, done: Done) -> None:
        run = await begin(session)
        assert (done, run.uid, run.device) == (MADE, UID, "tun7")
        done.clear()
        run.end(goodbye=goodbye)
        run.end(goodbye=not goodbye)
        await run.network_cleared.wait()
        assert done == UNDONE[:1]
        await run.ended.wait()
        assert (done, run.uid, run.device) == (UNDONE, 0, "")

    run_test(body, failing=failing)


class StandsStill(NoBackend):
    """A back end that never answers when name servers are to be given back."""

    by_domain = True

    def __init__(self) -> None:
        super().__init__("")

    async def set(self, device: str, settings: DnsSettings) -> None:
        pass

    async def unset(self, device: str) -> None:
        await asyncio.Event().wait()


def test_traffic_is_not_sent_into_the_tunnel_until_name_servers_are_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dns, "DNS_DEADLINE", 10 * DEADLINE)
    names = Names(StandsStill(), "", MachineNameServers(), None, Log())

    async def body(session: BareSession, done: Done) -> None:
        run = await begin(session)
        await names.apply(run.device, "s", UID, DnsSettings((NameServer("198.18.0.1"),)))
        run.end(goodbye=False)
        while UNDONE[0] not in done:
            await asyncio.sleep(0)

    run_test(body, names=names)


def test_what_cannot_be_undone_is_logged_and_the_rest_is_undone() -> None:
    lines = LogLines()

    async def body(session: BareSession, done: Done) -> None:
        run = await begin(session)
        run.end(goodbye=False)
        await run.ended.wait()
        assert lines.texts == [
            "Network settings could not be undone: no",
            "Device tun7 could not be removed: no",
            "The note of a worker cannot be removed: no",
        ]
        assert session.log.last == (LogGroup.NETCFG, LogCategory.ERROR, lines.texts[1])  # its forwards hear of it

    run_test(body, failing=True, log=Log(destinations=[lines]))


def test_the_next_run_begins_when_nothing_is_left_of_the_one_before() -> None:
    async def body(session: BareSession, done: Done) -> None:
        first = await begin(session)
        first.end(goodbye=False)
        second = await begin(session, first.ended)
        await second._starting
        assert done == [*MADE, *UNDONE, *MADE]

    run_test(body)


def test_one_that_is_given_up_before_that_takes_nothing_and_waits_all_the_same() -> None:
    async def body(session: BareSession, done: Done) -> None:
        first = await begin(session)
        second = await begin(session, first.ended)
        second.end(goodbye=True)
        first.end(goodbye=False)
        await second.network_cleared.wait()
        assert first.ended.is_set()
        await second.ended.wait()
        assert done == [*MADE, *UNDONE, "end exemption of 0", "forget worker of s"]

    run_test(body)


def test_each_run_counts_for_itself() -> None:
    async def body(session: BareSession, done: Done) -> None:
        first, second = await begin(session), await begin(session)
        for _ in range(LOG_CREDIT):
            first.log_credit.spend()
        with pytest.raises(ProtocolViolation, match="beyond its credit"):
            first.log_credit.spend()
        second.log_credit.spend()
        assert [first.conversation.begin_request(), first.conversation.begin_request()] == [1, 2]
        assert second.conversation.begin_request() == 1

    run_test(body)


def test_a_session_between_two_runs_shows_none_and_ends_with_the_last() -> None:
    async def body(session: BareSession, done: Done) -> None:
        session.use_run(await begin(session))
        session.happened(Event.CRASHED)
        assert session.state is State.DOWN and session.run is None and session.backend_pid == 0
        session.happened(Event.DISCONNECT)
        await session.network_cleared()
        assert "clear tun7" in done
        await session.ended.wait()
        assert done == [*MADE, *UNDONE]
        session.forget()

    run_test(body)


def test_only_requests_are_passed_on() -> None:
    async def body(session: BareSession, done: Done) -> None:
        with pytest.raises(ValueError, match="DISCONNECT is no request"):
            (await begin(session)).request(Event.DISCONNECT)

    run_test(body)


# With a worker, which is a process that only waits


def test_a_worker_that_nobody_waits_for_is_killed_unheard() -> None:
    async def body(session: BareSession, done: Done) -> None:
        run = await begin(session)
        with worker_process() as (worker, heard, theirs):
            run._worker = worker
            assert (run.pid, run.alive, run.congested) == (worker.pid, True, False)
            theirs.send(encode(messages.ClearNetwork()))
            run.end(goodbye=False)
            await run.ended.wait()
            assert not run.alive and run.pid == worker.pid
            assert (heard.messages, heard.ends, heard.broken) == ([], [], [])
            assert done == [*MADE, *UNDONE]

    run_test(body)


def test_a_worker_that_does_not_say_goodbye_in_time_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = LogLines()
    monkeypatch.setattr(runs, "GOODBYE_DEADLINE", 0.01)
    monkeypatch.setattr(runs, "GOODBYE_GRACE", 0.0)

    async def body(session: BareSession, done: Done) -> None:
        run = await begin(session)
        with worker_process() as (worker, heard, theirs):
            run._worker = worker
            run.send(messages.LogCredit(3))
            run.end(goodbye=True)
            told = [decode_to_worker(memoryview(bytearray(theirs.receive().data)), 0) for _ in range(2)]
            assert told == [messages.LogCredit(3), messages.Disconnect()]
            await run.network_cleared.wait()
            assert run.alive and done == [*MADE, UNDONE[0]]  # no traffic from here on, whatever the worker does
            await run.ended.wait()
            await heard.until(lambda: bool(heard.ends))
            assert heard.ends == ["was killed by SIGKILL"] and done == [*MADE, *UNDONE]
            assert lines.texts == ["The worker did not end in time and is killed"]

    run_test(body, log=Log(destinations=[lines]))
