"""The life of a session: one table (state, event) → (next state, public statuses, action).

What clients see is a column of the table, not a side effect.  Whatever affects transitions lives in this file;
`Session.happened` is the only one who follows them.  docs/states.md is generated from it.
"""

from collections.abc import Iterable
from enum import Enum

import msgspec

from ...policy.dbus_numbers import StatusMajor, StatusMinor


class State(Enum):
    """Where a session is."""

    STARTING = "its worker compiles the profile; not on the bus"
    READY = "on the bus, waits for Connect, or first for what its user has to type"
    PARKED = "paused before it was ever connected"
    CONNECTING = "no connection yet"
    CONNECTED = "the tunnel is up and the network in place"
    NEEDS_INPUT = "the server wants something of its user before it goes on"
    WEB_AUTH = "the server wants its user to open a URL before it goes on"
    RECONNECTING = "was connected, and will be again"
    PAUSING = "asked to stop all traffic"
    PAUSED = "no traffic until Resume"
    DOWN = "its worker or engine died; another worker is started after a pause"
    DOWN_PAUSED = "paused, and its worker or engine died; Resume starts another worker"
    REVIVING = "another worker compiles the profile, and then connects"
    AUTH_FAILED = "the server refused the credentials; readable for a while"
    FAILED = "over because of a failure; readable for a while"
    GONE = "off the bus; its worker may still say goodbye"


WITH_DEVICE = (  # states in which clients see one, if the session was ever connected
    *(State.CONNECTED, State.RECONNECTING, State.NEEDS_INPUT, State.WEB_AUTH),
    *(State.PAUSING, State.PAUSED),
)
RELEASED = (State.CONNECTING, *WITH_DEVICE)  # states in which the engine may do something; before, it is held
FAILED = (State.AUTH_FAILED, State.FAILED)


class Event(Enum):
    """What can happen to a session."""

    CONNECT = "its user calls Connect"
    PAUSE = "its user calls Pause"
    RESUME = "its user calls Resume"
    RESTART = "its user calls Restart"
    DISCONNECT = "its user calls Disconnect, or the service ends"
    ACCEPTED = "the worker accepts the profile"
    INPUT_NEEDED = "the worker asks for something that its user has to type"
    URL_NEEDED = "the worker asks its user to open a URL"
    ANSWERED = "what was asked for went to the server at once"
    ENGINE_CONNECTING = "the engine begins to connect"
    ENGINE_CONNECTED = "the engine is connected"
    ATTEMPT_FAILED = "the engine failed to connect, and tries again"
    ENGINE_RECONNECTING = "the engine lost its connection"
    ENGINE_PAUSED = "the engine has stopped all traffic"
    ENGINE_REFUSED = "the server refuses the credentials"
    ENGINE_FAILED = "the engine, the network or a deadline fails"
    ENGINE_ENDED = "the engine ends in an orderly way by itself"
    WORKER_DIED = "the worker died or broke the rules, for good"
    CRASHED = "the worker or the engine died or lost its device, and the override automatic-restart grants another try"
    DUE = "the pause before the next try is over"
    EXPIRED = "a failed session was readable long enough"


class Action(Enum):
    """What the supervisor does on a transition, besides announcing the statuses."""

    NOTHING = "nothing"
    TELL_WORKER = "pass the request on to the worker"
    END_RUN = "end the run: its network settings, its worker, its device"
    BEGIN_RUN = "begin another run, with another worker"
    FAIL = "end the run, let its worker say goodbye; keep the object for a while"
    REMOVE = "end the run, let its worker say goodbye; remove the object"


class Announcement(msgspec.Struct, frozen=True):
    """A public status; `text` is filled in with the session's `config_path` and the event's `text`."""

    major: StatusMajor
    minor: StatusMinor
    text: str = ""


class Transition(msgspec.Struct, frozen=True):
    """One cell of the table."""

    next: State
    statuses: tuple[Announcement, ...]
    action: Action


class NotNow(Exception):
    """The event has no place in the state; nothing changes."""


def _connection(minor: StatusMinor, text: str = "") -> Announcement:
    return Announcement(StatusMajor.CONNECTION, minor, text)


