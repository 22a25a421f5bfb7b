"""What is kept of a session that failed."""

from enum import IntEnum

import msgspec
from dbus_fast import Variant

from ...policy.causes import CAUSES, Cause
from .states import Event, State


class Reached(IntEnum):
    """How far a session had come."""

    PROFILE = 0  # its profile was looked at
    READY = 1  # the profile is usable; nobody had called Connect
    CONNECTING = 2
    CONNECTED = 3


REACHED = {
    State.READY: Reached.READY,
    State.CONNECTING: Reached.CONNECTING,
    State.CONNECTED: Reached.CONNECTED,
}

# Events that are failures, and their cause where none is given.
CAUSE_OF = {
    Event.ENGINE_REFUSED: Cause.CREDENTIALS_REFUSED,
    Event.ENGINE_FAILED: Cause.SERVICE_FAILED,
    Event.WORKER_DIED: Cause.SERVICE_FAILED,
    Event.CRASHED: Cause.ENGINE_DIED,
}


class PastFailure(msgspec.Struct, frozen=True):
    """A session that failed, without anything secret."""

    time: int  # seconds since 1970
    owner: int
    starter: int
    session: str  # D-Bus path
    profile: str  # name
    reached: Reached
    seconds: int  # that the session lasted
    status: int  # minor code of the last status
    text: str
    cause: str = Cause.UNKNOWN  # of policy/causes.py, or of another release

    @property
    def hint(self) -> str:
        """What to do about it."""
        return CAUSES[Cause(self.cause)].hint if self.cause in CAUSES else ""

    @property
    def row(self) -> dict[str, Variant]:
        """A row of bus/failures_api.py."""
        return {
            "time": Variant("x", self.time),
            "owner": Variant("u", self.owner),
            "starter": Variant("u", self.starter),
            "session": Variant("s", self.session),
            "profile": Variant("s", self.profile),
            "reached": Variant("s", self.reached.name.lower()),
            "seconds": Variant("u", self.seconds),
            "status": Variant("u", self.status),
            "text": Variant("s", self.text),
            "cause": Variant("s", self.cause),
            "hint": Variant("s", self.hint),
        }
