"""Forwards to receivers that do not read, and through a bus that takes nothing: each line arrives or is counted."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dbus_fast import Message, MessageType

from ...policy.access import Acl, Caller
from ...policy.dbus_numbers import LogCategory, LogGroup
from ...policy.limits import MAX_FORWARDS_PER_USER, MAX_GUEST_FORWARDS, MAX_UNREAD, MAX_UNREAD_SIGNALS
from ...supervisor.bus.callers import Callers
from ...supervisor.bus.connection import BusConnection
from ...supervisor.bus.dispatch import Dispatcher
from ...supervisor.bus.interface import Interface
from ...supervisor.bus.signals import Signals
from ...supervisor.errors import CallerError
from ...supervisor.logging.log import Log
from ...supervisor.sessions import forwarding
from ...supervisor.sessions.forwarding import Forwarder, Forwards
from ..support.log_lines import LogLines

OWNER, OTHER = 1000, 1001
READER, SECOND = Caller(":1.7", OWNER), Caller(":1.8", OTHER)


class Outgoing(Signals):
    """What goes out; `full` is how many of the next signals the bus takes none of."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []  # to whom, and the text
        self.full = 0

    def emit(
        self,
        path: str,
        interface: Interface,
        member: str,
        body: Sequence[Any] = (),
        *,
        to: str | None = None,
        droppable: bool = False,
        of: int | None = None,
    ) -> int:
        if self.full:
            self.full -= 1
            return 0
        self.sent.append((to or "", body[2]))
        return len(self.sent)

    def texts(self, to: Caller = READER) -> list[str]:
        return [text for name, text in self.sent if name == to.name]


class Stage:
    """Forwards of one session to READER, and a clock that stands still."""

    def __init__(self, address: str, clock: SimpleNamespace) -> None:
        self.clock = clock
        self.out = Outgoing()
        self.log = LogLines()
        self._connection = BusConnection(address)
        dispatcher = Dispatcher(self._connection, Callers(self._connection), service_uid=0, log=Log())
        self.forwarder = Forwarder(self._connection, dispatcher, self.out, Log(destinations=[self.log]))
        self.forwards = Forwards("/sessions/s", Acl(OWNER, {OTHER}), self.forwarder)
        self.forwards.restricted = False
        self.forwards.add(READER)

    def say(self, *texts: str) -> None:
        for text in texts:
            self.forwards.line(LogGroup.CLIENT, LogCategory.INFO, text)

    def reject(self, number: int) -> bool:
        """The bus could not deliver signal `number`, counted from 1; whether that was about a forward."""
        message = Message(
            message_type=MessageType.ERROR, reply_serial=number, error_name="org.freedesktop.DBus.Error.LimitsExceeded"
        )
        return self.forwarder._received(message)

    def lost(self) -> int:
        return self.forwards._forwards[READER.name].lost

    def close(self) -> None:
        self._connection.close()


Play = Callable[[Callable[[Stage], None]], None]


