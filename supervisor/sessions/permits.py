"""What a worker may say, in which states of its session and how often, and what is done then.

The counterpart is worker/session/requests.py.  A worker that says anything else breaks the rules: it is killed, by
name in the log, and its session fails.  A session that is off the bus only listens to log lines.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from ...ipc import messages
from ..errors import ProtocolViolation
from . import reports
from .reports import ReportedSession
from .run import Run
from .states import RELEASED, TABLE, Event, State

_Act = Callable[[ReportedSession, Run, Any], Awaitable[None] | None]


class Permit(msgspec.Struct, frozen=True):
    """One row: the states in which a worker may send the message, what to do, and whether it may come once in a run."""

    states: frozenset[State]
    act: _Act
    once: bool


def dispatch(session: ReportedSession, run: Run, message: messages.ToSupervisor) -> Awaitable[None] | None:
    """Do what one message of the session's worker asks.

    Raises ProtocolViolation if it may not be sent now.
    """
    permit = PERMITS[type(message)]
    if not run.conversation.is_current(message):
        return None
    if session.state not in permit.states:
        raise ProtocolViolation(f"it sent {type(message).__name__} while {session.state.name}")
    if session.state in _OVER and not isinstance(message, messages.LogLine):
        return None
    run.conversation.count(message, once=permit.once)
    return permit.act(session, run, message)


def _event(event: Event, *also: State, act: _Act | None = None, once: bool = False) -> Permit:
    """A message that is an event of the session's table: permitted in the states that have a row for it."""

    def happened(session: ReportedSession, run: Run, message: Any) -> None:
        session.happened(event, getattr(message, "reason", ""), getattr(message, "cause", None))

    return _permit(*(state for state, in_table in TABLE if in_table is event), *also, act=act or happened, once=once)


def _permit(*states: State, act: _Act, once: bool = False) -> Permit:
    return Permit(frozenset((*states, *_OVER)), act, once)


# A worker's message may cross the transition that ends its session.
_OVER = (State.AUTH_FAILED, State.FAILED, State.GONE)

_NEW = (State.STARTING, State.REVIVING)

PERMITS: dict[type[messages.ToSupervisor], Permit] = {
    messages.WorkerHello: _permit(*_NEW, act=reports.hello, once=True),
    messages.WorkerSnapshot: _permit(*_NEW, act=reports.snapshot, once=True),
    messages.Confined: _permit(*_NEW, act=reports.confined, once=True),
    messages.Accepted: _event(Event.ACCEPTED, act=reports.accepted, once=True),
    messages.Refused: _permit(*_NEW, act=reports.refused, once=True),
    messages.InputNeeded: _event(Event.INPUT_NEEDED, State.STARTING, act=reports.input_needed),
    messages.UrlNeeded: _event(Event.URL_NEEDED, act=reports.url_needed),
    messages.Connecting: _event(Event.ENGINE_CONNECTING),
    messages.Connected: _event(Event.ENGINE_CONNECTED, act=reports.connected),
    messages.Reconnecting: _event(Event.ENGINE_RECONNECTING, act=reports.reconnecting),
    messages.AttemptFailed: _event(Event.ATTEMPT_FAILED, act=reports.attempt_failed),
    messages.Paused: _event(Event.ENGINE_PAUSED),
    messages.AuthenticationFailed: _event(Event.ENGINE_REFUSED),
    messages.Failed: _event(Event.ENGINE_FAILED),
    messages.EngineDied: _event(Event.ENGINE_FAILED, State.STARTING, act=reports.engine_died),
    messages.Ended: _event(Event.ENGINE_ENDED, State.STARTING, act=reports.ended),
    messages.ApplyNetwork: _permit(*RELEASED, act=reports.apply_network),
    messages.ClearNetwork: _permit(*RELEASED, act=reports.clear_network),
    messages.Reopening: _permit(*RELEASED, act=reports.reopening),
    messages.Notices: _permit(*_NEW, *RELEASED, act=reports.notices),
    messages.Servers: _permit(*RELEASED, act=reports.servers),
    messages.Resolve: _permit(*RELEASED, act=reports.resolve),
    messages.Negotiated: _permit(State.READY, State.PARKED, *RELEASED, act=reports.negotiated),
    messages.Traffic: _permit(State.READY, State.PARKED, *RELEASED, act=reports.traffic),
    messages.KeptProfile: _permit(act=reports.kept_profile),
    messages.Pong: _permit(*State, act=reports.pong),
    messages.LogLine: _permit(*State, act=reports.log_line),
}
