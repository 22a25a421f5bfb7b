"""One mutant, and the tests that are to notice it."""

import json
import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from . import recorder
from .copies import Copy
from .coverage import PLUGIN, Coverage, Recorded
from .hits import Statement
from .sample import Candidate

_START = 30.0  # seconds for pytest itself, on a busy machine
_SLOWER = 5.0  # times as long as recorded is not yet a hang
_HANGS = " (hangs)"
_NO_TESTS = 5  # pytest's exit status when a table that tests are made of has lost the row


class Bounds(NamedTuple):
    """How many integration tests are run for a mutant that no unit test notices."""

    tests: int = 12
    seconds: float = 60.0  # as recorded, all together


class Result(NamedTuple):
    """What became of a mutant."""

    candidate: Candidate
    killed_by: str  # the test, "" if it survived
    tests: tuple[str, ...]  # that were run, or would have been
    seconds: float
    doubted: tuple[str, ...] = ()  # tests that failed once, and passed when they were run again


def choose(coverage: Coverage, statement: Statement, bounds: Bounds) -> tuple[list[Recorded], list[Recorded]]:
    """The unit and the integration tests for a change of this statement, each in the order in which they are run.

    Of integration tests the fastest of each file, then the second of each, and so on.
    """
    depending = coverage.depending_on(statement)
    unit = [test for test in depending if coverage.is_unit(test)]
    files: dict[str, list[Recorded]] = {}
    for test in depending:
        if not coverage.is_unit(test):
            files.setdefault(test.file, []).append(test)
    chosen: list[Recorded] = []
    left = bounds.seconds
    for test in _in_turn(list(files.values())):
        if len(chosen) < bounds.tests and (test.seconds <= left or not chosen):
            chosen.append(test)
            left -= test.seconds
    return unit, chosen


def _in_turn(groups: Sequence[Sequence[Recorded]]) -> Iterator[Recorded]:
    for row in zip_longest(*groups):
        yield from (test for test in row if test is not None)


def attempt(copy: Copy, candidate: Candidate, coverage: Coverage, bounds: Bounds) -> Result:
    """Make the change in the copy, run the tests until one fails, and take it back."""
    began = time.monotonic()
    statement = Statement(candidate.file, candidate.mutant.statement)
    original = (copy.root / candidate.file).read_text()
    unit, integration = choose(coverage, statement, bounds)
    doubted: list[str] = []
    copy.write(candidate.file, candidate.mutant.text)
    try:
        killed_by = _first_failure(copy, unit) or _confirmed_failure(copy, integration, doubted)
    finally:
        copy.write(candidate.file, original)
    names = tuple(test.test for test in (*unit, *integration))
    return Result(candidate, killed_by, names, time.monotonic() - began, tuple(doubted))


def _confirmed_failure(copy: Copy, tests: list[Recorded], doubted: list[str]) -> str:
    """The first test that fails twice: those with real processes may fail once on a busy machine."""
    while failed := _first_failure(copy, tests):
        places = [number for number, test in enumerate(tests) if test.test == failed.removesuffix(_HANGS)]
        if not places:  # none in particular: the tests cannot even be collected
            return failed
        if _first_failure(copy, [tests[places[0]]]):
            return failed
        doubted.append(failed)
        tests = tests[places[0] + 1 :]
    return ""


def _first_failure(copy: Copy, tests: Sequence[Recorded]) -> str:
    """Run tests until one fails or does not end; which it was, or what else went wrong; "" if none."""
    if not tests:
        return ""
    notes, output, wanted = (copy.scratch / name for name in ("notes", "output", "tests"))
    notes.write_text("")
    wanted.write_text("\n".join(test.test for test in tests))
    files = list(dict.fromkeys(test.file for test in tests))
    status = copy.pytest(
        [*PLUGIN, "-x", "-q", *files],
        {recorder.NOTES: str(notes), recorder.WANTED: str(wanted)},
        output,
        _START + _SLOWER * sum(test.seconds for test in tests),
    )
    if status in (0, _NO_TESTS):
        return ""
    rows = [json.loads(line) for line in _lines(notes)]
    if status is None:
        done = {row["test"] for row in rows}
        return next((test.test for test in tests if test.test not in done), "the end") + _HANGS
    failed = [row["test"] for row in rows if row["outcome"] == "failed"]
    return failed[0] if failed else f"pytest itself (status {status})"


def _lines(notes: Path) -> list[str]:
    return notes.read_text().splitlines()
