"""A pytest plugin: runs the tests that are listed in a file, in that order, and notes of each how it went.

Where the package notes what it runs (hits.py), it notes that as well.  Files are named by variables of the environment,
since a run of tests may start itself anew in the lab.
"""

import base64
import ctypes
import importlib
import json
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NOTES = "OPENVPN3_SESSIONMGR_MUTANTS_NOTES"  # a file to append to
WANTED = "OPENVPN3_SESSIONMGR_MUTANTS_TESTS"  # a file with a test in each line; all tests without
PACKAGE = "OPENVPN3_SESSIONMGR_MUTANTS_PACKAGE"  # that notes what it runs

_failed: set[str] = set()
_skipped: set[str] = set()


def pytest_configure(config: pytest.Config) -> None:
    """Make hypothesis try the same each time: a mutant is not to live or die by chance."""
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import settings

        settings.register_profile("mutants", derandomize=True, database=None, deadline=None)
        settings.load_profile("mutants")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep those that are wanted, in their order."""
    listed = os.environ.get(WANTED)
    if listed:
        place = {test: number for number, test in enumerate(Path(listed).read_text().split("\n"))}
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in place])
        items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note failures in any part of a test."""
    if report.failed:
        _failed.add(report.nodeid)
    elif report.skipped:
        _skipped.add(report.nodeid)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Write what is known of a test when it is over."""
    hits = _hits()
    if hits is not None:
        ctypes.memset(hits, 0, len(hits))
    began = time.monotonic()
    try:
        return (yield)
    finally:
        test = item.nodeid
        outcome = "failed" if test in _failed else "skipped" if test in _skipped else "passed"
        note = {"test": test, "outcome": outcome, "seconds": round(time.monotonic() - began, 3)}
        if hits is not None:
            note["hits"] = base64.b85encode(zlib.compress(bytes(hits))).decode()
        with Path(os.environ[NOTES]).open("a") as file:
            file.write(json.dumps(note) + "\n")


def _hits() -> Any:
    package = os.environ.get(PACKAGE)
    return importlib.import_module(package).__hits__ if package else None
