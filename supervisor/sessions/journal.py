"""Which worker processes are ours, on disk, so that the next instance can end what a killed one left behind.

A record for each: its process id and start time (in clock ticks since boot, from proc(5)'s stat), which together name a
process for good.
"""

import os
import select
import signal
from pathlib import Path

import msgspec

from ...policy.limits import GOODBYE_DEADLINE
from ..record_file import RecordFile


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pid: int
    started: int  # clock ticks since boot
    uid: int


class SessionJournal:
    """The records of this instance's workers, in a directory that only this service may enter."""

    def __init__(self, directory: Path) -> None:
        """Take the space for the records; raises OSError."""
        self._records = RecordFile(directory / "records")
        self._places: dict[str, int] = {}  # by the session's name

    def add(self, session: str, pid: int, uid: int) -> None:
        """Note a worker, which may not have become user `uid` yet.  Raises OSError, also if it has ended."""
        record = _Record(pid, _identity(pid)[0], uid)
        self._places[session] = self._records.add(msgspec.json.encode(record))

    def remove(self, session: str) -> None:
        """Forget a worker that has ended, if it was noted.  Raises OSError."""
        place = self._places.pop(session, None)
        if place is not None:
            self._records.remove(place)

    def end_leftovers(self) -> list[int]:
        """Kill the workers that an earlier instance noted and left; their process ids.

        Killing a worker ends its engine too: it is the first process of their pid namespace.  Raises OSError if one
        does not end.
        """
        ended = []
        for place, content in self._records.read().items():
            try:
                record = msgspec.json.decode(content or b"", type=_Record)
                if _end(record):
                    ended.append(record.pid)
            except msgspec.DecodeError:
                pass  # cut off by a crash: it was not yet complete when the worker began
            self._records.remove(place)
        return ended


def _end(record: _Record) -> bool:
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return False
    try:
        if _identity(record.pid) != (record.started, record.uid):
            return False  # another process has the number now
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if not select.select([pidfd], [], [], GOODBYE_DEADLINE)[0]:
            raise OSError(f"worker {record.pid} of an earlier instance cannot be ended")
    except (ProcessLookupError, FileNotFoundError):
        return False
    finally:
        os.close(pidfd)
    return True


def _identity(pid: int) -> tuple[int, int]:
    """Start time and user id of a process.  Raises FileNotFoundError."""
    directory = Path("/proc") / str(pid)
    # The second field is the program's name in parentheses, and may contain anything.
    fields = (directory / "stat").read_text().rpartition(")")[2].split()
    return int(fields[19]), directory.stat().st_uid
