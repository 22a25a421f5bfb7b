"""A program that notes which of its statements run, in whatever process.

Before each statement one is put that sets a byte in memory, which all processes share that import the package: they map
one file when they do.  So a worker that has lost every right, and may open nothing, still notes what it runs; a
debugger's hook, as coverage.py takes, would have nowhere to write to.
"""

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .operators import statements

NAME = "__hits__"
MAP = "hits.map"

# ctypes and not mmap, which would keep a descriptor of the file: tests count those.
_PACKAGE = f"""
import ctypes as _ctypes
import os as _os


def _map(path, size):
    try:
        descriptor = _os.open(path, _os.O_RDWR | _os.O_CLOEXEC)
    except OSError:  # a process that may not, as one that a user runs
        return (_ctypes.c_ubyte * size)()
    libc = _ctypes.CDLL(None)
    libc.mmap.restype = _ctypes.c_void_p
    libc.mmap.argtypes = (_ctypes.c_void_p, _ctypes.c_size_t, *[_ctypes.c_int] * 3, _ctypes.c_long)
    address = libc.mmap(None, size, 3, 1, descriptor, 0)  # PROT_READ | PROT_WRITE, MAP_SHARED
    _os.close(descriptor)
    return (_ctypes.c_ubyte * size).from_address(address)


{NAME} = _map(%r, %d)
"""


class Statement(NamedTuple):
    """Where a statement is: its number is its byte's."""

    file: str
    line: int


def instrument(root: Path, package: Path, files: Iterable[str]) -> list[Statement]:
    """Make the programs `files` below `root` note what they run; the statements in the order of their numbers.

    `package` is the `__init__.py` that each of them imports first.
    """
    found: list[Statement] = []
    for file in sorted(files):
        path = root / file
        tree = ast.parse(path.read_text())
        numbers = {node: len(found) + index for index, node in enumerate(statements(tree))}
        found += [Statement(file, node.lineno) for node in numbers]
        path.write_text(_noting(tree, numbers, package.parent.name))
    memory = root / MAP
    memory.write_bytes(bytes(max(1, len(found))))
    memory.chmod(0o666)
    package.write_text(package.read_text() + _PACKAGE % (str(memory), max(1, len(found))))
    return found


def _noting(tree: ast.Module, numbers: dict[ast.stmt, int], package: str) -> str:
    nodes = list(ast.walk(tree))  # as it is before
    for node in nodes:
        for field, value in ast.iter_fields(node):
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                body: list[ast.stmt] = []
                for position, statement in enumerate(value):
                    if statement in numbers and not _comes_first(position, statement):
                        body.append(ast.parse(f"{NAME}[{numbers[statement]}] = 1").body[0])
                    body.append(statement)
                setattr(node, field, body)
    begin = sum(_comes_first(position, statement) for position, statement in enumerate(tree.body))
    tree.body.insert(begin, ast.parse(f"{NAME} = __import__({package!r}).{NAME}").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


def _comes_first(position: int, statement: ast.stmt) -> bool:
    """Whether nothing may stand before it: a docstring, an import from the future."""
    if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
        return True
    return position == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
