"""Workers on disk: what an instance leaves behind is ended by the next, and nothing else is."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from ...supervisor.record_file import RecordFile
from ...supervisor.sessions import journal
from ...supervisor.sessions.journal import SessionJournal
from ..support.skipping import cannot_run_here

SLEEP = ["sleep", "infinity"]
DEADLINE = 20.0  # seconds


@contextmanager
def process(*command: str) -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen(command) as started:
        try:
            yield started
        finally:
            started.kill()


def records(directory: Path) -> dict[int, bytes | None]:
    return RecordFile(directory / "records").read()


def end_leftovers(directory: Path) -> list[int]:
    """End all that earlier instances have left; the process ids of workers that were there."""
    later = SessionJournal(directory)
    return [left.record.pid for left in later.leftovers() if later.end(left) and left.record is not None]


def test_what_was_noted_is_ended_and_forgotten(tmp_path: Path) -> None:
    with process(*SLEEP) as left, process(*SLEEP) as over:
        before = SessionJournal(tmp_path)
        before.add("left", left.pid, os.getuid())
        before.add("over", over.pid, os.getuid())
        before.remove("over")
        before.remove("over")
        assert len(records(tmp_path)) == 1
        RecordFile(tmp_path / "records").add(b"{")
        assert end_leftovers(tmp_path) == [left.pid]
        assert left.wait(DEADLINE) == -signal.SIGKILL
        assert over.poll() is None
        assert records(tmp_path) == {}


@pytest.mark.parametrize("field", ["started", "uid"])
def test_another_process_that_has_the_number_now_is_left_alone(tmp_path: Path, field: str) -> None:
    with process(*SLEEP) as stranger:
        SessionJournal(tmp_path).add("s", stranger.pid, os.getuid())
        [(place, content)] = records(tmp_path).items()
        record = json.loads(content or b"")
        record[field] += 1
        file = RecordFile(tmp_path / "records")
        file.remove(place)
        file.add(json.dumps(record).encode())
        assert end_leftovers(tmp_path) == []
        assert stranger.poll() is None and records(tmp_path) == {}


def test_one_that_has_ended_already(tmp_path: Path) -> None:
    with process(*SLEEP) as gone:
        SessionJournal(tmp_path).add("s", gone.pid, os.getuid())
    assert end_leftovers(tmp_path) == [] and records(tmp_path) == {}
    with pytest.raises(FileNotFoundError):
        SessionJournal(tmp_path).add("s", gone.pid, os.getuid())


def test_one_that_does_not_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process of a pid namespace ends after all others there are reaped, one by its parent outside."""
    if os.geteuid() != 0:
        cannot_run_here("it takes root to make a pid namespace")
    monkeypatch.setattr(journal, "GOODBYE_DEADLINE", 0.05)
    with process("unshare", "--pid", "--fork", "--kill-child", *SLEEP) as outer:
        first = child_of(outer.pid)
        with process("nsenter", "--pid", "--target", str(first), *SLEEP) as parent:
            child_of(parent.pid)
            parent.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, parent.pid, os.WSTOPPED | os.WNOWAIT)
            try:
                SessionJournal(tmp_path).add("s", first, 0)
                with pytest.raises(OSError, match=f"^worker {first} of an earlier instance cannot be ended$"):
                    end_leftovers(tmp_path)
                assert len(records(tmp_path)) == 1  # it is tried again
            finally:
                parent.send_signal(signal.SIGCONT)
            monkeypatch.setattr(journal, "GOODBYE_DEADLINE", DEADLINE)
            end_leftovers(tmp_path)
            assert records(tmp_path) == {}


def test_what_is_kept_and_cannot_be_removed_is_tried_again(tmp_path: Path) -> None:
    """As they are ended when a service starts: in other threads."""
    with process(*SLEEP) as left:
        SessionJournal(tmp_path).add("s", left.pid, os.getuid())
        (tmp_path / "s.session").mkdir()  # which unlink(2) refuses
        with pytest.raises(OSError):
            asyncio.run(asyncio.to_thread(end_leftovers, tmp_path))
        assert left.wait(DEADLINE) == -signal.SIGKILL
        assert len(records(tmp_path)) == 1
        (tmp_path / "s.session").rmdir()
        assert end_leftovers(tmp_path) == [] and records(tmp_path) == {}


def child_of(pid: int) -> int:
    """The only child of a process, once it is there and sleeps."""
    while True:
        children = psutil.Process(pid).children()
        if children and children[0].name() == "sleep":
            return int(children[0].pid)
