"""What an engine prints last explains its end."""

import os
import signal
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ...worker.session.engine import Engine


@contextmanager
def engine(printed: bytes, *, ends: bool = True) -> Iterator[Engine]:
    """A process in the engine's place that prints this, and has ended, or waits."""
    made = Engine.__new__(Engine)
    made.output, theirs = os.pipe()
    os.set_blocking(made.output, False)
    made.last_output = deque(maxlen=3)
    made.pid = os.fork()
    if made.pid == 0:
        try:
            os.write(theirs, printed)
            if not ends:
                signal.pause()
        finally:
            os._exit(1)
    os.close(theirs)
    made.pidfd = os.pidfd_open(made.pid)
    if ends:
        os.waitid(os.P_PID, made.pid, os.WEXITED | os.WNOWAIT)
    try:
        yield made
    finally:
        os.close(made.output)
        if made.pidfd >= 0:
            made.signal(signal.SIGKILL)
            os.waitpid(made.pid, 0)
            os.close(made.pidfd)


def test_its_last_lines_are_kept_when_it_has_ended() -> None:
    with engine(b"one\n\n two\r\nthree \xff\n  \nfour") as ended:
        pidfd = ended.pidfd
        how = ended.reap()
        assert how is not None and how.startswith("exited with 1")
        assert list(ended.last_output) == [" two", "three \ufffd", "four"]
        ended.signal(signal.SIGTERM)  # to nobody
        assert ended.pidfd == -1
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(pidfd)


def test_what_was_read_before_is_kept_too() -> None:
    with engine(b"one\ntwo\n") as ended:
        assert ended.read_output() == (["one", "two"], True)
        assert ended.read_output() == ([], True)
        ended.reap()
        assert list(ended.last_output) == ["one", "two"]


def test_one_that_runs_is_not_reaped() -> None:
    with engine(b"one\n", ends=False) as runs:
        assert runs.reap() is None
        lines: list[str] = []
        while not lines:
            lines, at_end = runs.read_output()
            assert not at_end
        assert lines == ["one"] and runs.read_output() == ([], False)
        runs.signal(signal.SIGTERM)
        os.waitid(os.P_PID, runs.pid, os.WEXITED | os.WNOWAIT)
        assert runs.reap() == "was killed by SIGTERM"
