"""How messages come to the fuzz target `bus`: in which pieces, at what moment, and within which limits."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from ...supervisor import bus

# Limits so small that a few messages of some hundred bytes are beyond them, by module: of calls,
_FEW_CALLS: dict[str, dict[str, Any]] = {
    "inbound": {
        "MAX_SMALL_BODY": 200,
        "MAX_HEADER": 300,
        "MAX_PLAIN_SIGNAL": 1000,
        "MAX_LARGE_REPLY_BODY": 1000,
        "_READ": 48,
        "_CHUNK": 40,
    },
    "turns": {"MAX_CALLS_PER_SENDER": 2, "MAX_CALLS_PER_USER": 2, "MIN_CALLS_PER_SENDER": 1, "MAX_UNDER_WAY": 1},
    "large_calls": {"MAX_LARGE_CALLS_PER_USER": 1200, "MAX_LARGE_CALLS": 1500},
    "held_calls": {"MAX_HELD_CALLS": 2},
}
# and of what is not read.
_LITTLE_UNREAD: dict[str, dict[str, Any]] = {
    "answering": {"MAX_LARGE_REPLIES": 1},
    "budget": {
        "MAX_UNREAD_BYTES": 2000,
        "MAX_UNREAD_PER_USER": 1500,
        "MAX_UNREAD_SIGNALS": 1000,
        "MIN_UNREAD_SHARE": 300,
        "UNREAD_LOOK": 200,
        "UNREAD_REFUSALS": 400,
        "_LEASE": 100,
        "_REST": 0,
    },
    "dispatch": {"MIN_UNREAD_SHARE": 300, "UNREAD_PER_CALL": 300},
    "replies": {"LARGE_REPLY": 200},
}


class Way(NamedTuple):
    """How messages come, by the bits of a byte."""

    few_calls: bool  # the limits of calls are small
    reads_nothing: bool  # nobody reads what is sent, of which little is allowed
    early: bool  # before the service is open
    leaves: bool  # the sender leaves the bus before it is answered
    congested: bool  # the bus takes nothing meanwhile
    cuts: int  # which cuts; 0: none

    @classmethod
    def of(cls, byte: int) -> "Way":
        """The one that the byte stands for."""
        few_calls, reads_nothing, early, leaves, congested = (bool(byte >> bit & 1) for bit in range(5))
        return cls(few_calls, reads_nothing, early, leaves, congested, byte >> 5)

    @contextmanager
    def limits(self) -> Iterator[None]:
        """Within, the limits are as small as they are said to be."""
        with ExitStack() as changed:
            for wanted, limits in ((self.few_calls, _FEW_CALLS), (self.reads_nothing, _LITTLE_UNREAD)):
                for module, values in limits.items() if wanted else ():
                    changed.enter_context(patch.multiple(f"{bus.__name__}.{module}", **values))
            yield
