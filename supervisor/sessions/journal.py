"""What the next instance has to know of this one's sessions, on disk: so that it takes them over, or ends them.

A record for each worker: its process id and start time (in clock ticks since boot, from proc(5)'s stat), which together
name a process for good.  Beside these, for each session that can be taken over, a file of what is kept of it
(dossier.py), and the socket at which its worker waits for another supervisor.
"""

import asyncio
import os
import select
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ...policy.limits import GOODBYE_DEADLINE, MAX_DOSSIER
from ..files import TEMPORARY, read_small_file, replace_file
from ..record_file import RecordFile
from ..waiting import until_done

SESSIONS = "sessions"  # in the runtime directory
_DOSSIER, _SOCKET = ".session", ".sock"


class WorkerRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A worker that an instance has started; without one (pid 0) it only says that what is kept is out of date."""

    pid: int
    started: int  # clock ticks since boot
    uid: int
    session: str = ""
    outdated: bool = False  # what is kept of its session, and could neither be replaced nor removed


class Leftover(msgspec.Struct):
    """A worker that an earlier instance has left, and what that kept of its session; None for what there is not."""

    place: int | None
    record: WorkerRecord | None
    session: str
    dossier: bytes | None


class SessionJournal:
    """What this instance's sessions leave, in a directory that only this service may enter."""

    def __init__(self, directory: Path) -> None:
        """Take the space for the records; raises OSError."""
        self._directory = directory
        self._records = RecordFile(directory / "records")
        self._noted: dict[str, tuple[int, WorkerRecord]] = {}  # places and records, by the session's name
        self._left: set[str] = set()  # sessions with files that are to be removed, and could not be
        self._removing: asyncio.Task[None] | None = None

    def add(self, session: str, pid: int, uid: int) -> None:
        """Note a worker, which may not have become user `uid` yet.  Raises OSError, also if it has ended."""
        _, before = self._noted.get(session, (0, None))
        outdated = before is not None and before.outdated
        self._note(WorkerRecord(pid, identity(pid)[0], uid, session, outdated))

    def remove(self, session: str) -> None:
        """Forget a worker that has ended, if it was noted, and its socket.  Raises OSError."""
        try:
            self._file(session, _SOCKET).unlink(missing_ok=True)
        except OSError:
            self._try_again(session)
        if session in self._noted:
            self._set_outdated(session, WorkerRecord(0, 0, 0, session), self._noted[session][1].outdated)

    @staticmethod
    def keeps_any(directory: Path) -> bool:
        """Whether an instance with this directory has left sessions that may go on."""
        return any(directory.glob(f"*{_DOSSIER}"))

    def keep(self, session: str, dossier: bytes) -> None:
        """Keep this of a session, in place of what was kept before; nothing of it if that fails.  Raises OSError.

        What is out of date would give access to whom it was taken from.
        """
        try:
            replace_file(self._file(session, _DOSSIER), dossier)
        except OSError:
            self.forget(session)
            raise
        if session in self._noted and self._noted[session][1].outdated:
            self._set_outdated(session, self._noted[session][1], False)

    def forget(self, session: str) -> None:
        """Keep nothing of a session any more: it cannot be taken over.

        Where files can neither be made nor removed, as in a file system that has become read-only, its record says so:
        that one is open.  Its files are removed later.
        """
        try:
            self._file(session, _DOSSIER).unlink(missing_ok=True)
        except OSError:
            _, record = self._noted.get(session, (0, WorkerRecord(0, 0, 0, session)))
            with suppress(OSError):
                self._set_outdated(session, record, True)
            self._try_again(session)

    def _set_outdated(self, session: str, record: WorkerRecord, outdated: bool) -> None:
        """Note whether what is kept is out of date; nothing is noted of no worker with nothing to say."""
        if record.pid or outdated:
            self._note(replace(record, outdated=outdated))
        elif session in self._noted:
            self._records.remove(self._noted.pop(session)[0])

    def _note(self, record: WorkerRecord) -> None:
        content = msgspec.json.encode(record)
        if record.session in self._noted:
            place = self._noted[record.session][0]
            self._records.rewrite(place, content)
        else:
            place = self._records.add(content)
        self._noted[record.session] = place, record

    def _try_again(self, session: str) -> None:
        self._left.add(session)
        if self._removing is None or self._removing.done():
            self._removing = asyncio.get_running_loop().create_task(until_done(self._remove_left))

    async def _remove_left(self) -> bool:
        """Remove what could not be removed before; whether that is all."""
        for session in list(self._left):
            _, record = self._noted.get(session, (0, None))
            try:
                if record is None or not record.pid:
                    self._file(session, _SOCKET).unlink(missing_ok=True)
                if record is not None and record.outdated:
                    self._file(session, _DOSSIER).unlink(missing_ok=True)
                    self._set_outdated(session, record, False)
            except OSError:
                continue
            self._left.discard(session)
        return not self._left

    def place_to_wait(self, session: str) -> socket.socket:
        """A socket for the session's worker, where the next instance finds it.  Raises OSError."""
        file = self._file(session, _SOCKET)
        file.unlink(missing_ok=True)
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with _short(file) as path:
                made.bind(path)
        except OSError:
            made.close()
            raise
        return made

    def connect(self, session: str) -> socket.socket:
        """Connect to where a session's worker waits.  Raises OSError."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        made.setblocking(False)
        try:
            with _short(self._file(session, _SOCKET)) as path:
                made.connect(path)
        except OSError:
            made.close()
            raise
        return made

    def leftovers(self) -> list[Leftover]:
        """All that earlier instances have left; what makes no sense is removed.  Raises OSError."""
        found: dict[str, Leftover] = {}
        for place, content in self._records.read().items():
            try:
                record = msgspec.json.decode(content or b"", type=WorkerRecord)
            except msgspec.DecodeError:
                self._records.remove(place)  # cut off by a crash: it was not yet complete when the worker began
            else:
                found[record.session or f" {place}"] = Leftover(place, record, record.session, None)
        for file in self._directory.iterdir():
            if file.name.endswith(TEMPORARY):
                file.unlink()
            elif file.suffix == _DOSSIER:
                left = found.setdefault(file.stem, Leftover(None, None, file.stem, None))
                with suppress(OSError, ValueError):
                    left.dossier = read_small_file(file, MAX_DOSSIER)
            elif file.suffix == _SOCKET and file.stem not in found:
                file.unlink()
        for left in found.values():
            if left.record is not None and left.record.outdated:
                left.dossier = None
        return list(found.values())

    def take_over(self, left: Leftover) -> None:
        """The session is this instance's now."""
        assert left.place is not None and left.record is not None
        self._noted[left.session] = left.place, left.record

    def end(self, left: Leftover, *, keep: bool = False) -> bool:
        """Kill the worker, and forget all about it, with `keep` not what is kept of its session; whether there was one.

        Killing a worker ends its engine too: it is the first process of their pid namespace.  From any thread.  Raises
        OSError if it does not end, or its files cannot be removed: its record stays, for the next instance.
        """
        ended = left.record is not None and _end(left.record)
        if left.session:
            if not keep:
                self._file(left.session, _DOSSIER).unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                self._file(left.session, _SOCKET).unlink()
        if left.place is not None:
            self._records.remove(left.place)
        return ended

    def _file(self, session: str, suffix: str) -> Path:
        return self._directory / f"{session}{suffix}"


