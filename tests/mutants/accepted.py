"""Survivors that are accepted, each with its reason: accepted.toml, matched by the text of the program."""

import tomllib
from pathlib import Path
from typing import NamedTuple

from .sample import Candidate

LIST = Path(__file__).with_name("accepted.toml")


class Accepted(NamedTuple):
    """A mutant that makes no difference that a test could or should notice."""

    file: str
    before: str
    after: str
    reason: str


def read(path: Path = LIST) -> list[Accepted]:
    """The list.  Raises TypeError for an entry that lacks something or has too much."""
    return [Accepted(**entry) for entry in tomllib.loads(path.read_text()).get("survivor", [])]


def reason(candidate: Candidate, accepted: list[Accepted]) -> str:
    """Why a survivor is accepted, or ""."""
    mutant = candidate.mutant
    for one in accepted:
        if (one.file, one.before, one.after) == (candidate.file, mutant.before, mutant.after):
            return one.reason
    return ""