_CFG_OK = _connection(StatusMinor.CFG_OK, "config_path={config_path}")
_CONNECTING = _connection(StatusMinor.CONN_CONNECTING)
_NOT_YET = _connection(StatusMinor.CONN_CONNECTING, "{text}")
_CONNECTED = _connection(StatusMinor.CONN_CONNECTED)
_REQUIRE_USER = _connection(StatusMinor.CFG_REQUIRE_USER, "{text}")
_OPEN_URL = Announcement(StatusMajor.SESSION, StatusMinor.SESS_AUTH_URL, "{text}")
_RECONNECTING = _connection(StatusMinor.CONN_RECONNECTING)
_LOST = _connection(StatusMinor.CONN_RECONNECTING, "{text}")
_PAUSING = _connection(StatusMinor.CONN_PAUSING, "Reason: {text}")
_PAUSED = _connection(StatusMinor.CONN_PAUSED)
_RESUMING = _connection(StatusMinor.CONN_RESUMING)
_DISCONNECTING = _connection(StatusMinor.CONN_DISCONNECTING)
_DISCONNECTED = _connection(StatusMinor.CONN_DISCONNECTED)
_DONE = _connection(StatusMinor.CONN_DONE)
_ENDED = _connection(StatusMinor.CONN_DONE, "{text}")
_AUTH_FAILED = _connection(StatusMinor.CONN_AUTH_FAILED, "{text}")
_FAILED = _connection(StatusMinor.CONN_FAILED, "{text}")
_CLOSED = Announcement(StatusMajor.SESSION, StatusMinor.PROC_STOPPED, "Session closed")
_KILLED = Announcement(StatusMajor.SESSION, StatusMinor.PROC_KILLED, "Session closed, killed backend client")

TABLE: dict[tuple[State, Event], Transition] = {}


def _row(
    states: Iterable[State] | State,
    event: Event,
    following: State | None,
    statuses: tuple[Announcement, ...] = (),
    action: Action = Action.NOTHING,
) -> None:
    """Add the same cell for several states; `following` None means that the state stays."""
    for state in (states,) if isinstance(states, State) else states:
        assert (state, event) not in TABLE, (state, event)
        TABLE[state, event] = Transition(following or state, statuses, action)


_ON_THE_WAY = (State.CONNECTING, State.RECONNECTING)
_WAITING = (State.NEEDS_INPUT, State.WEB_AUTH)
_RUNNING = (*_ON_THE_WAY, *_WAITING, State.CONNECTED)
_RESTARTING = (State.DOWN, State.DOWN_PAUSED, State.REVIVING)
_WITH_ENGINE = (State.READY, State.PARKED, *_RUNNING, State.PAUSING, State.PAUSED)
_OVER = (State.AUTH_FAILED, State.FAILED)

_row(State.STARTING, Event.ACCEPTED, State.READY, (_CFG_OK,))
_row(State.STARTING, Event.DISCONNECT, State.GONE, (), Action.REMOVE)
_row(State.STARTING, Event.WORKER_DIED, None)

# Requests.  Connect may be called at any time by any front-end: where there is nothing to do it does nothing.
_row(State.READY, Event.CONNECT, State.CONNECTING, (_CFG_OK, _CONNECTING), Action.TELL_WORKER)
_row(State.NEEDS_INPUT, Event.CONNECT, State.CONNECTING, (_CFG_OK, _CONNECTING), Action.TELL_WORKER)
_row(
    (State.PARKED, *_ON_THE_WAY, State.WEB_AUTH, State.CONNECTED, State.PAUSING, State.PAUSED, *_RESTARTING, *_OVER),
    Event.CONNECT, None,
)  # fmt: skip
_row(State.READY, Event.PAUSE, State.PARKED, (_PAUSING, _PAUSED))
_row(_RUNNING, Event.PAUSE, State.PAUSING, (_PAUSING,), Action.TELL_WORKER)
_row(State.PARKED, Event.RESUME, State.READY, (_RESUMING,))
_row((State.PAUSING, State.PAUSED), Event.RESUME, State.RECONNECTING, (_RESUMING, _RECONNECTING), Action.TELL_WORKER)
_row((State.READY, State.PARKED), Event.RESTART, State.CONNECTING, (_RECONNECTING,), Action.TELL_WORKER)
_row(State.CONNECTING, Event.RESTART, None, (_RECONNECTING,), Action.TELL_WORKER)
_row(
    (State.CONNECTED, State.RECONNECTING, *_WAITING, State.PAUSING),
    Event.RESTART, State.RECONNECTING, (_RECONNECTING,), Action.TELL_WORKER,
)  # fmt: skip
# The engine announces that it gives up its connection once more; one that is paused has none.
_row(State.PAUSED, Event.RESTART, State.RECONNECTING, (_RECONNECTING, _RECONNECTING), Action.TELL_WORKER)

