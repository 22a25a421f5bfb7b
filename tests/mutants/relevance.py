"""Which statements a test must have run to depend on another one."""

import ast
from collections.abc import Mapping, Sequence

from .hits import Statement

_TABLES_OF_TABLES = 3


class Program:
    """The program's files, as far as they can tell that."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._trees = {file: ast.parse(text) for file, text in sources.items()}
        self._inside = {file: _in_functions(tree) for file, tree in self._trees.items()}
        self._mentioning: dict[str, set[Statement]] = {}
        for file, found in self._inside.items():
            for line, node in found.items():
                for name in _mentioned(node, whole=False):
                    self._mentioning.setdefault(name, set()).add(Statement(file, line))

    def relevant(self, of: Statement) -> set[Statement]:
        """The statements of functions by which a test shows that it depends on this one.

        That is the statement itself.  What is outside of functions runs in each process that imports it: those that
        mention what it defines stand for it.
        """
        if of.line in self._inside[of.file]:
            return {of}
        tree = self._trees[of.file]
        names = _defined(tree, of.line)
        for _ in range(_TABLES_OF_TABLES):
            for node in tree.body:
                if names & _mentioned(node, whole=True):
                    names |= _defined_by(node)
        return {statement for name in names for statement in self._mentioning.get(name, ())}


def _in_functions(tree: ast.Module) -> dict[int, ast.stmt]:
    found: dict[int, ast.stmt] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                if isinstance(node, ast.stmt) and node is not function:
                    found.setdefault(node.lineno, node)
    return found


def _defined(tree: ast.Module, line: int) -> set[str]:
    """Names that the statement in this line, outside of functions, defines, with the classes around it."""
    names: set[str] = set()
    body: Sequence[ast.stmt] = tree.body
    while around := [node for node in body if node.lineno <= line <= (node.end_lineno or node.lineno)]:
        names |= _defined_by(around[0])
        body = [child for child in ast.iter_child_nodes(around[0]) if isinstance(child, ast.stmt)]
    return names


def _defined_by(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    # Of what is assigned outside, as `TABLE[key] = row`, the table counts.
    return {one.id for target in targets if target for one in ast.walk(target) if isinstance(one, ast.Name)}


def _mentioned(node: ast.stmt, *, whole: bool) -> set[str]:
    """Names in a statement, without those in statements that it holds unless it is to be looked at as a whole."""
    names: set[str] = set()
    left: list[ast.AST] = [node]
    while left:
        one = left.pop()
        if isinstance(one, ast.Name):
            names.add(one.id)
        elif isinstance(one, ast.Attribute):
            names.add(one.attr)
        left += [child for child in ast.iter_child_nodes(one) if whole or not isinstance(child, ast.stmt)]
    return names
