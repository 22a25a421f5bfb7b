"""The life of a worker: one table (phase, event) → (next phase, actions).

`PhaseMachine` follows it, and nobody else sets the phase; what the actions do is in session.py.  A request of the
supervisor that has no row in a phase breaks the protocol (requests.py); anything else that has none changes nothing.
docs/worker-states.md is generated from this file.
"""

from collections.abc import Callable, Iterable
from enum import Enum

import msgspec

from ...policy.causes import Cause


class Phase(Enum):
    """How far the engine is."""

    NEW = "there is no engine yet"
    STARTING = "the engine reads the profile"
    HELD = "the engine waits for Connect"
    WAITING = "the user has to answer a question before the engine goes on"
    RUNNING = "the engine connects, is connected, or reconnects"
    PAUSING = "the engine was asked to stop all traffic"
    PAUSED = "the engine has stopped all traffic"
    STOPPING = "the engine ends, or has ended: nothing else happens any more"


class Event(Enum):
    """What can happen to a worker."""

    CONNECT = "the supervisor sends Connect"
    PAUSE = "the supervisor sends Pause"
    RESUME = "the supervisor sends Resume"
    RESTART = "the supervisor sends Restart"
    WAY_CHANGED = "the way to the server is another, so that the connection or attempt is not answered any more"
    DISCONNECT = "the supervisor sends Disconnect, or closes the channel"
    ENGINE_STARTED = "the profile is compiled, and the engine started with it"
    ENGINE_HOLDS = "the engine waits for permission to connect"
    ENGINE_CONNECTED = "the engine is connected"
    INPUT_NEEDED = "the engine or the server asks for something that the user has to type"
    URL_NEEDED = "the server asks the user to open a URL"
    ANSWERED = "the user answers a question for which the server keeps the login waiting"
    FAILED = "the profile cannot be used, a deadline has passed, or the connection failed for good"
    REFUSED = "the server refuses the credentials"
    ENGINE_DIED = "the engine died without being asked to end"
    ENDED = "the connection ended in order, but not because the supervisor asked for it"


class Action(Enum):
    """What the worker does on a transition."""

    ACCEPT = "ask for what the profile needs typed, and report Accepted"
    START_DEADLINE = "limit the time until the first connection"
    STOP_DEADLINE = "lift the time limit"
    CONTINUE = "answer the question the engine still waits on, or else allow an attempt"
    ALLOW_ATTEMPT = "let the engine connect as soon as it holds and an address is known"
    SCHEDULE_ATTEMPT = "let the engine connect after a delay"
    HOLD_BACK = "allow no attempt for now"
    INTERRUPT = "have an engine that does not hold drop its connection, and hold"
    PAUSE_ENGINE = "have the engine hold, within a time limit"
    REPORT_CONNECTED = "report the connection again, if it has been reported"
    REPORT_PAUSED = "report Paused"
    REPORT_PROFILE_REFUSED = "report Refused"
    REPORT_FAILED = "report Failed"
    REPORT_CREDENTIALS_REFUSED = "report AuthenticationFailed"
    REPORT_ENGINE_DIED = "report EngineDied"
    REPORT_ENDED = "report Ended"
    END_ENGINE = "overwrite all answers, and ask the engine to end"


class Transition(msgspec.Struct, frozen=True):
    """One cell of the table."""

    next: Phase
    actions: tuple[Action, ...]


TABLE: dict[tuple[Phase, Event], Transition] = {}


def _row(phases: Iterable[Phase] | Phase, event: Event, following: Phase | None, *actions: Action) -> None:
    """Add the same cell for several phases; `following` None means that the phase stays."""
    for phase in (phases,) if isinstance(phases, Phase) else phases:
        assert (phase, event) not in TABLE, (phase, event)
        TABLE[phase, event] = Transition(following or phase, actions)


WITH_ENGINE = (Phase.HELD, Phase.WAITING, Phase.RUNNING, Phase.PAUSING, Phase.PAUSED)
_BEFORE = (Phase.NEW, Phase.STARTING)

