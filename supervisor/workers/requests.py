"""What a worker may say, in which states of its session, and what is done then.

The counterpart is worker/session/requests.py.  A worker that says anything else is at fault: it is killed, by name in
the log, and its session fails.  A session that is off the bus only listens to log lines.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec

from ...ipc import messages
from ...policy.limits import MAX_WORKER_REPORTS
from ..errors import ProtocolViolation
from ..sessions.states import TABLE, Event, State
from . import reports

if TYPE_CHECKING:
    from ..sessions.session import Session


class _Permit(msgspec.Struct, frozen=True):
    """One row: the states in which a worker may send the message, and what to do."""

    states: frozenset[State]
    act: Callable[[Session, Any], Awaitable[None] | None]


def handle(session: Session, message: messages.ToSupervisor) -> Awaitable[None] | None:
    """Do what one message of the session's worker asks.

    Raises ProtocolViolation if it may not be sent now.
    """
    permit = PERMITS[type(message)]
    if not session.handshake_done and not isinstance(message, messages.WorkerHello):
        raise ProtocolViolation(f"it sent {type(message).__name__} before its hello")
    if isinstance(message, messages.NUMBERED_REPORTS):
        if message.request_number > session.request_number:
            raise ProtocolViolation(f"it answered request {message.request_number} of {session.request_number}")
        if message.request_number < session.request_number:
            return None  # it had not heard of the latest request yet, which overrules what it reports
    if session.state not in permit.states:
        raise ProtocolViolation(f"it sent {type(message).__name__} while {session.state.name}")
    if session.state in _OVER and not isinstance(message, messages.LogLine):
        return None
    if isinstance(message, messages.NUMBERED_REPORTS):
        _count_report(session)
    return permit.act(session, message)


def _count_report(session: Session) -> None:
    """Bound what others hear of the session: each report is a status, signals to its users, and lines of the log."""
    now = time.monotonic()
    turn, began, count = session.reports
    if turn != session.request_number or now - began >= 1:
        began, count = now, 0
    session.reports = (session.request_number, began, count + 1)
    if count >= MAX_WORKER_REPORTS:
        raise ProtocolViolation(f"it reported more than {MAX_WORKER_REPORTS} events in a second")


def _hello(session: Session, message: messages.WorkerHello) -> None:
    if message.major != messages.MAJOR:
        raise ProtocolViolation(f"it speaks protocol {message.major}, not {messages.MAJOR}")
    if session.handshake_done:
        raise ProtocolViolation("it said hello twice")
    session.handshake_done = True


def _snapshot(session: Session, message: messages.WorkerSnapshot) -> None:
    if message.phase != "new":
        raise ProtocolViolation(f"it begins in phase {message.phase!r}")


def _event(event: Event, act: Callable[[Session, Any], None] | None = None, *also: State) -> _Permit:
    """A message that is an event of the session's table: permitted in the states that have a row for it."""

    def happened(session: Session, message: Any) -> None:
        session.happened(event, getattr(message, "reason", ""))

    return _permit(*(state for state, in_table in TABLE if in_table is event), *also, act=act or happened)


def _permit(*states: State, act: Callable[[Session, Any], Awaitable[None] | None]) -> _Permit:
    return _Permit(frozenset((*states, *_OVER)), act)


# A worker's message may cross the transition that ends its session.
_OVER = (State.AUTH_FAILED, State.FAILED, State.GONE)

# In READY and PARKED the engine is held: nothing but its end can come from it.
_RELEASED = (
    State.CONNECTING,
    State.NEEDS_INPUT,
    State.WEB_AUTH,
    State.CONNECTED,
    State.RECONNECTING,
    State.PAUSING,
    State.PAUSED,
)

PERMITS: dict[type[messages.ToSupervisor], _Permit] = {
    messages.WorkerHello: _permit(State.STARTING, State.REVIVING, act=_hello),
    messages.WorkerSnapshot: _permit(State.STARTING, State.REVIVING, act=_snapshot),
    messages.Confined: _permit(State.STARTING, State.REVIVING, act=reports.confined),
    messages.Accepted: _event(Event.ACCEPTED, reports.accepted),
    messages.Refused: _permit(
        State.STARTING, State.REVIVING, act=lambda session, message: session.refused(message.reason)
    ),
    messages.InputNeeded: _event(Event.INPUT_NEEDED, reports.input_needed, State.STARTING),
    messages.UrlNeeded: _event(Event.URL_NEEDED, reports.url_needed),
    messages.Connecting: _event(Event.ENGINE_CONNECTING),
    messages.Connected: _event(Event.ENGINE_CONNECTED, reports.connected),
    messages.Reconnecting: _event(Event.ENGINE_RECONNECTING, reports.reconnecting),
    messages.Paused: _event(Event.ENGINE_PAUSED),
    messages.AuthenticationFailed: _event(Event.ENGINE_REFUSED),
    messages.Failed: _event(Event.ENGINE_FAILED),
    messages.EngineDied: _event(Event.ENGINE_FAILED, reports.engine_died, State.STARTING),
    messages.Ended: _event(Event.ENGINE_ENDED, reports.ended, State.STARTING),
    messages.ApplyNetwork: _permit(*_RELEASED, act=reports.apply_network),
    messages.ClearNetwork: _permit(*_RELEASED, act=lambda session, message: session.clear_network()),
    messages.Resolve: _permit(*_RELEASED, act=reports.resolve),
    messages.Traffic: _permit(State.READY, State.PARKED, *_RELEASED, act=reports.traffic),
    messages.LogLine: _permit(*State, act=reports.log_line),
}