# What the engine does; a report that crossed a request on its way is not an event (permits.py).
_row(_ON_THE_WAY, Event.ENGINE_CONNECTING, None, (_CONNECTING,))
_row(_WAITING, Event.ENGINE_CONNECTING, None)
_row((*_ON_THE_WAY, *_WAITING), Event.ENGINE_CONNECTED, State.CONNECTED, (_CONNECTED,))
_row(
    (State.CONNECTED, State.RECONNECTING, *_WAITING), Event.ENGINE_RECONNECTING,
    State.RECONNECTING, (_RECONNECTING,),
)  # fmt: skip
_row(State.CONNECTING, Event.ENGINE_RECONNECTING, None)
_row(State.CONNECTING, Event.ATTEMPT_FAILED, None, (_NOT_YET,))
_row(State.RECONNECTING, Event.ATTEMPT_FAILED, None, (_LOST,))
_row(_WAITING, Event.ATTEMPT_FAILED, None)
_row(State.READY, Event.INPUT_NEEDED, None, (_REQUIRE_USER,))
_row(_RUNNING, Event.INPUT_NEEDED, State.NEEDS_INPUT, (_REQUIRE_USER,))
_row(_RUNNING, Event.URL_NEEDED, State.WEB_AUTH, (_OPEN_URL,))
_row(State.NEEDS_INPUT, Event.ANSWERED, State.CONNECTING, (_CONNECTING,))
_row((*_ON_THE_WAY, State.WEB_AUTH, State.CONNECTED), Event.ANSWERED, None)
_row(State.PAUSING, Event.ENGINE_PAUSED, State.PAUSED, (_PAUSED,))

# What the override automatic-restart does.  Before Connect there is no connection to keep up, and somebody waits for
# the outcome of what they just asked for: there a death is the end, as it is without the override.
_row((*_RUNNING, State.REVIVING), Event.CRASHED, State.DOWN, (_LOST,), Action.END_RUN)
_row(State.PAUSING, Event.CRASHED, State.DOWN_PAUSED, (_PAUSED,), Action.END_RUN)
_row(State.PAUSED, Event.CRASHED, State.DOWN_PAUSED, (), Action.END_RUN)
_row(State.DOWN, Event.DUE, State.REVIVING, (), Action.BEGIN_RUN)
_row(State.DOWN, Event.RESTART, State.REVIVING, (_RECONNECTING,), Action.BEGIN_RUN)
_row(State.DOWN, Event.PAUSE, State.DOWN_PAUSED, (_PAUSING, _PAUSED))
_row(State.REVIVING, Event.PAUSE, State.DOWN_PAUSED, (_PAUSING, _PAUSED), Action.END_RUN)
_row(State.REVIVING, Event.RESTART, None, (_RECONNECTING,))
_row(State.DOWN_PAUSED, Event.RESUME, State.REVIVING, (_RESUMING, _RECONNECTING), Action.BEGIN_RUN)
_row(State.DOWN_PAUSED, Event.RESTART, State.REVIVING, (_RECONNECTING,), Action.BEGIN_RUN)
_row(State.REVIVING, Event.ACCEPTED, State.CONNECTING, (_CONNECTING,), Action.TELL_WORKER)
_row(State.REVIVING, Event.INPUT_NEEDED, State.NEEDS_INPUT, (_REQUIRE_USER,))

# Ends.
_row(_WITH_ENGINE, Event.ENGINE_REFUSED, State.AUTH_FAILED, (_AUTH_FAILED,), Action.FAIL)
_row((*_WITH_ENGINE, State.REVIVING), Event.ENGINE_FAILED, State.FAILED, (_FAILED,), Action.FAIL)
_row((*_WITH_ENGINE, State.REVIVING), Event.WORKER_DIED, State.FAILED, (_KILLED, _FAILED), Action.FAIL)
_row(
    (*_WITH_ENGINE, State.REVIVING), Event.ENGINE_ENDED,
    State.GONE, (_DISCONNECTING, _DISCONNECTED, _ENDED, _CLOSED), Action.REMOVE,
)  # fmt: skip
_row(
    (*_RUNNING, State.PAUSING, State.PAUSED, *_RESTARTING), Event.DISCONNECT,
    State.GONE, (_DISCONNECTING, _DISCONNECTED, _DONE, _CLOSED), Action.REMOVE,
)  # fmt: skip
_row((State.READY, State.PARKED, *_OVER), Event.DISCONNECT, State.GONE, (_DISCONNECTING, _DONE, _CLOSED), Action.REMOVE)
_row(_OVER, Event.EXPIRED, State.GONE, (_CLOSED,), Action.REMOVE)
_row((State.DOWN, State.DOWN_PAUSED, *_OVER, State.GONE), Event.WORKER_DIED, None)


def transition(state: State, event: Event) -> Transition:
    """The cell for (state, event).

    Raises NotNow for a pair that is not in the table.
    """
    try:
        return TABLE[state, event]
    except KeyError:
        raise NotNow(f"{event.name} while {state.name}") from None