_row(Phase.NEW, Event.ENGINE_STARTED, Phase.STARTING)
_row(Phase.STARTING, Event.ENGINE_HOLDS, Phase.HELD, Action.ACCEPT)

# Requests.
_row((Phase.HELD, Phase.WAITING), Event.CONNECT, Phase.RUNNING, Action.START_DEADLINE, Action.CONTINUE)
_row(Phase.RUNNING, Event.CONNECT, None, Action.REPORT_CONNECTED)  # the server did not wait for the answer
_row((Phase.HELD, Phase.WAITING, Phase.RUNNING), Event.PAUSE, Phase.PAUSING, Action.HOLD_BACK, Action.PAUSE_ENGINE)
_row((Phase.PAUSING, Phase.PAUSED), Event.RESUME, Phase.RUNNING, Action.START_DEADLINE, Action.ALLOW_ATTEMPT)
_row(
    (Phase.HELD, Phase.WAITING, Phase.RUNNING, Phase.PAUSED), Event.RESTART,
    Phase.RUNNING, Action.START_DEADLINE, Action.INTERRUPT, Action.ALLOW_ATTEMPT,
)  # fmt: skip
# Pause has interrupted it already.
_row(Phase.PAUSING, Event.RESTART, Phase.RUNNING, Action.START_DEADLINE, Action.ALLOW_ATTEMPT)
_row(Phase.RUNNING, Event.WAY_CHANGED, None, Action.INTERRUPT, Action.ALLOW_ATTEMPT)

# What the engine and its user do.  What the engine asked just before it was paused, it asks again when it goes on.
_row(Phase.RUNNING, Event.ENGINE_HOLDS, None, Action.SCHEDULE_ATTEMPT)
_row(Phase.PAUSING, Event.ENGINE_HOLDS, Phase.PAUSED, Action.HOLD_BACK, Action.REPORT_PAUSED)
_row((Phase.RUNNING, Phase.WAITING), Event.ENGINE_CONNECTED, Phase.RUNNING, Action.STOP_DEADLINE)
_row(Phase.RUNNING, Event.INPUT_NEEDED, Phase.WAITING, Action.HOLD_BACK)
_row(Phase.RUNNING, Event.URL_NEEDED, None, Action.STOP_DEADLINE)
_row(Phase.WAITING, Event.ANSWERED, Phase.RUNNING, Action.START_DEADLINE)

# Ends.
_row(_BEFORE, Event.FAILED, Phase.STOPPING, Action.REPORT_PROFILE_REFUSED, Action.END_ENGINE)
_row(WITH_ENGINE, Event.FAILED, Phase.STOPPING, Action.REPORT_FAILED, Action.END_ENGINE)
for _event, *_actions in (
    (Event.REFUSED, Action.REPORT_CREDENTIALS_REFUSED, Action.END_ENGINE),
    (Event.ENGINE_DIED, Action.REPORT_ENGINE_DIED, Action.END_ENGINE),
    (Event.ENDED, Action.REPORT_ENDED, Action.END_ENGINE),
    (Event.DISCONNECT, Action.END_ENGINE),
):
    _row((*_BEFORE, *WITH_ENGINE), _event, Phase.STOPPING, *_actions)


class PhaseMachine:
    """Where one worker is in the table."""

    def __init__(self, act: Callable[[Action, str, Cause], None]) -> None:
        """`act` carries out one action; text and cause are the event's."""
        self.phase = Phase.NEW
        self._act = act

    def happened(self, event: Event, text: str = "", cause: Cause = Cause.UNKNOWN) -> bool:
        """Follow the table; False if it has no row for the event in this phase, and so nothing has changed.

        `text` and `cause` are what the event's report says, if it has one.
        """
        transition = TABLE.get((self.phase, event))
        if transition is None:
            return False
        self.phase = transition.next
        for action in transition.actions:
            self._act(action, text, cause)
        return True

    def failed(self, text: str, cause: Cause) -> None:
        """The session cannot go on, for the reason `text`."""
        self.happened(Event.FAILED, text, cause)
