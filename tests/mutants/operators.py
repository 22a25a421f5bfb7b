"""The changes: from the text of a program to all of its mutants, each with one change.

Not changed are docstrings, annotations, decorators, assertions, imports, and the wording of what is logged, printed or
raised.
"""

import ast
import bisect
import copy
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_SHIFTED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
_ATOMS = (ast.Constant, ast.Name, ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Call, ast.Attribute)
_LOGGING = {"debug", "info", "notice", "warning", "error", "critical", "fatal", "log", "print"}
_MARK = "§"  # in no text of the program
_LONGEST = 160  # characters that are shown of a line

OPERATORS = (
    "comparison negated",
    "bound shifted",
    "and/or swapped",
    "not removed",
    "condition negated",
    "number changed",
    "string changed",
    "bool flipped",
    "default changed",
    "call deleted",
    "assignment deleted",
    "exit removed",
    "element dropped",
    "arithmetic swapped",
    "sign removed",
)


class Mutant(NamedTuple):
    """A program with one change.  Lines are counted from 1."""

    operator: str
    line: int  # of what is changed
    statement: int  # the first line of the innermost statement that holds it
    before: str  # the changed lines, without indentation
    after: str
    text: str  # of the whole program


def statements(tree: ast.Module) -> list[ast.stmt]:
    """The statements that can be told apart by their first line, each beginning a line of its own."""
    first = dict[int, ast.stmt]()
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            first.setdefault(node.lineno, node)
    return list(first.values())


def mutants(text: str) -> list[Mutant]:
    """All mutants of a program, each of which differs from it and from all others."""
    return list(_Finder(text).find())


class _Place(NamedTuple):
    """Where in the program a node is."""

    statement: ast.stmt
    table: bool = False  # outside of functions
    wording: bool = False  # of what is logged or raised


