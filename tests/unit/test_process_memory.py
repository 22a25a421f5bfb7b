"""The search of the tests for secrets in memory: what it finds, and that it finds nothing else."""

import mmap
import os
from collections.abc import Iterator

import pytest

from ..lab.process_memory import PART, found_in_memory

SECRET = bytes(range(0x41, 0x41 + 50))
READ_AT_ONCE = 16 * mmap.PAGESIZE


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    """Memory of this process by a name of its own."""
    with mmap.mmap(-1, 4 * READ_AT_ONCE) as made:
        yield made


def found() -> bool:
    places = found_in_memory(os.getpid(), [SECRET]).get(SECRET, ())
    return any(place.startswith("/dev/zero") for place in places)


@pytest.mark.parametrize("at", [7, READ_AT_ONCE - 1, READ_AT_ONCE - PART + 1, 4 * READ_AT_ONCE - PART])
def test_a_part_is_found_wherever_it_is(memory: mmap.mmap, at: int) -> None:
    memory[at : at + PART] = SECRET[-PART:]
    assert found()


def test_less_than_a_part_is_not_found(memory: mmap.mmap) -> None:
    memory[:PART] = SECRET[1:PART] + b"\0"
    memory[PART : 2 * PART] = b"\0" + SECRET[: PART - 1]
    assert not found()
