"""What is in a process's memory (proc(5), /proc/PID/mem; root only)."""

import contextlib
import mmap
import os
import sys
from collections.abc import Iterable, Iterator
from itertools import takewhile
from operator import eq
from pathlib import Path

_PIECE = 16 * mmap.PAGESIZE
_WORD = 8  # bytes
_LEAST = 2 * _WORD - 1  # bytes in a row of which one aligned word is always a part
_UNREADABLE = ("[vvar]", "[vvar_vclock]", "[vsyscall]")

PART = 16  # bytes; the smallest vector register


def found_in_memory(pid: int, secrets: Iterable[bytes]) -> dict[bytes, list[str]]:
    """Those of `secrets` of which any PART bytes in a row are in a process's memory, and where: names of mappings.

    A vector register that was saved leaves no more than a part of one, and of most larger registers the parts are
    saved apart (Intel's manual, volume 1, 13.4: the XSAVE area).  The process is not stopped: what it does meanwhile
    may be missed.
    """
    words: dict[int, list[tuple[bytes, int]]] = {}
    for secret in secrets:
        assert len(secret) >= PART > _LEAST
        for at in range(len(secret) - _WORD + 1):
            words.setdefault(_word(secret, at), []).append((secret, at))
    found: dict[bytes, list[str]] = {}
    for name, memory in _mappings(pid):
        before = b""
        for piece in memory:
            # With the end of the one before: whole words, as its beginning.
            text = before + piece
            for at in _hits(text, words):
                for secret, offset in words[_word(text, at)]:
                    if name not in found.get(secret, ()) and _in_common(text, at, secret, offset) >= PART:
                        found.setdefault(secret, []).append(name)
            before = text[-2 * PART :]
    return found


def _word(text: bytes, at: int) -> int:
    return int.from_bytes(text[at : at + _WORD], sys.byteorder)


def _hits(text: bytes, words: dict[int, list[tuple[bytes, int]]]) -> list[int]:
    """Where in `text` there are any of `words`, aligned."""
    if not text.strip(b"\0"):
        return []
    there = memoryview(text).cast("Q").tolist()
    if not words.keys() & there:
        return []
    return [number * _WORD for number, word in enumerate(there) if word in words]


def _in_common(text: bytes, at: int, secret: bytes, offset: int) -> int:
    """How many bytes in a row, around these places, are the same in both."""
    before = map(eq, reversed(text[max(0, at - offset) : at]), reversed(secret[:offset]))
    after = map(eq, text[at : at + len(secret)], secret[offset:])
    return len([*takewhile(bool, before), *takewhile(bool, after)])


def _mappings(pid: int) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The private mappings that have been written to, or could have been, and shared memory; what is in each."""
    place = Path(f"/proc/{pid}")
    with (place / "mem").open("rb", buffering=0) as memory:
        for line in (place / "maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            begin, end = (int(number, 16) for number in fields[0].split("-"))
            name = fields[5] if len(fields) > 5 else "anonymous"
            if "r" in fields[1] and name not in _UNREADABLE:
                yield f"{name} {fields[0]}", _pieces(memory.fileno(), begin, end)


def _pieces(descriptor: int, begin: int, end: int) -> Iterator[bytes]:
    for at in range(begin, end, _PIECE):
        with contextlib.suppress(OSError):  # beyond the end of a mapped file, or unmapped meanwhile
            yield os.pread(descriptor, min(_PIECE, end - at), at)
