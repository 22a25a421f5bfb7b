"""What a worker may say in which state of its session, and the state that this leads to.

Written by hand: the supervisor's own tables are what is tested against it.
"""

from ...ipc import messages
from ...supervisor.sessions.states import State

# A message may cross the end of its session: then it is no fault, and has no effect.
OVER = frozenset({State.AUTH_FAILED, State.FAILED, State.GONE})

_JUDGED = "STARTING REVIVING"  # a worker judges the profile
_UNDER_WAY = "CONNECTING NEEDS_INPUT WEB_AUTH RECONNECTING"
_RUNNING = f"{_UNDER_WAY} CONNECTED"
_RELEASED = f"{_RUNNING} PAUSING PAUSED"  # the engine may do something
_WITH_ENGINE = f"READY PARKED {_RELEASED}"
_ANY = f"STARTING REVIVING DOWN DOWN_PAUSED {_WITH_ENGINE}"

_PERMITTED: dict[type[messages.ToSupervisor], str] = {
    messages.WorkerHello: _JUDGED,
    messages.WorkerSnapshot: _JUDGED,
    messages.Confined: _JUDGED,
    messages.Accepted: _JUDGED,
    messages.Refused: _JUDGED,
    messages.InputNeeded: f"{_JUDGED} READY {_RUNNING}",
    messages.UrlNeeded: _RUNNING,
    messages.Connecting: _UNDER_WAY,
    messages.Connected: _UNDER_WAY,
    messages.Reconnecting: _RUNNING,
    messages.AttemptFailed: _UNDER_WAY,
    messages.Paused: "PAUSING",
    messages.AuthenticationFailed: _WITH_ENGINE,
    messages.Failed: f"REVIVING {_WITH_ENGINE}",
    messages.EngineDied: f"{_JUDGED} {_WITH_ENGINE}",
    messages.Ended: f"{_JUDGED} {_WITH_ENGINE}",
    messages.ApplyNetwork: _RELEASED,
    messages.ClearNetwork: _RELEASED,
    messages.Reopening: _RELEASED,
    messages.Notices: f"{_JUDGED} {_RELEASED}",
    messages.Servers: _RELEASED,
    messages.Resolve: _RELEASED,
    messages.Negotiated: _WITH_ENGINE,
    messages.Traffic: _WITH_ENGINE,
    messages.KeptProfile: "",  # told only to who takes the worker over
    messages.Pong: _ANY,
    messages.LogLine: _ANY,
}

# State before → after, where the message changes it.  A session that starts has its own rules: it goes on the bus, or
# NewTunnel fails.
_CHANGES: dict[type[messages.ToSupervisor], dict[str, str]] = {
    messages.Accepted: {"REVIVING": "CONNECTING"},
    messages.Refused: {"REVIVING": "FAILED"},
    messages.InputNeeded: {_RUNNING: "NEEDS_INPUT"},
    messages.UrlNeeded: {_RUNNING: "WEB_AUTH"},
    messages.Connected: {_UNDER_WAY: "CONNECTED"},
    messages.Reconnecting: {"CONNECTED NEEDS_INPUT WEB_AUTH RECONNECTING": "RECONNECTING"},
    messages.Paused: {"PAUSING": "PAUSED"},
    messages.AuthenticationFailed: {_WITH_ENGINE: "AUTH_FAILED"},
    messages.Failed: {f"REVIVING {_WITH_ENGINE}": "FAILED"},
    messages.EngineDied: {f"REVIVING {_WITH_ENGINE}": "FAILED"},
    messages.Ended: {f"REVIVING {_WITH_ENGINE}": "GONE"},
}


def _states(names: str) -> frozenset[State]:
    return frozenset(State[name] for name in names.split())


PERMITTED = {kind: _states(names) for kind, names in _PERMITTED.items()}
CHANGES = {
    (kind, state): State[after]
    for kind, changes in _CHANGES.items()
    for before, after in changes.items()
    for state in _states(before)
}
