"""What a check finds, and what it has to go by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from ...policy.configuration.files import Configuration
from ...policy.configuration.options import Options
from .bus_facts import BusFacts


class Verdict(StrEnum):
    """How it stands; from `fault` on something does not work."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"


class Finding(NamedTuple):
    """What was found, and what to do about it: for `unknown`, who may see it."""

    verdict: Verdict
    what: str
    to_do: str = ""


@dataclass(frozen=True)
class Machine:
    """What all checks go by."""

    configuration: Configuration
    options: Options  # in force by the files; those of the service's command line are not known
    root: bool  # whether this process is root's
    bus: BusFacts


class Check(NamedTuple):
    """A row of the table of checks."""

    name: str
    what: str  # it looks at
    check: Callable[[Machine], Iterable[Finding]]


def ok(what: str) -> Finding:
    return Finding(Verdict.OK, what)


def warning(what: str, to_do: str) -> Finding:
    return Finding(Verdict.WARNING, what, to_do)


def fault(what: str, to_do: str) -> Finding:
    return Finding(Verdict.FAULT, what, to_do)


def unknown(what: str, who: str = "Root may see it: `sudo ovpnctl doctor`.") -> Finding:
    return Finding(Verdict.UNKNOWN, what, who)
