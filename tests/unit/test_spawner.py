"""What the spawner reads: one fixed request, and nothing else makes a process."""

import os
import sys
import traceback
from pathlib import Path

import pytest

from openvpn3_sessionmgr.ipc import helpers
from openvpn3_sessionmgr.ipc.channel import channel_pair
from openvpn3_sessionmgr.worker.helpers import spawner
from openvpn3_sessionmgr.worker.sandbox.confine import Confinement

UIDS = range(60707, 60710)
RIGHT = helpers.pack_spawn(1, UIDS.start)


def said_of(data: bytes, descriptors: int) -> tuple[str, int]:
    """What a spawner without providers says of one packet, and how many packets it answers with."""
    ours, theirs = channel_pair()
    null = os.open("/dev/null", os.O_RDONLY)
    ours.send(data, [null] * descriptors)
    os.close(null)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ours.close()
            sys.stderr = os.fdopen(write_end, "w")
            os.set_blocking(theirs.fileno(), False)
            spawner._serve(theirs, UIDS, Confinement(), ())
        except BlockingIOError:  # it waits for the next one
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(write_end)
    theirs.close()
    said = os.fdopen(read_end).read()
    _, status = os.waitpid(child, 0)
    assert status == 0, said
    answers = len(ours.socket.recv(4096))
    ours.close()
    return said, answers


@pytest.mark.parametrize(
    "data",
    [b"x", RIGHT[:-1], RIGHT + b"\0", b"spw2" + RIGHT[4:], RIGHT * 2, b"\xff" * len(RIGHT), b"x" * 60_000],
)
def test_anything_else_is_no_request(data: bytes) -> None:
    assert said_of(data, 1) == (f"spawner: {len(data)} bytes are not a spawn request\n", 0)


@pytest.mark.parametrize(
    ("data", "descriptors"),
    [
        (helpers.pack_spawn(1, 0), 1),
        (helpers.pack_spawn(1, UIDS.start - 1), 1),
        (helpers.pack_spawn(1, UIDS.stop), 1),
        (helpers.pack_spawn(1, 2**32 - 1), 1),
        (helpers.pack_spawn(1, UIDS.start, [0]), 1),
        (RIGHT, 0),
        (RIGHT, 2),
    ],
)
def test_a_request_for_what_it_does_not_do(data: bytes, descriptors: int) -> None:
    said, answers = said_of(data, descriptors)
    assert said.startswith("spawner: a request for user id ")
    assert f"with {descriptors} descriptors" in said
    assert answers == 0


def test_it_keeps_no_descriptor_of_what_it_refuses() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    said_of(RIGHT, 2)
    assert set(Path("/proc/self/fd").iterdir()) == before