@contextmanager
def _short(file: Path) -> Iterator[str]:
    """A path of a file that is short enough for the address of a socket (unix(7): 107 bytes)."""
    directory = os.open(file.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{file.name}"
    finally:
        os.close(directory)


def proven(record: WorkerRecord) -> int | None:
    """A pidfd of the process of a record; None if that is gone, and another may have its number.  Raises OSError."""
    if not record.pid:
        return None
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return None
    try:
        if identity(record.pid) == (record.started, record.uid):
            return pidfd
    except (ProcessLookupError, FileNotFoundError):
        pass
    except BaseException:
        os.close(pidfd)
        raise
    os.close(pidfd)
    return None


def _end(record: WorkerRecord) -> bool:
    pidfd = proven(record)
    if pidfd is None:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        ends = select.poll()  # which takes any descriptor, unlike select
        ends.register(pidfd, select.POLLIN)
        if not ends.poll(GOODBYE_DEADLINE * 1000):
            raise OSError(f"worker {record.pid} of an earlier instance cannot be ended")
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def identity(pid: int) -> tuple[int, int]:
    """Start time and user id of a process.  Raises FileNotFoundError."""
    directory = Path("/proc") / str(pid)
    # The second field is the program's name in parentheses, and may contain anything.
    fields = (directory / "stat").read_text().rpartition(")")[2].split()
    return int(fields[19]), directory.stat().st_uid
