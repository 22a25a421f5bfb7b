"""Frames of earlier releases, which workers that are taken over may still speak: each is read as it was meant.

A file for each protocol version, named by it, with the frames by their messages; the present one's is made by running
this as a module, once, when it is released.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ...ipc import messages
from ...ipc.codec import decode_to_supervisor, decode_to_worker, encode
from .test_ipc import EXAMPLES, plain

PLACE = Path(__file__).parents[1] / "frames"
NOW = f"{messages.MAJOR}.{messages.MINOR}"
FILES = sorted(PLACE.glob(f"{messages.MAJOR}.*.json"))


def frames(file: Path) -> dict[str, bytes]:
    return {name: bytes.fromhex(frame) for name, frame in json.loads(file.read_text()).items()}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_frames_of_a_release_are_understood(file: Path) -> None:
    """Also by the other side: a new supervisor may send an old worker what that knows."""
    known: dict[str, Any] = {one.__name__: one for one in (*messages.TO_WORKER, *messages.TO_SUPERVISOR)}
    for name, frame in frames(file).items():
        decode = decode_to_worker if known[name] in messages.TO_WORKER else decode_to_supervisor
        assert type(decode(frame, messages.DESCRIPTORS.get(known[name], 0))).__name__ == name


def test_the_present_version_is_what_its_file_says() -> None:
    """A change of a message takes another version: what was released is spoken to."""
    there = frames(PLACE / f"{NOW}.json")
    assert there.keys() == {type(one).__name__ for one in EXAMPLES}
    for example in EXAMPLES:
        decode = decode_to_worker if isinstance(example, messages.ToWorker) else decode_to_supervisor
        again = decode(there[type(example).__name__], messages.DESCRIPTORS.get(type(example), 0))
        assert plain(again) == plain(example)
        assert encode(example) == there[type(example).__name__]


if __name__ == "__main__":
    told = {type(one).__name__: encode(one).hex() for one in EXAMPLES}
    (PLACE / f"{NOW}.json").write_text(json.dumps(told, indent=1) + "\n")
