"""Destinations of the log: journald, syslog, files, standard output.

Each has a queue bounded in lines and characters, and a daemon thread that alone does the writing: a thread
because a regular file on a hung disk blocks whatever its flags.  When a destination takes no data the queue
fills, further lines are dropped and counted, and the count is written in their place when it recovers.
"""

import errno
import os
import select
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from itertools import accumulate
from pathlib import Path

from ...policy.dbus_numbers import CATEGORY_NAMES, DEFAULT_LOG_LEVEL, GROUP_NAMES, LogCategory, LogGroup
from ...policy.exit_status import ExitStatus
from ...policy.limits import MAX_QUEUED_CHARACTERS, MAX_QUEUED_LINES
from ..errors import StartError
from .log import Destination, Log, Origin, Record, Style, escape_control_characters, prefixed, tag_of

JOURNALD_SOCKET = Path("/run/systemd/journal/socket")
SYSLOG_SOCKET = Path("/dev/log")
IDENTIFIER = "openvpn3-sessionmgr"
LOG_FILE_MODE = 0o640

_SYSLOG_FACILITY = 3 << 3  # LOG_DAEMON
_SYSLOG_PRIORITY = {
    LogCategory.WARN: 4,
    LogCategory.ERROR: 3,
    LogCategory.CRIT: 2,
    LogCategory.FATAL: 1,
    LogCategory.INFO: 6,
}
_DEBUG_PRIORITY = 7
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_COLOURS = {
    LogCategory.DEBUG: "\033[90m",  # grey
    LogCategory.VERB2: "\033[36m",  # cyan
    LogCategory.VERB1: "\033[96m",  # light cyan
    LogCategory.INFO: "\033[97m",  # white
    LogCategory.WARN: "\033[93m",  # yellow
    LogCategory.ERROR: "\033[91m",  # red
    LogCategory.CRIT: "\033[1;91m",  # bold red
    LogCategory.FATAL: "\033[1;97;41m",  # white on red
}
_COLOUR_END = "\033[0m"


def _priority(category: LogCategory) -> int:
    return _SYSLOG_PRIORITY.get(category, _DEBUG_PRIORITY)


def _dropped(lines: int) -> Record:
    text = f"{lines} line{'' if lines == 1 else 's'} dropped: the log took no data"
    origin = Origin("", os.getpid(), "net.openvpn.v3.log", "/net/openvpn/v3/log")
    return Record(time.time(), LogGroup.LOGGER, LogCategory.WARN, text, "", origin, Style(), stands_for=lines)


