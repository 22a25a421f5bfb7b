"""What the supervisor may ask of a worker, in which phase, and what is done then.

The counterpart is supervisor/workers/requests.py.  While the worker stops, requests that were under way are ignored.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from ...ipc import messages
from ...ipc.channel import Packet
from ...ipc.codec import BadFrame, decode_to_worker
from ...policy.dbus_numbers import MAX_LOG_LEVEL
from .phase import Phase
from .session import Session


class _Permit(msgspec.Struct, frozen=True):
    """One row: the phases in which the message makes sense, and what to do."""

    phases: frozenset[Phase]
    act: Callable[[Session, Any], None]


def handle(session: Session, packet: Packet[memoryview]) -> None:
    """Do what one packet from the supervisor asks.

    Raises BadFrame if it is not a message, or not one for this phase.
    """
    message = decode_to_worker(packet.data, len(packet.descriptors))
    if session.phase == Phase.STOPPING:
        return
    permit = PERMITS[type(message)]
    if not session.handshake_done and not isinstance(message, messages.SupervisorHello):
        raise BadFrame(f"{type(message).__name__} before the hello")
    if session.phase not in permit.phases:
        raise BadFrame(f"{type(message).__name__} while {session.phase}")
    if isinstance(message, messages.NUMBERED_REQUESTS):
        session.request_number = message.request_number
    if isinstance(message, messages.SupervisorSnapshot):
        session.begin(message, packet.descriptors[0])
    else:
        permit.act(session, message)


def _hello(session: Session, message: messages.SupervisorHello) -> None:
    if message.major != messages.MAJOR:
        raise BadFrame(f"the supervisor speaks protocol {message.major}, this worker {messages.MAJOR}")
    session.handshake_done = True


def _set_log_level(session: Session, message: messages.SetLogLevel) -> None:
    if not 0 <= message.level <= MAX_LOG_LEVEL:
        raise BadFrame(f"log level {message.level}")
    session.set_log_level(message.level)


def _permit(*phases: Phase, act: Callable[[Session, Any], None]) -> _Permit:
    return _Permit(frozenset(phases), act)


_RUNS = (Phase.HELD, Phase.WAITING, Phase.RUNNING, Phase.PAUSING, Phase.PAUSED)

PERMITS: dict[type[messages.ToWorker], _Permit] = {
    messages.SupervisorHello: _permit(Phase.NEW, act=_hello),
    messages.SupervisorSnapshot: _permit(Phase.NEW, act=lambda session, message: None),
    messages.UserAnswer: _permit(*_RUNS, act=lambda session, message: session.dialogue.answered(message)),
    messages.Connect: _permit(Phase.HELD, Phase.WAITING, Phase.RUNNING, act=lambda session, message: session.connect()),
    messages.Pause: _permit(
        Phase.HELD, Phase.WAITING, Phase.RUNNING, act=lambda session, message: session.pause(message.reason)
    ),
    messages.Resume: _permit(Phase.PAUSING, Phase.PAUSED, act=lambda session, message: session.resume()),
    messages.Restart: _permit(*_RUNS, act=lambda session, message: session.restart()),
    messages.Disconnect: _permit(*Phase, act=lambda session, message: session.stop()),
    messages.Resolved: _permit(*_RUNS, act=lambda session, message: session.attempts.looked_up(message)),
    messages.SetLogLevel: _permit(*Phase, act=_set_log_level),
    messages.LogCredit: _permit(*Phase, act=lambda session, message: session.add_credit(message.lines)),
}
