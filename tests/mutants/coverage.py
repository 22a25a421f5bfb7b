"""Which test runs which statement: recorded once for each state of the program, in a copy that notes it."""

import base64
import hashlib
import json
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from . import recorder
from .copies import Copy
from .hits import Statement, instrument
from .relevance import Program

PLUGIN = ("-p", recorder.__name__)


_SOME_FAILED = 1  # pytest's exit status
_SHOWN = 3000  # characters


class CannotRecord(Exception):
    """The tests cannot be run where statements are noted; the text says what they printed."""


class Layout(NamedTuple):
    """A project: its tree, and the places in it that are relative to that."""

    tree: Path
    package: str  # the __init__.py that each file of the program imports first
    program: tuple[str, ...]  # directories
    unit: str
    integration: tuple[str, ...]
    helpers: tuple[str, ...] = ()  # what tests are made of, and is no test

    def sources(self) -> dict[str, str]:
        """The program's files."""
        return {file: (self.tree / file).read_text() for file in self._files(self.program, "*.py")}

    def tests(self) -> list[str]:
        """The files of tests."""
        return list(self._files((self.unit, *self.integration), "test_*.py"))

    def digest(self, files: Iterable[str]) -> str:
        """What changes when one of the files does."""
        seen = hashlib.sha256()
        for file in files:
            seen.update(f"{file}\0".encode() + hashlib.sha256((self.tree / file).read_bytes()).digest())
        return seen.hexdigest()

    def what_all_depend_on(self) -> str:
        """The digest of the program, and of what tests are made of."""
        made_of = [file for file in self._files(self.helpers, "*.py") if not Path(file).name.startswith("test_")]
        return self.digest([*self._files(self.program, "*.py"), *made_of])

    def _files(self, directories: Sequence[str], pattern: str) -> Iterator[str]:
        for directory in directories:
            for path in sorted((self.tree / directory).rglob(pattern)):
                yield str(path.relative_to(self.tree))


class Recorded(NamedTuple):
    """One test, as it went."""

    test: str  # pytest's node id
    passed: bool
    seconds: float
    hits: bytes  # one for each statement

    @property
    def file(self) -> str:
        """The file it is in."""
        return self.test.split("::", 1)[0]


class Coverage:
    """The tests of a project, and what they run."""

    def __init__(self, layout: Layout, statements: Sequence[Statement], tests: Sequence[Recorded]) -> None:
        self._layout = layout
        self._number = {statement: number for number, statement in enumerate(statements)}
        self._tests = [test for test in tests if test.passed]
        self._program = Program(layout.sources())
        self._importing = {
            file: _imported(layout.tree / file) for file in {test.file for test in self._tests if self.is_unit(test)}
        }
        self.left_out = [test.test for test in tests if not test.passed]

    def is_unit(self, test: Recorded) -> bool:
        """Whether it is a unit test."""
        return test.file.startswith(self._layout.unit + "/")

    def depending_on(self, statement: Statement) -> list[Recorded]:
        """The tests that depend on a statement, the fastest first."""
        relevant = self._program.relevant(statement)
        numbers = [self._number[one] for one in relevant if one in self._number]
        module = statement.file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        table = relevant != {statement}
        found = [
            test
            for test in self._tests
            if any(test.hits[number] for number in numbers)
            or (table and any(name.endswith(module) for name in self._importing.get(test.file, ())))
        ]
        return sorted(found, key=lambda test: test.seconds)


def _imported(file: Path) -> set[str]:
    """The modules that a file of tests imports, and what it imports of them, as dotted names."""
    names: set[str] = set()
    for line in file.read_text().splitlines():
        words = line.replace(",", " ").replace("(", " ").split()
        if words[:1] in (["from"], ["import"]) and len(words) > 1:
            names.add(words[1])
            names.update(f"{words[1]}.{word}" for word in words[3:] if words[0] == "from")
    return names


def record(layout: Layout, kept: Path, say: Callable[[str], None]) -> Coverage:
    """The coverage of a project as it is; what `kept` has of it already is not recorded again.

    A test that fails where statements are noted is left out.  Raises CannotRecord.
    """
    whole = layout.what_all_depend_on()
    digests = {file: layout.digest([file]) for file in layout.tests()}
    found = _read(kept, whole)
    missing = [file for file, digest in digests.items() if found.get(file, ("",))[0] != digest]
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as directory:
        copy = Copy(layout.tree, Path(directory) / "noting")
        statements = instrument(copy.root, copy.root / layout.package, layout.sources())
        unit = [file for file in missing if file.startswith(layout.unit + "/")]
        for group in ([unit] if unit else []) + [[file] for file in missing if file not in unit]:
            say(f"recording what the tests in {group[0] if len(group) == 1 else f'{len(group)} files'} run")
            rows = _run(copy, Path(layout.package).parent.name, group)
            for file in group:
                found[file] = (digests[file], [row for row in rows if row["test"].startswith(file + "::")])
            _write(kept, whole, found)
    tests = [
        Recorded(
            row["test"], row["outcome"] == "passed", row["seconds"], zlib.decompress(base64.b85decode(row["hits"]))
        )
        for file in digests
        for row in found[file][1]
        if row["outcome"] != "skipped"
    ]
    return Coverage(layout, statements, tests)


Found = dict[str, tuple[str, list[dict[str, Any]]]]


def _read(kept: Path, whole: str) -> Found:
    try:
        data = json.loads(kept.read_text())
    except FileNotFoundError:
        return {}
    return {file: (digest, rows) for file, (digest, rows) in data["files"].items()} if data["whole"] == whole else {}


def _write(kept: Path, whole: str, found: Mapping[str, object]) -> None:
    kept.write_text(json.dumps({"whole": whole, "files": found}))


def _run(copy: Copy, package: str, files: Sequence[str]) -> list[dict[str, Any]]:
    """Run tests in a copy that notes statements; what the recorder wrote."""
    notes, output = copy.scratch / "notes", copy.scratch / "output"
    notes.write_text("")
    variables = {recorder.NOTES: str(notes), recorder.PACKAGE: package}
    status = copy.pytest([*PLUGIN, "-q", *files], variables, output, None)
    rows = [json.loads(line) for line in notes.read_text().splitlines()]
    if status not in (0, _SOME_FAILED) or not rows:
        end = output.read_text(errors="replace")[-_SHOWN:]
        raise CannotRecord(f"pytest ended with status {status}; the end of what it printed:\n{end}")
    return rows
