"""`make mutants` on a small project: a change is noticed where there is a test for it, and what survives is shown."""

import textwrap
from pathlib import Path

import pytest

from ...mutants import accepted
from ...mutants.coverage import Layout, record
from ...mutants.run import report, run
from ...mutants.sample import draw
from ...mutants.trial import Bounds

PROGRAM = '''
"""A program."""

LIMITS = {"low": 1, "high": 9}


def within(value):
    """Whether it is."""
    if value < LIMITS["low"]:
        return False
    unused = value + 1
    return value <= LIMITS["high"]
'''
UNIT_TESTS = """
from tiny.core.limits import within

def test_outside():
    assert not within(0)

def test_inside():
    assert within(1)
"""
INTEGRATION_TEST = """
import subprocess, sys

def test_in_a_process_of_its_own():
    program = "from tiny.core.limits import within; print(within(9), within(10))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).stdout == b"True False\\n"
"""


def project(directory: Path) -> Layout:
    """A program, tests that do not notice everything, and some that run it in another process."""
    files = {
        "pyproject.toml": '[tool.pytest.ini_options]\npythonpath = ["."]\n',
        "tiny/__init__.py": "",
        "tiny/core/__init__.py": "",
        "tiny/core/limits.py": PROGRAM,
        "tests/unit/test_limits.py": UNIT_TESTS,
        "tests/integration/test_process.py": INTEGRATION_TEST,
        "tests/integration/test_other.py": "def test_nothing():\n    pass\n",
    }
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return Layout(directory, "tiny/__init__.py", ("tiny/core",), "tests/unit", ("tests/integration",))


def test_a_project(tmp_path: Path) -> None:
    layout = project(tmp_path / "tree")
    said: list[str] = []
    kept = tmp_path / "coverage.json"
    coverage = record(layout, kept, said.append)
    assert not coverage.left_out
    recorded = ["tests/unit/test_limits.py", "tests/integration/test_other.py", "tests/integration/test_process.py"]
    assert said == [f"recording what the tests in {file} run" for file in recorded]

    # What has been recorded is not recorded again, but for the file that changes.
    said.clear()
    other = layout.tree / "tests/integration/test_other.py"
    other.write_text(other.read_text() + "\n")
    coverage = record(layout, kept, said.append)
    assert said == ["recording what the tests in tests/integration/test_other.py run"]

    wanted = {
        ("value < LIMITS", "bound shifted"): "tests/unit/test_limits.py::test_inside",
        ("value <= LIMITS", "bound shifted"): "tests/integration/test_process.py::test_in_a_process_of_its_own",
        ("LIMITS = {", "number changed"): "tests/",
        ("unused", "arithmetic swapped"): "",
    }
    candidates = [
        next(
            one
            for one in draw(layout.sources(), 1000, 1)
            if one.mutant.before.find(text) >= 0 and one.mutant.operator == operator
        )
        for text, operator in wanted
    ]
    results = {result.candidate: result for result in run(layout, candidates, coverage, Bounds(), 1, said.append)}
    for candidate, killed_by in zip(candidates, wanted.values(), strict=True):
        result = results[candidate]
        assert result.killed_by.startswith(killed_by) and bool(result.killed_by) == bool(killed_by), said
        assert not result.doubted
        assert "tests/integration/test_other.py::test_nothing" not in result.tests
    assert (layout.tree / "tiny/core/limits.py").read_text() == textwrap.dedent(PROGRAM)

    # Survivors are shown, and fail the run unless they are explained.
    said.clear()
    [survivor] = [result for result in results.values() if not result.killed_by]
    assert report([survivor], [], said.append) == 1
    assert "\n1 mutants, 0 killed, 1 survived (100.0 per 100)" in said
    mutant = survivor.candidate.mutant
    explained = accepted.Accepted("tiny/core/limits.py", mutant.before, mutant.after, "nobody uses it")
    said.clear()
    assert report([survivor], [explained], said.append) == 1  # too many, all the same
    assert "    accepted: nobody uses it" in said
    others = [result for result in results.values() if result.killed_by] * 10
    assert report([survivor, *others], [explained], said.append) == 0
    assert report([survivor, *others], [explained._replace(before="x")], said.append) == 1


def test_a_mutant_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("openvpn3_sessionmgr.tests.mutants.trial._START", 3.0)
    layout = project(tmp_path / "tree")
    loop = layout.tree / "tiny/core/loop.py"
    loop.write_text("def count(n):\n    while n > 0:\n        n -= 1\n    return n\n")
    (layout.tree / "tests/unit/test_loop.py").write_text(
        "from tiny.core.loop import count\n\ndef test_loop():\n    assert count(3) == 0\n"
    )
    coverage = record(layout, tmp_path / "coverage.json", lambda text: None)
    [endless] = [
        one
        for one in draw({"tiny/core/loop.py": loop.read_text()}, 100, 1)
        if one.mutant.after == "pass" and one.mutant.line == 3
    ]
    [result] = run(layout, [endless], coverage, Bounds(), 1, lambda text: None)
    assert result.killed_by == "tests/unit/test_loop.py::test_loop (hangs)"