@pytest.fixture
def on_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Runs a test where there is something to connect to, to which nothing is written."""
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(forwarding, "time", clock)

    def go(body: Callable[[Stage], None]) -> None:
        async def main() -> None:
            with socket.socket(socket.AF_UNIX) as bus:
                bus.bind(str(tmp_path / "bus"))
                bus.listen()
                stage = Stage(f"unix:path={tmp_path}/bus", clock)
                try:
                    body(stage)
                finally:
                    stage.close()

        asyncio.run(main())

    return go


def notice(lines: int) -> str:
    return f"{lines} log lines were lost here, faster than they were read"


def test_what_a_slow_bus_does_not_take_is_counted_where_it_is_missing(on_stage: Play) -> None:
    def body(stage: Stage) -> None:
        stage.say("a")
        stage.out.full = 1
        stage.say("b", "c")
        assert stage.out.texts() == ["a", notice(1), "c"]
        stage.out.full = 3  # the line, then twice the notice: what follows it must not come before it
        stage.say("d", "e", "f")
        assert stage.out.texts()[3:] == [] and stage.lost() == 3
        stage.say("g", "h")
        assert stage.out.texts()[3:] == [notice(3), "g", "h"] and stage.lost() == 0

    on_stage(body)


def test_a_receiver_that_does_not_read_is_sent_nothing_for_a_second(on_stage: Play) -> None:
    def body(stage: Stage) -> None:
        stage.say("a")
        assert stage.reject(1)
        stage.clock.now += 0.9
        stage.say("b", "c")
        assert stage.out.texts() == ["a"] and stage.lost() == 3
        stage.clock.now += 0.1
        stage.say("d")
        assert stage.out.texts() == ["a", notice(3), "d"] and stage.lost() == 0
        assert stage.reject(2) and stage.lost() == 3  # the notice stands for the lines that it tells of
        assert stage.reject(3) and stage.lost() == 4
        assert not stage.reject(3) and not stage.reject(4)

    on_stage(body)


def test_the_last_try_in_vain_ends_the_forward_and_the_log_tells_what_was_lost(on_stage: Play) -> None:
    def body(stage: Stage) -> None:
        stage.forwards.add(SECOND)
        for number in range(1, MAX_UNREAD):
            before = len(stage.out.sent)
            stage.say(f"line {number}")
            for serial, (name, _) in enumerate(stage.out.sent[before:], before + 1):
                assert name == SECOND.name or stage.reject(serial)
            assert READER.name in stage.forwards and stage.lost() == number
            stage.clock.now += 1
        before = len(stage.out.sent)
        stage.say("last", "and one after it")
        # READER's notice, its line and the next line, which will be rejected as well, and what the other reads.
        assert [name for name, _ in stage.out.sent[before:]] == [":1.7", ":1.7", ":1.8", ":1.7", ":1.8"]
        assert stage.reject(before + 1)
        assert READER.name not in stage.forwards and SECOND.name in stage.forwards
        [told] = stage.log.texts
        assert told.startswith("The log is no longer forwarded to :1.7 of user 1000, which does not read: ")
        assert told.endswith(f": {MAX_UNREAD + 1} lines were lost")
        assert not stage.reject(before + 2)  # it is of no forward any more

    on_stage(body)


@pytest.mark.parametrize(("seconds", "ends"), [(1.0, True), (1.25, False)])
def test_what_is_not_rejected_within_a_second_has_arrived(on_stage: Play, seconds: float, ends: bool) -> None:
    def body(stage: Stage) -> None:
        for _ in range(MAX_UNREAD - 1):
            stage.say("line")
            stage.reject(len(stage.out.sent))
            stage.clock.now += 1
        stage.say("line")
        stage.clock.now += seconds
        stage.say("line")
        stage.reject(len(stage.out.sent))
        assert (READER.name not in stage.forwards) is ends

    on_stage(body)


def test_one_that_leaves_too_much_unread_counts_as_rejected(on_stage: Play) -> None:
    def body(stage: Stage) -> None:
        stage.forwarder._budget.open(READER.name).charge(MAX_UNREAD_SIGNALS)
        stage.out.full = 1000
        for number in range(1, MAX_UNREAD):
            stage.say("line", "and another")  # which is not tried so soon after
            assert READER.name in stage.forwards and stage.lost() == 2 * number
            stage.clock.now += 1
        stage.say("last")
        assert READER.name not in stage.forwards
        [told] = stage.log.texts
        assert told.startswith("The log is no longer forwarded to :1.7 of user 1000, which does not read: ")
        assert told.endswith(f": {2 * (MAX_UNREAD - 1) + 1} lines were lost")
        assert stage.out.full == 1000 - MAX_UNREAD

    on_stage(body)


def test_only_the_latest_signals_are_remembered(on_stage: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forwarding, "MAX_TRACKED_SIGNALS", 2)

    def body(stage: Stage) -> None:
        stage.say("a", "b", "c")
        assert not stage.reject(1)
        assert stage.reject(2) and stage.reject(3)

    on_stage(body)


def test_lines_go_to_those_who_may_read_them_and_want_as_much(on_stage: Play) -> None:
    def body(stage: Stage) -> None:
        stage.forwards.add(SECOND)
        stage.forwards.restricted = True
        stage.say("for the owner")
        stage.forwards._forwards[READER.name].set_log_level(READER, 1)
        stage.say("for nobody")
        stage.forwards.restricted = False
        stage.say("for the other one")
        assert stage.out.sent == [(READER.name, "for the owner"), (SECOND.name, "for the other one")]
        assert stage.lost() == 0  # what is not meant for it is not missing

    on_stage(body)


def test_each_user_has_so_many_forwards_and_no_more(on_stage: Play) -> None:
    def body(stage: Stage) -> None:
        for user in (OTHER, OWNER, 0):
            for number in range(1 if user == READER.uid else 0, MAX_FORWARDS_PER_USER):
                stage.forwards.add(Caller(f":2.{user}.{number}", user))
            with pytest.raises(CallerError, match=f"to {MAX_FORWARDS_PER_USER} connections of yours already"):
                stage.forwards.add(Caller(f":3.{user}", user))
        stage.forwards.add(READER)  # has one
        assert len(stage.forwards.paths) == len(set(stage.forwards.paths)) == 3 * MAX_FORWARDS_PER_USER
        stage.forwards.drop(READER.name)
        stage.forwards.add(Caller(":3.1", OWNER))

    on_stage(body)


def test_guests_leave_places_for_the_owner_and_root(on_stage: Play) -> None:
    def body(stage: Stage) -> None:
        for number in range(MAX_GUEST_FORWARDS):
            stage.forwards.add(Caller(f":2.{number}", 2000 + number))
        with pytest.raises(CallerError, match=f"to {MAX_GUEST_FORWARDS} connections of users with whom it is shared"):
            stage.forwards.add(SECOND)
        for user in (OWNER, 0):
            stage.forwards.add(Caller(f":3.{user}", user))

    on_stage(body)