class _Finder:
    def __init__(self, text: str) -> None:
        self._text = text
        self._data = text.encode()
        self._starts = [0]
        for line in self._data.splitlines(keepends=True):
            self._starts.append(self._starts[-1] + len(line))
        self._tree = ast.parse(text)

    def find(self) -> Iterator[Mutant]:
        seen = {self._text}
        for mutant in self._body(self._tree.body, table=True):
            if mutant.text not in seen:
                seen.add(mutant.text)
                yield mutant

    def _body(self, body: list[ast.stmt], *, table: bool, function_end: bool = False) -> Iterator[Mutant]:
        for index, statement in enumerate(body):
            last = function_end and index == len(body) - 1
            yield from self._statement(statement, table, last)

    def _statement(self, node: ast.stmt, table: bool, last: bool) -> Iterator[Mutant]:
        place = _Place(node, table)
        match node:
            case ast.Assert() | ast.Import() | ast.ImportFrom() | ast.Global() | ast.Nonlocal() | ast.Pass():
                return
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for default in [*node.args.defaults, *node.args.kw_defaults]:
                    for mutant in self._expression(default, place) if default else ():
                        yield mutant._replace(operator="default changed")
                yield from self._body(node.body, table=False, function_end=True)
            case ast.ClassDef():
                yield from self._body(node.body, table=table)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                return
            case ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
                return
            case ast.If() | ast.While():
                yield from self._condition(node.test, place)
                yield from self._expression(node.test, place)
                yield from self._body(node.body, table=table)
                yield from self._body(node.orelse, table=table)
            case ast.Expr(value=ast.Constant()):
                return
            case ast.Expr(value=value):
                if isinstance(value, ast.Call) or (isinstance(value, ast.Await) and isinstance(value.value, ast.Call)):
                    yield self._replaced("call deleted", node, "pass", place)
                yield from self._expression(value, place)
            case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
                if not (last and isinstance(node, ast.Return)):
                    yield self._replaced("exit removed", node, "pass", place)
                wording = place._replace(wording=isinstance(node, ast.Raise))
                for child in ast.iter_child_nodes(node):
                    yield from self._expression(child, wording)
            case ast.Assign() | ast.AugAssign() | ast.AnnAssign():
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                kept = isinstance(node, ast.AugAssign) or any(not isinstance(one, ast.Name) for one in targets)
                if kept and node.value is not None and not isinstance(targets[0], ast.Tuple):
                    yield self._replaced("assignment deleted", node, "pass", place)
                if isinstance(node, ast.AugAssign) and type(node.op) in _ARITHMETIC:
                    changed = copy.copy(node)
                    changed.op = _ARITHMETIC[type(node.op)]()
                    yield self._replaced("arithmetic swapped", node, ast.unparse(changed), place)
                if node.value is not None:
                    yield from self._expression(node.value, place)
            case _:
                for field, value in ast.iter_fields(node):
                    yield from self._field(field, value, place)

    def _field(self, field: str, value: object, place: _Place) -> Iterator[Mutant]:
        """What else statements are made of: bodies, handlers, cases, expressions."""
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, ast.stmt):
                yield from self._statement(one, place.table, last=False)
            elif isinstance(one, ast.expr):
                yield from self._expression(one, place)
            elif isinstance(one, ast.excepthandler | ast.match_case | ast.withitem):
                for inner, held in ast.iter_fields(one):
                    if inner == "guard" and isinstance(held, ast.expr):
                        yield from self._condition(held, place)
                    yield from self._field(inner, held, place)

    def _condition(self, test: ast.expr, place: _Place) -> Iterator[Mutant]:
        if not isinstance(test, ast.Compare | ast.Constant) and not _is_not(test):
            negated = ast.UnaryOp(op=ast.Not(), operand=test)
            yield self._replaced("condition negated", test, ast.unparse(negated), place)

    def _expression(self, node: ast.AST, place: _Place) -> Iterator[Mutant]:
        for operator, changed in self._changes(node, place):
            yield self._replaced(operator, node, changed, place)
        if isinstance(node, ast.JoinedStr):
            return  # ast does not tell for certain where its parts are
        if isinstance(node, ast.Set | ast.List | ast.Dict | ast.Tuple):
            yield from self._without_one(node, place)
        if isinstance(node, ast.IfExp):
            yield from self._condition(node.test, place)
        if isinstance(node, ast.Call) and _called(node) in _LOGGING:
            place = place._replace(wording=True)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.arguments):
                for default in [*child.defaults, *child.kw_defaults]:
                    yield from self._expression(default, place) if default else ()
            else:
                yield from self._expression(child, place)

    def _changes(self, node: ast.AST, place: _Place) -> Iterator[tuple[str, str]]:
        """Operators and the expressions that they put in place of this one."""
        match node:
            case ast.Compare(ops=operators):
                for operator, table in (("comparison negated", _NEGATED), ("bound shifted", _SHIFTED)):
                    for index, one in enumerate(operators):
                        if type(one) in table:
                            changed = copy.copy(node)
                            changed.ops = [*operators[:index], table[type(one)](), *operators[index + 1 :]]
                            yield operator, ast.unparse(changed)
            case ast.BoolOp():
                changed_bool = copy.copy(node)
                changed_bool.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
                yield "and/or swapped", ast.unparse(changed_bool)
            case ast.UnaryOp(op=ast.Not()):
                yield "not removed", ast.unparse(node.operand)
            case ast.UnaryOp(op=ast.USub()):
                yield "sign removed", ast.unparse(node.operand)
            case ast.BinOp() if type(node.op) in _ARITHMETIC and not _formats(node):
                changed_op = copy.copy(node)
                changed_op.op = _ARITHMETIC[type(node.op)]()
                yield "arithmetic swapped", ast.unparse(changed_op)
            case ast.Constant():
                yield from _constants(node.value, place)

    def _without_one(self, node: ast.Set | ast.List | ast.Dict | ast.Tuple, place: _Place) -> Iterator[Mutant]:
        """A table without one of its rows."""
        rows: list[tuple[int, int]]
        if isinstance(node, ast.Dict):
            if None in node.keys:
                return
            rows = [
                (self._span(key)[0], self._span(value)[1])
                for key, value in zip(node.keys, node.values, strict=True)
                if key
            ]
        elif isinstance(node, ast.Set) or isinstance(node.ctx, ast.Load):
            if isinstance(node, ast.Tuple) and not place.table:
                return
            rows = [self._span(element) for element in node.elts]
        else:
            return
        if len(rows) < 2:
            return
        for index, (begin, end) in enumerate(rows):
            by = ""
            if len(rows) == 2 and isinstance(node, ast.Tuple):  # what is left is to be a tuple still
                begin, end = rows[0][0], rows[1][1]
                by = self._data[slice(*rows[1 - index])].decode() + ","
            elif index + 1 < len(rows):
                end = rows[index + 1][0]
            else:
                begin = rows[index - 1][1]
            yield self._spliced("element dropped", node, begin, end, by, place)

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return (
            self._starts[node.lineno - 1] + node.col_offset,
            self._starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def _replaced(self, operator: str, node: ast.AST, by: str, place: _Place) -> Mutant:
        assert isinstance(node, ast.expr | ast.stmt)
        if isinstance(node, ast.expr) and not isinstance(node, _ATOMS):
            by = f"({by})"
        return self._spliced(operator, node, *self._span(node), by, place)

    def _spliced(
        self, operator: str, node: ast.expr | ast.stmt, begin: int, end: int, by: str, place: _Place
    ) -> Mutant:
        line = bisect.bisect_right(self._starts, begin)
        last = bisect.bisect_left(self._starts, max(end, begin + 1))
        line_begin, line_end = self._starts[line - 1], self._starts[last]
        data = self._data[:begin] + by.encode() + self._data[end:]
        before = self._data[line_begin:line_end]
        after = self._data[line_begin:begin] + by.encode() + self._data[end:line_end]
        return Mutant(operator, line, place.statement.lineno, _one_line(before), _one_line(after), data.decode())


def _constants(value: object, place: _Place) -> Iterator[tuple[str, str]]:
    if isinstance(value, bool):
        yield "bool flipped", repr(not value)
    elif isinstance(value, int | float):
        yield "number changed", repr(value + 1)
        if value > 0:
            yield "number changed", repr(value - 1)
    elif isinstance(value, str | bytes) and not place.wording:
        yield "string changed", repr(value + _MARK if isinstance(value, str) else value + _MARK.encode())
        if value:
            yield "string changed", repr(value[:0])


def _formats(node: ast.BinOp) -> bool:
    """Whether an operator cannot be any other: "%" of a text, a text and its continuation."""
    texts = (ast.JoinedStr,)
    sides: Iterable[ast.expr] = (node.left, node.right)
    return any(
        isinstance(one, texts) or (isinstance(one, ast.Constant) and isinstance(one.value, str)) for one in sides
    )


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _called(node: ast.Call) -> str:
    match node.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _one_line(data: bytes) -> str:
    line = " ".join(data.decode().split())
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"
