"""`make mutants`: what is changed in a program, and which of the changes are tried."""

from pathlib import Path

import pytest

from ..mutants import accepted
from ..mutants.operators import OPERATORS, Mutant, mutants
from ..mutants.sample import draw

PROJECT = Path(__file__).resolve().parents[2]

# Operator, program, and what becomes of it.
CHANGES = [
    ("comparison negated", "x = a < b", ["x = (a >= b)"]),
    ("comparison negated", "x = a in b", ["x = (a not in b)"]),
    ("comparison negated", "x = a is None", ["x = (a is not None)"]),
    ("bound shifted", "x = a < b <= c", ["x = (a <= b <= c)", "x = (a < b < c)"]),
    ("and/or swapped", "x = a and b", ["x = (a or b)"]),
    ("not removed", "x = not a", ["x = (a)"]),
    ("condition negated", "if a: b()", ["if not a: b()"]),
    ("condition negated", "x = 1 if f() else 2", ["x = 1 if not f() else 2"]),
    ("number changed", "x = 1", ["x = 2", "x = 0"]),
    ("number changed", "x = a[0]", ["x = a[1]"]),
    ("string changed", "x = 'a'", ["x = 'a§'", "x = ''"]),
    ("bool flipped", "x = True", ["x = False"]),
    ("default changed", "def f(a=True): ...", ["def f(a=False): ..."]),
    ("call deleted", "f(a)", ["pass"]),
    ("call deleted", "async def f():\n    await g()", ["async def f():\n    pass"]),
    ("assignment deleted", "a.b = c", ["pass"]),
    ("assignment deleted", "a += b", ["pass"]),
    ("exit removed", "def f():\n    if a: return\n    b()", ["def f():\n    if a: pass\n    b()"]),
    ("exit removed", "if a: raise E", ["if a: pass"]),
    ("element dropped", "X = (a, b)", ["X = (b,)", "X = (a,)"]),
    ("element dropped", "X = {a: 1, b: 2, c: 3}", ["X = {b: 2, c: 3}", "X = {a: 1, c: 3}", "X = {a: 1, b: 2}"]),
    ("arithmetic swapped", "x = a + b", ["x = (a - b)"]),
    ("arithmetic swapped", "a += b", ["a -= b"]),
    ("sign removed", "x = -a", ["x = (a)"]),
]

UNCHANGED = {
    "docstring": '"""Text."""',
    "annotation": "x: A | B",
    "import": "from a import b",
    "assertion": "assert a == 1",
    "wording of an error": "def f():\n    raise E('text')",
    "wording of a log": "x = log.error('text')",
    "formatted text": "x = f'{a} text'",
    "text and its continuation": "x = a + 'text'",
    "types only": "if TYPE_CHECKING:\n    x = 1",
}


def of(operator: str, program: str) -> list[Mutant]:
    return [mutant for mutant in mutants(program) if mutant.operator == operator]


@pytest.mark.parametrize(("operator", "program", "expected"), CHANGES)
def test_what_an_operator_changes(operator: str, program: str, expected: list[str]) -> None:
    assert [mutant.text for mutant in of(operator, program)] == expected


def test_every_operator_has_an_example() -> None:
    assert {operator for operator, *_ in CHANGES} == set(OPERATORS)


@pytest.mark.parametrize("program", UNCHANGED.values(), ids=UNCHANGED)
def test_what_is_left_as_it_is(program: str) -> None:
    assert [mutant for mutant in mutants(program) if mutant.operator not in ("exit removed", "string changed")] == []
    assert program.startswith("x = a +") or not of("string changed", program)


def test_places_are_those_of_the_program() -> None:
    program = (
        "X = {\n    'é': 1,\n    'b': 2,  # why\n}\n\ndef f(a):\n    if a:\n        g(\n            -1\n        )\n"
    )
    dropped = of("element dropped", program)[1]
    assert (dropped.line, dropped.statement, dropped.before, dropped.after) == (
        2,
        1,
        "'é': 1, 'b': 2, # why",
        "'é': 1, # why",
    )
    [sign] = of("sign removed", program)
    assert (sign.line, sign.statement, sign.before, sign.after) == (9, 8, "-1", "(1)")


def test_mutants_of_this_project_compile_and_differ() -> None:
    """Of a few files, since compiling all of them takes a minute; what does not compile is not drawn."""
    sources = {name: (PROJECT / name).read_text() for name in ("policy/access.py", "supervisor/idle.py")}
    drawn = draw(sources, 10_000, 1)
    texts = {candidate.mutant.text for candidate in drawn}
    assert len(texts) == len(drawn) > 50
    assert not texts & set(sources.values())
    for text in texts:
        compile(text, "mutant", "exec")


def test_a_sample_is_known_by_its_seed_and_spread_over_statements() -> None:
    sources = {"a.py": "x = 1 + 2 + 3\ny = 2\n", "b.py": "z = a < 1 or b\n"}
    for seed in range(10):
        drawn = draw(sources, 3, seed)
        assert drawn == draw(sources, 3, seed)
        assert len({(candidate.file, candidate.mutant.statement) for candidate in drawn}) == 3
    assert len({draw(sources, 3, seed)[0] for seed in range(10)}) > 1


def test_accepted_survivors_have_reasons() -> None:
    assert all(one.reason and one.before != one.after for one in accepted.read())
