"""The requests of the supervisor: in which phase each is permitted, and what the worker then does.

The counterpart is supervisor/sessions/permits.py.  While the worker stops, requests that were under way are ignored.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from ...ipc import messages
from ...ipc.channel import BadFrame, Packet
from ...ipc.codec import decode_to_worker
from ...policy.dbus_numbers import MAX_LOG_LEVEL, LogCategory
from .phases import TABLE, WITH_ENGINE, Event, Phase
from .session import WorkerSession


class _Permit(msgspec.Struct, frozen=True):
    """One row: the phases in which the message makes sense, and what to do."""

    phases: frozenset[Phase]
    act: Callable[[WorkerSession, Any], None]


def handle(session: WorkerSession, packet: Packet[memoryview]) -> None:
    """Do what one packet from the supervisor asks.

    Raises BadFrame if it is not a message, or not one for this phase.
    """
    message = decode_to_worker(packet.data, len(packet.descriptors))
    if session.phase is Phase.STOPPING and session.handshake_done:
        return
    permit = PERMITS[type(message)]
    if not session.handshake_done and not isinstance(message, messages.SupervisorHello):
        raise BadFrame(f"{type(message).__name__} before the hello")
    if session.phase not in permit.phases:
        raise BadFrame(f"{type(message).__name__} in phase {session.phase.name}")
    if isinstance(message, messages.NUMBERED_REQUESTS):
        session.uplink.begin_request(message.request_number)
    if isinstance(message, messages.SupervisorSnapshot):
        session.begin(message, packet.take())
    else:
        permit.act(session, message)


def _hello(session: WorkerSession, message: messages.SupervisorHello) -> None:
    if message.major != messages.MAJOR:
        raise BadFrame(f"the supervisor speaks protocol {message.major}, this worker {messages.MAJOR}")
    session.handshake_done = True


def _answered(session: WorkerSession, message: messages.UserAnswer) -> None:
    session.uplink.standing.answered(message.group, message.name)
    session.dialogue.answered(message)


def _looked_up(session: WorkerSession, message: messages.Resolved) -> None:
    session.uplink.looking_up.pop(message.host, None)
    session.looked_up(message)


def _set_log_level(session: WorkerSession, message: messages.SetLogLevel) -> None:
    if not 0 <= message.level <= MAX_LOG_LEVEL:
        raise BadFrame(f"log level {message.level}")
    session.set_log_level(message.level)


def _event(event: Event, log_line: Callable[[Any], str] | None = None) -> _Permit:
    """A request that is an event of the table: permitted in the phases that have a row for it."""

    def act(session: WorkerSession, message: messages.ToWorker) -> None:
        if log_line is not None:
            session.uplink.log(LogCategory.INFO, log_line(message))
        if event in (Event.PAUSE, Event.RESTART):
            session.uplink.standing.interrupted()
        session.machine.happened(event)

    return _permit(*(phase for phase, possible in TABLE if possible is event), act=act)


def _permit(*phases: Phase, act: Callable[[WorkerSession, Any], None]) -> _Permit:
    return _Permit(frozenset(phases), act)


PERMITS: dict[type[messages.ToWorker], _Permit] = {
    messages.SupervisorHello: _permit(*Phase, act=_hello),
    messages.SupervisorSnapshot: _permit(Phase.NEW, act=lambda session, message: None),
    messages.Connect: _event(Event.CONNECT),
    messages.Pause: _event(Event.PAUSE, lambda message: f"Pausing connection, reason: {message.reason}"),
    messages.Resume: _event(Event.RESUME, lambda message: "Resuming connection"),
    messages.Restart: _event(Event.RESTART, lambda message: "Restarting connection"),
    messages.Disconnect: _event(Event.DISCONNECT),
    messages.UserAnswer: _permit(*WITH_ENGINE, act=_answered),
    messages.Resolved: _permit(*WITH_ENGINE, act=_looked_up),
    messages.Way: _permit(*WITH_ENGINE, act=lambda session, message: session.roaming.way(message)),
    messages.Ping: _permit(*Phase, act=lambda session, message: session.watchdog.ask_for_answer()),
    messages.Count: _permit(*Phase, act=lambda session, message: session.counting.answer()),
    messages.SetLogLevel: _permit(*Phase, act=_set_log_level),
    messages.LogCredit: _permit(*Phase, act=lambda session, message: session.uplink.add_credit(message.lines)),
}
