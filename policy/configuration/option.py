"""What an option is, and the headings that options stand below."""

from enum import StrEnum
from typing import Any

import msgspec

from .kinds import Kind


class Section(StrEnum):
    """Headings; the value says what stands below it."""

    WHO = "Who may do what"
    QUOTAS = "How much there may be"
    SESSIONS = "Sessions"
    NETWORK = "The network"
    LOG = "The log"
    SERVICE = "The service itself"


class Option(msgspec.Struct, frozen=True):
    """One option, which files call a key by the same name."""

    name: str
    section: Section
    kind: Kind
    doc: str  # with {default} where that stands, if not at the end
    default: str | None = None  # as the command line would have it; None: see `unset`
    unset: Any = None  # the value where there is no default
    metavar: str = ""
    field: str = ""  # of Options; by default the name
    live: bool = False  # a change is taken while the service runs, for what is asked for from then on
    in_files: bool = True
    example: str = ""  # of a key without a default, as TOML has it

    @property
    def attribute(self) -> str:
        """The field of Options."""
        return self.field or self.name.replace("-", "_")

    @property
    def text(self) -> str:
        """What it is for, with its default."""
        if "{default}" in self.doc:
            return self.doc.replace("{default}", str(self.default))
        return self.doc if self.default is None or "the default" in self.doc else f"{self.doc} (default {self.default})"
