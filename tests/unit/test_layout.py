"""The tree holds what the project says of it: packages, the direction of imports, the import root."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from ..support.imports import circles, module_graph

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "openvpn3_sessionmgr"
SHIPPED = ("policy", "kernel", "ipc", "supervisor", "worker", "ctl")
FOR_DEVELOPERS = ("tests", "bench", "packaging")
MAY_IMPORT = {
    "policy": {"policy"},
    "kernel": {"policy", "kernel"},
    "ipc": {"policy", "ipc"},
    "supervisor": {"policy", "kernel", "ipc", "supervisor"},
    "worker": {"policy", "kernel", "ipc", "worker", "worker.profile"},
    "worker.profile": {"policy", "worker.profile"},
    "ctl": {"policy", "kernel", "ctl", "worker.profile"},
}


def room(module: tuple[str, ...]) -> str:
    """The key of MAY_IMPORT for a module or file, by the parts of its name below the package."""
    return next((inner for inner in MAY_IMPORT if "." in inner and ".".join(module[:2]) == inner), module[0])


def imported_rooms(source: Path, text: str) -> set[str]:
    """The rooms of this project that a file imports."""
    here = (PACKAGE, *source.relative_to(ROOT).parent.parts)
    found = set[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level + 1] if node.level else ()
            module = (*start, *(node.module.split(".") if node.module else ()))
            modules = [(*module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        found |= {room(module[1:]) for module in modules if module[0] == PACKAGE}
    return found


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_every_package_is_installed() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    in_tree = {
        ".".join((PACKAGE, *source.parent.relative_to(ROOT).parts)) for top in SHIPPED for source in sources(top)
    }
    assert set(declared) == {PACKAGE, *in_tree}
    assert len(declared) == len(set(declared))


def test_every_package_has_an_init() -> None:
    """Without one, setuptools takes a directory for data."""
    missing = {source.parent for top in SHIPPED for source in sources(top)}
    assert not [directory for directory in missing if not (directory / "__init__.py").exists()]


@pytest.mark.parametrize("package", SHIPPED)
def test_imports_point_one_way(package: str) -> None:
    for source in sources(package):
        here = room(source.relative_to(ROOT).parent.parts)
        wrong = imported_rooms(source, source.read_text()) - MAY_IMPORT[here]
        assert not wrong, f"{source.relative_to(ROOT)} imports {wrong}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert circles(module_graph(ROOT, PACKAGE, [file for top in SHIPPED for file in sources(top)])) == []


@pytest.mark.parametrize(
    "back",
    [
        "from .. import a",
        "from ..a import f",
        "import made.a",
        "from made import a",
        "if TYPE_CHECKING:\n    from ..a import f",
        "def f() -> None:\n    from ..a import f",
        "module = importlib.import_module('made.a')",
        "module = importlib.import_module('..a', __package__)",
        "module = __import__('made.a')",
    ],
)
def test_every_circle_is_found(tmp_path: Path, back: str) -> None:
    texts = {"a.py": "from .room import b", "room/__init__.py": "", "room/b.py": "from . import c", "room/c.py": back}
    (tmp_path / "room").mkdir()
    for name, text in {**texts, "d.py": "from .room import c", "e.py": "import os"}.items():
        (tmp_path / name).write_text(text)
    found = circles(module_graph(tmp_path, "made", tmp_path.rglob("*.py")))
    assert found == [["made.a", "made.room.b", "made.room.c"]]
    (tmp_path / "room" / "c.py").write_text("a = ['python3', '-m', 'made.a']")
    assert circles(module_graph(tmp_path, "made", tmp_path.rglob("*.py"))) == []
    (tmp_path / "room" / "__init__.py").write_text("from .b import c")
    assert circles(module_graph(tmp_path, "made", tmp_path.rglob("*.py"))) == [
        ["made.room", "made.room.b", "made.room.c"]
    ]


def absolute_imports(source: Path) -> list[int]:
    """The lines that import the package by its name."""
    found = []
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        found += [node.lineno for name in names if name.partition(".")[0] == PACKAGE]
    return found


@pytest.mark.parametrize("package", (*SHIPPED, *FOR_DEVELOPERS))
def test_imports_inside_are_relative(package: str) -> None:
    """By a relative import, a language server finds the same file from everywhere; pytest names conftests itself."""
    wrong = {source: absolute_imports(source) for source in sources(package) if source.name != "conftest.py"}
    assert not {source: lines for source, lines in wrong.items() if lines}
    relative = re.compile(r"^from \.", re.MULTILINE)
    assert not [one for one in sources(package) if one.name == "conftest.py" and relative.search(one.read_text())]


def test_tests_share_through_their_support() -> None:
    """A directory of tests imports nothing of another, unless that is what it is about."""
    about = {"unit": {"fuzz", "mutants", "hostile", "profiles"}, "integration": {"mutants"}}
    for source in sources("tests"):
        directory, *_ = source.relative_to(ROOT / "tests").parts
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level:
                start = source.parents[node.level - 1].relative_to(ROOT)
                _, other, *_ = *start.parts, *(node.module or "").split("."), ""
                allowed = {directory, "", "lab", "support", *about.get(directory, ())}
                assert start.parts[:1] != ("tests",) or other in allowed, f"{source} imports from {other}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("from ..worker import engine", {"worker"}),
        ("from .. import worker", {"worker"}),
        ("from ..worker.engine import Engine", {"worker"}),
        ("from ..worker.profile.verdict import verdict", {"worker.profile"}),
        ("from ..worker import profile", {"worker.profile"}),
        ("from . import reap", {"supervisor"}),
        (f"import {PACKAGE}.ctl", {"ctl"}),
        ("def f():\n    from ..ctl import show", {"ctl"}),
        ("import os", set()),
    ],
)
def test_the_import_rule_sees_every_form(text: str, found: set[str]) -> None:
    assert imported_rooms(ROOT / "supervisor" / "idle.py", text) == found


def test_the_import_root_shows_every_top_level_package() -> None:
    shown = {entry.name: entry.resolve() for entry in (ROOT / "src" / PACKAGE).iterdir() if entry.is_symlink()}
    assert shown == {name: ROOT / name for name in (*SHIPPED, *FOR_DEVELOPERS)}
