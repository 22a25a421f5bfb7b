"""Files that docstrings, comments and documents name exist: a reader who follows a reference arrives."""

import ast
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("policy", "kernel", "ipc", "supervisor", "worker", "ctl", "packaging", "bench", "tests")
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FILE = re.compile(r"(?<![\w/{}<*-])[\w./*-]*[\w*]\.py\b")  # with directories, and as a pattern too
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")  # of a document to another file


@cache
def sources() -> list[Path]:
    return sorted(file for top in CODE for file in (ROOT / top).rglob("*.py"))


def prose(source: Path) -> Iterator[str]:
    """The docstrings and comments of a module."""
    with tokenize.open(source) as file:
        text = file.read()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
    tokens = tokenize.generate_tokens(iter(text.splitlines(keepends=True)).__next__)
    yield from (token.string for token in tokens if token.type == tokenize.COMMENT)


def references(texts: Iterable[str]) -> set[str]:
    return {name for text in texts for name in _FILE.findall(text)} - {"__init__.py"}


def exists_near(name: str, directory: Path) -> bool:
    """Whether a module may call a file `name`: by its path from the module's directory, or from one above that."""
    above = [directory, *directory.parents]
    return any(any(place.glob(name)) for place in above[: above.index(ROOT) + 1])


def exists_anywhere(name: str) -> bool:
    """Whether a document may call a file `name`: by the end of its path."""
    return any(file.match(name) for file in (*sources(), *ROOT.glob("*.py")))


@pytest.mark.parametrize("top", CODE)
def test_modules_name_files_that_exist(top: str) -> None:
    stale = {
        str(source.relative_to(ROOT)): names
        for source in sources()
        if source.relative_to(ROOT).parts[0] == top
        and (names := {name for name in references(prose(source)) if not exists_near(name, source.parent)})
    }
    assert stale == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_documents_name_files_that_exist(document: Path) -> None:
    text = document.read_text()
    prose_only = _LINK.sub("]()", text)
    assert {name for name in references([prose_only]) if not exists_anywhere(name)} == set()
    assert {link for link in _LINK.findall(text) if not (document.parent / link).exists()} == set()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see journal.py.", {"journal.py"}),
        ("(bus/session_api.py), `*_api.py`", {"bus/session_api.py", "*_api.py"}),
        ("nothing.pyc, happy, .py", set()),
    ],
)
def test_references_are_found(text: str, found: set[str]) -> None:
    assert references([text]) == found


def test_a_reference_is_looked_for_nearby() -> None:
    bus = ROOT / "supervisor" / "bus"
    assert exists_near("dispatch.py", bus) and exists_near("bus/dispatch.py", bus)
    assert exists_near("policy/access.py", bus) and exists_near("*_api.py", bus)
    assert not exists_near("access.py", bus) and not exists_near("bus/receive.py", bus)
    assert exists_anywhere("bus/dispatch.py") and not exists_anywhere("us/dispatch.py")