class _Queued(ABC):
    """A destination behind a queue; `_emit` of its subclasses is called in its thread."""

    method: str

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._queue: list[Record] = []
        self._characters = 0
        self._of_user: dict[int, tuple[int, int]] = {}  # lines and characters of them, by the user who causes them
        self._overflow = 0  # lines dropped since the queue was last taken
        self._writing = False
        self._closing = False
        self._thread: threading.Thread | None = None

    @abstractmethod
    def _emit(self, records: list[Record]) -> int:
        """Write `records`; how many of them, from the first, are safely out."""

    @abstractmethod
    def _release(self) -> None:
        """Close what the destination holds."""

    def put(self, record: Record) -> None:
        """Queue a line, or count it as dropped."""
        with self._changed:
            if self._closing or not self._has_room(record):
                self._overflow += record.stands_for
                return
            self._queue.append(record)
            self._characters += len(record.text)
            if record.user is not None:
                lines, characters = self._of_user.get(record.user, (0, 0))
                self._of_user[record.user] = lines + 1, characters + len(record.text)
            if len(self._queue) == 1:
                self._changed.notify_all()

    def _has_room(self, record: Record) -> bool:
        """Whether there is room for a line; of a user only as much as is left free, so that others find some."""
        free_lines = MAX_QUEUED_LINES - len(self._queue)
        free_characters = MAX_QUEUED_CHARACTERS - self._characters - len(record.text)
        lines, characters = self._of_user.get(record.user, (0, 0)) if record.user is not None else (0, 0)
        return lines < free_lines and characters <= free_characters

    def start(self) -> None:
        """Start writing; does nothing when started before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)
            self._thread.start()

    def flush(self, deadline: float) -> bool:
        """Wait until the queue is empty or time.monotonic() passes `deadline`; whether it is empty."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._queue and not self._writing, max(0.0, deadline - time.monotonic())
            )

    def close(self, deadline: float) -> None:
        """End the thread once it has written what is queued; leaves it behind at `deadline`."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        lost = 0  # lines that the last attempts could not write
        while batch := self._next_batch():
            records, overflow = batch
            # Lines are dropped when the queue is full, and it is always taken whole: the ones in
            # `lost` came before these records, the ones in `overflow` after them.
            if lost:
                records.insert(0, _dropped(lost))
            if overflow:
                records.append(_dropped(overflow))
            lost = sum(record.stands_for for record in records[self._emit(records) :])
        self._release()

    def _next_batch(self) -> tuple[list[Record], int] | None:
        with self._changed:
            self._writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._queue or self._closing)
            if not self._queue:
                return None
            batch = self._queue, self._overflow
            self._queue, self._characters, self._overflow = [], 0, 0
            self._of_user.clear()
            self._writing = True
            return batch


class Stream(_Queued):
    """Lines with a time stamp to a file descriptor, which it takes over: a file, a pipe, a terminal."""

    def __init__(self, descriptor: int, colour: bool = False, method: str = "logfile") -> None:
        super().__init__()
        self.method = method
        self._descriptor = descriptor
        self._colour = colour
        self._torn = False  # the last line written is incomplete

    def _line(self, record: Record) -> bytes:
        text = prefixed(record)
        if self._colour:
            text = f"{_COLOURS.get(record.category, '')}{text}{_COLOUR_END}"
        return f"{_stamp(record)}{text}\n".encode()

    def _emit(self, records: list[Record]) -> int:
        lines = [self._line(record) for record in records]
        if self._torn:
            lines[0] = b"\n" + lines[0]
        written, complete = self._write(b"".join(lines))
        if complete:
            self._torn = False
            return len(lines)
        whole = [end for end in accumulate(map(len, lines)) if end <= written]
        if written:
            self._torn = written != (whole[-1] if whole else 0)
        return len(whole)

    def _write(self, data: bytes) -> tuple[int, bool]:
        written = 0
        while written < len(data):
            try:
                written += os.write(self._descriptor, memoryview(data)[written:])
            except BlockingIOError:  # inherited with O_NONBLOCK, which is not ours to change
                ready = select.poll()
                ready.register(self._descriptor, select.POLLOUT)
                ready.poll()
            except OSError:
                return written, False
        return written, True

    def _release(self) -> None:
        os.close(self._descriptor)


def _stamp(record: Record) -> str:
    if not record.style.time_stamps:
        return ""
    second, milliseconds = divmod(int(record.time * 1000), 1000)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(second))}.{milliseconds:03} "


class _Datagrams(_Queued):
    """Lines as datagrams to a Unix socket, whose owner may be restarted at any time."""

    def __init__(self, path: Path) -> None:
        """Connect; raises OSError if no process listens there."""
        super().__init__()
        self._path = path
        self._socket = self._connected()

    @abstractmethod
    def _datagram(self, record: Record) -> bytes:
        """One line as its receiver wants it."""

    def _connected(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        return connection

    def _send(self, datagram: bytes) -> None:
        try:
            self._socket.send(datagram)
        except OSError:
            fresh = self._connected()
            self._socket.close()
            self._socket = fresh
            self._socket.send(datagram)

    def _emit(self, records: list[Record]) -> int:
        for count, record in enumerate(records):
            try:
                self._send(self._datagram(record))
            except OSError:
                return count
        return len(records)

    def _release(self) -> None:
        self._socket.close()


class Journald(_Datagrams):
    """systemd's journal, by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

    MAX_LOG_LINE keeps every line within one datagram, so that the protocol's way for larger ones is not needed.
    The fields O3_* are those of the original, which `openvpn3-admin journal` reads.
    """

    method = "journald"

    def __init__(self, path: Path = JOURNALD_SOCKET) -> None:
        super().__init__(path)

    def _datagram(self, record: Record) -> bytes:
        fields = {
            "MESSAGE": tag_of(record) + escape_control_characters(record.text),
            "PRIORITY": str(_priority(record.category)),
            "SYSLOG_IDENTIFIER": IDENTIFIER,
            "O3_LOG_GROUP": GROUP_NAMES[record.group],
            "O3_LOG_CATEGORY": CATEGORY_NAMES[record.category],
            "O3_LOG_SENDER": "net.openvpn.v3.log",
            "O3_SENDER": record.origin.sender,
            "O3_SENDER_PID": str(record.origin.pid),
            "O3_INTERFACE": record.origin.interface,
            "O3_OBJECT_PATH": record.origin.path,
            "O3_LOGTAG": record.origin.tag,
            "O3_SESSION_TOKEN": escape_control_characters(record.origin.token),
        }
        return b"".join(_journal_field(name, value.encode()) for name, value in fields.items() if value)


def _journal_field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return b"%b\n%b%b\n" % (name.encode(), len(value).to_bytes(8, "little"), value)
    return b"%b=%b\n" % (name.encode(), value)


class Syslog(_Datagrams):
    """A syslog daemon, in the form of RFC 3164 that /dev/log takes."""

    method = "syslog"

    def __init__(self, path: Path = SYSLOG_SOCKET) -> None:
        super().__init__(path)

    def _datagram(self, record: Record) -> bytes:
        # Month names must be English whatever the locale, and the day is padded with a blank.
        moment = time.localtime(record.time)
        stamp = f"{_MONTHS[moment.tm_mon - 1]} {moment.tm_mday:2} {time.strftime('%H:%M:%S', moment)}"
        priority = _SYSLOG_FACILITY | _priority(record.category)
        return f"<{priority}>{stamp} {IDENTIFIER}[{os.getpid()}]: {prefixed(record)}".encode()


def default_destination(journald: Path = JOURNALD_SOCKET, syslog: Path = SYSLOG_SOCKET) -> Destination | None:
    """journald if it listens, else syslog, else None."""
    for kind, path in ((Journald, journald), (Syslog, syslog)):
        try:
            return kind(path)
        except OSError:
            continue
    return None


def open_file(name: str, colour: bool) -> Stream:
    """The destination that `--log-file NAME` means: a file to append to, or "stdout:".

    Raises StartError if it cannot be opened; a symbolic link is refused, since root follows it.
    """
    try:
        if name == "stdout:":
            return Stream(os.dup(1), colour, name)
        # A FIFO that nobody reads would hold up an open without O_NONBLOCK.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
        return Stream(os.open(name, flags, LOG_FILE_MODE), colour)
    except OSError as error:
        reason = "is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise StartError(f"cannot open the log file {name}: {reason}", ExitStatus.CANNOT_START) from error


def open_log(
    level: int = DEFAULT_LOG_LEVEL,
    log_file: str | None = None,
    colour: bool = False,
    journald: Path = JOURNALD_SOCKET,
    syslog: Path = SYSLOG_SOCKET,
) -> Log:
    """The log with its default destination and, in addition, `log_file`; prints to stderr if it has neither.

    Call it before privileges are dropped, and Log.start() after.  Raises StartError as open_file() does.
    """
    destinations: list[Destination] = [open_file(log_file, colour)] if log_file else []
    if default := default_destination(journald, syslog):
        destinations.append(default)
    if not destinations:
        print(f"{IDENTIFIER}: neither journald nor syslog is available: nothing is logged", file=sys.stderr)
    return Log(level, destinations)
