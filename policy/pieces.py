"""Work in pieces: a generator that yields about every 50 µs, so that others get their turn, and returns its result."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Pieces = Generator[None, None, T]


def whole(work: Pieces[T]) -> T:
    """The result of `work`, done at once."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            result: T = done.value
            return result
