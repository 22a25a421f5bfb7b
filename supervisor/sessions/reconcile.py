"""What has happened to a session while no supervisor looked: what its worker tells, against what was kept of it.

Its own words as ever: each is checked as when it is first said (reports.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ...ipc import messages
from ...policy.network import NetworkSettings, PolicyViolation, check
from ...policy.reports import is_question, is_web_page
from ..errors import ProtocolViolation
from ..workers.takeover import TakenWorker
from . import reports
from .reports import ReportedSession
from .run import Run
from .states import TABLE, Event, State

# What may be told anew, and holds whatever the state.
_FACTS: dict[type[messages.ToSupervisor], Callable[[ReportedSession, Run, Any], None]] = {
    messages.Notices: reports.notices,
    messages.Negotiated: reports.negotiated,
    messages.Traffic: reports.traffic,
    messages.Servers: reports.servers,
}
_LAST_WORDS: dict[type[messages.ToSupervisor], Event] = {
    messages.Refused: Event.ENGINE_FAILED,
    messages.AuthenticationFailed: Event.ENGINE_REFUSED,
    messages.Failed: Event.ENGINE_FAILED,
    messages.EngineDied: Event.ENGINE_FAILED,
    messages.Ended: Event.ENGINE_ENDED,
}
_HELD = (State.READY, State.PARKED)  # nothing has come of the engine yet
_CONNECTING = (State.CONNECTING, State.RECONNECTING, State.NEEDS_INPUT, State.WEB_AUTH)

T = TypeVar("T", bound=messages.ToSupervisor)


def questions(taken: TakenWorker) -> tuple[list[messages.InputNeeded], str]:
    """What the worker asks, and the page that its user is to open.  Raises ProtocolViolation."""
    asked = [one for one in taken.told if isinstance(one, messages.InputNeeded)]
    for slot in (slot for one in asked for slot in one.slots):
        if not is_question(slot.name, slot.label):
            raise ProtocolViolation("it asks something that cannot be shown")
    page = _told(taken, messages.UrlNeeded)
    if page is not None and not is_web_page(page.url):
        raise ProtocolViolation("it wants its user to open something that is no web page")
    return asked, page.url if page is not None else ""


def settings(taken: TakenWorker) -> NetworkSettings | None:
    """The network settings that the worker asks for, if any that may be asked for."""
    wanted = _told(taken, messages.ApplyNetwork)
    try:
        if wanted is not None:
            check(wanted.settings)
            return wanted.settings
    except PolicyViolation:
        pass  # told when they are to be applied
    return None


async def reconcile(
    session: ReportedSession, run: Run, taken: TakenWorker, unheard: list[messages.InputNeeded]
) -> None:
    """Have session and network as they would be, had all been heard; `unheard` are questions that nobody has heard.

    Raises ProtocolViolation.
    """
    number, made = taken.snapshot.request_number, run.conversation.request_number
    if number > made:
        raise ProtocolViolation(f"it has read request {number} of {made}")
    for message in taken.told:
        if (act := _FACTS.get(type(message))) is not None:
            act(session, run, message)
    if (said := next((one for one in taken.told if type(one) in _LAST_WORDS), None)) is not None:
        _over(session, run, said)
        return
    if (wanted := _told(taken, messages.ApplyNetwork)) is not None:
        if session.state in _HELD:
            raise ProtocolViolation(f"it asks for a network while {session.state.name}")
        await reports.apply_network(session, run, wanted, anew=True)
    else:
        await run.network.stay_closed()
        await run.network.clear(keep=session.state not in (State.PAUSING, State.PAUSED))
    if not session.running:
        return
    if number < made:
        run.repeat_request()  # what comes of it, it will report
    else:
        _course(session, run, taken)
        for question in unheard:
            if (session.state, Event.INPUT_NEEDED) in TABLE:
                reports.input_needed(session, run, question)


def _over(session: ReportedSession, run: Run, said: messages.ToSupervisor) -> None:
    if isinstance(said, messages.EngineDied):
        reports.engine_died(session, run, said)
    else:
        session.happened(_LAST_WORDS[type(said)], getattr(said, "reason", ""), getattr(said, "cause", None))


def _course(session: ReportedSession, run: Run, taken: TakenWorker) -> None:
    """Have the engine's course announced as far as it is another than the one that was announced last."""
    state, phase = session.state, taken.snapshot.phase
    connected, lost = _told(taken, messages.Connected), _told(taken, messages.Reconnecting)
    page = _told(taken, messages.UrlNeeded)
    asks = any(isinstance(one, messages.InputNeeded) for one in taken.told)
    if phase == "paused" and state is State.PAUSING:
        session.happened(Event.ENGINE_PAUSED)
    elif phase != "running":
        pass
    elif connected is not None and state in _CONNECTING:
        reports.connected(session, run, connected)
    elif page is not None and state in _CONNECTING and state is not State.WEB_AUTH:
        reports.url_needed(session, run, page)
    elif connected is None and state is State.CONNECTED:
        reports.reconnecting(session, run, lost or messages.Reconnecting(0, ""))
    elif state is State.NEEDS_INPUT and not asks and connected is None:
        session.happened(Event.ANSWERED)


def _told(taken: TakenWorker, kind: type[T]) -> T | None:
    return next((one for one in taken.told if isinstance(one, kind)), None)
