"""What the spawner reads: one fixed request, and nothing else makes a process."""

import fcntl
import os
import resource
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from ...ipc import helpers, inherited
from ...ipc.channel import Channel, channel_pair
from ...policy.sandbox.layers import Layer
from ...worker.helpers import spawner
from ...worker.helpers.keeper import Keeper
from ...worker.sandbox.confine import Confinement
from ..support.skipping import cannot_run_here

UIDS = range(60707, 60710)
RIGHT = helpers.pack_spawn(1, UIDS.start)


class Impatient(Keeper):
    """A keeper whose spawner ends when there is nothing to receive."""

    def wait_for(self, requests: Channel) -> None: ...


def serve_in_child(requests: Channel, confinement: Confinement, prepare: Callable[[], None] = lambda: None) -> str:
    """What a spawner without providers prints until there is nothing more to read, and it goes on or ends in order."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            sys.stderr = os.fdopen(write_end, "w", buffering=1)
            os.set_blocking(requests.fileno(), False)
            prepare()
            spawner._serve(requests, Impatient(os.getppid()), UIDS, confinement, ())
            status = 0
        except BlockingIOError:  # it waits for the next one
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(write_end)
    with os.fdopen(read_end) as stderr:
        said = stderr.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, said
    return said


def said_of(data: bytes, descriptors: int) -> tuple[str, int]:
    """What it says of one packet, and how many packets it answers with."""
    ours, theirs = channel_pair()
    null = os.open("/dev/null", os.O_RDONLY)
    ours.send(data, [null] * descriptors)
    os.close(null)
    said = serve_in_child(theirs, Confinement())
    theirs.close()
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
        (RIGHT, 3),
    ],
)
def test_a_request_for_what_it_does_not_do(data: bytes, descriptors: int) -> None:
    said, answers = said_of(data, descriptors)
    assert said.startswith("spawner: a request for user id ")
    assert f"with {descriptors} descriptors" in said
    assert answers == 0


def test_it_keeps_no_descriptor_of_what_it_refuses() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    said_of(RIGHT, 3)
    assert set(Path("/proc/self/fd").iterdir()) == before


def no_group() -> None:
    """There is a file where the spawner expects the directory of its cgroup."""
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, inherited.CGROUP_FD)


def no_fork() -> None:
    """The user that the spawner is may have no more processes (RLIMIT_NPROC, setrlimit(2))."""
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    os.setresuid(UIDS.start, UIDS.start, UIDS.start)


@pytest.mark.parametrize(
    ("prepare", "layers"),
    [(no_group, frozenset()), (no_group, frozenset({Layer.CGROUP})), (no_fork, frozenset())],
    ids=["the worker is there", "it has no group", "it cannot be forked"],
)
def test_a_supervisor_that_has_left_meanwhile_gets_no_answer(
    prepare: Callable[[], None], layers: frozenset[Layer]
) -> None:
    if os.geteuid() != 0:
        cannot_run_here("it takes root to become the user of a session")
    requests, theirs = (move_up(channel) for channel in channel_pair())
    worker, worker_end = channel_pair()
    requests.send(RIGHT, [worker_end.fileno()])
    for channel in (requests, worker, worker_end):
        channel.close()
    with tempfile.TemporaryDirectory(prefix="sessions-") as base:
        Path(base).chmod(0o777)
        assert serve_in_child(theirs, Confinement(layers, base=base), prepare) == ""
    theirs.close()


def move_up(channel: Channel) -> Channel:
    """The same with a descriptor number that helpers do not use for something else."""
    moved = fcntl.fcntl(channel.fileno(), fcntl.F_DUPFD_CLOEXEC, 100)
    channel.close()
    return Channel(socket.socket(fileno=moved))
