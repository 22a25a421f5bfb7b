"""Which mutants are tried: few, spread over the statements."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from .operators import Mutant, mutants


class Candidate(NamedTuple):
    """A mutant of one file of the tree."""

    file: str  # below the root of the tree
    mutant: Mutant


def draw(sources: Mapping[str, str], count: int, seed: int) -> list[Candidate]:
    """`count` mutants of these programs, by path, or all if there are fewer; the same ones for the same seed.

    No statement has two of them as long as there is one that has none, and no operator as long as there is another.
    """
    chance = random.Random(seed)
    by_statement: dict[tuple[str, int], list[Mutant]] = defaultdict(list)
    for file in sorted(sources):
        for mutant in mutants(sources[file]):
            by_statement[file, mutant.statement].append(mutant)
    places = list(by_statement)
    chance.shuffle(places)
    queues = [(file, _shuffled(by_statement[file, line], chance)) for file, line in places]
    drawn: list[Candidate] = []
    while queues and len(drawn) < count:
        left = []
        for file, queue in queues:
            following = next(queue, None)
            if following is not None:
                left.append((file, queue))
                drawn.append(Candidate(file, following))
        queues = left
    return drawn[:count]


def _shuffled(found: Iterable[Mutant], chance: random.Random) -> Iterator[Mutant]:
    """Those that compile, one of each operator in turn."""
    by_operator: dict[str, list[Mutant]] = defaultdict(list)
    for mutant in found:
        by_operator[mutant.operator].append(mutant)
    groups = list(by_operator.values())
    chance.shuffle(groups)
    for group in groups:
        chance.shuffle(group)
    ordered = [group[index] for index in range(max(map(len, groups))) for group in groups if index < len(group)]
    return (mutant for mutant in ordered if _compiles(mutant.text))


def _compiles(text: str) -> bool:
    try:
        compile(text, "mutant", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True
