"""Which modules of a package import which, wherever and in whatever form it is written, and the circles of that."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_NAMES_MODULE = {"import_module", "__import__"}


def module_graph(root: Path, package: str, files: Iterable[Path]) -> dict[str, set[str]]:
    """What each of `files` imports of the others, by dotted names that begin with `package`, which lies at `root`.

    Counted are imports for type checkers alone, in functions, and by a name in a string; not what is started as another
    process.  A module imports the packages it is in.
    """
    named = {_name(root, package, file): file for file in files}
    return {module: set(_imports(module, file, named)) - {module} for module, file in named.items()}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module, each in the order of names."""
    reached = {module: _reachable(graph, module) for module in graph}
    found = list[list[str]]()
    for module in sorted(graph):
        if module in reached[module] and not any(module in circle for circle in found):
            found.append(sorted(other for other in reached[module] if module in reached[other]))
    return found


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    reached = set[str]()
    ahead = [start]
    while ahead:
        new = graph[ahead.pop()] - reached
        reached |= new
        ahead += new
    return reached


def _name(root: Path, package: str, file: Path) -> str:
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join((package, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _imports(module: str, file: Path, known: Mapping[str, Path]) -> Iterator[str]:
    home = module if file.name == "__init__.py" else module.rpartition(".")[0]
    parts = home.split(".")
    yield from (".".join(parts[:depth]) for depth in range(1, len(parts) + 1) if ".".join(parts[:depth]) in known)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from _resolve((alias.name for alias in node.names), known)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute("." * node.level + (node.module or ""), home)
            yield from _resolve((f"{base}.{alias.name}" for alias in node.names), known)
        elif isinstance(node, ast.Call) and _NAMES_MODULE & {*_names_in(node.func)}:
            names = (one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str))
            yield from _resolve((_absolute(name, home) for name in names), known)


def _names_in(function: ast.expr) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _absolute(name: str, home: str) -> str:
    """A name as in an import statement of a module in the package `home`."""
    level = len(name) - len(name.lstrip("."))
    if not level:
        return name
    parts = home.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [name[level:]])])


def _resolve(names: Iterable[str], known: Mapping[str, Path]) -> Iterator[str]:
    """The modules that names mean: themselves, or what they are taken from."""
    for name in names:
        while name and name not in known:
            name = name.rpartition(".")[0]
        if name:
            yield name
