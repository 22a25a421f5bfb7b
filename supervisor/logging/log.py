"""The service's log: lines with group, category and origin, for the destinations in destinations.py.

    log = open_log(3, "stdout:", colour=True)   # while privileged, since it opens the file
    …                                           # lines logged here are queued
    log.start()                                 # after dropping privileges: a thread keeps those it starts with
    log.warn("no route", group=LogGroup.NETCFG, session="s1")
    log.close()                                 # takes FLUSH_DEADLINE at most

Logging never blocks: each destination has a bounded queue and a thread of its own, and lines for which there is no
room are dropped and counted.
"""

import os
import time
from collections.abc import Iterable
from typing import Protocol

import msgspec

from ...policy.dbus_numbers import CATEGORY_NAMES, DEFAULT_LOG_LEVEL, GROUP_NAMES, LogCategory, LogGroup, shown
from ...policy.limits import FLUSH_DEADLINE, LOG_LINES_A_SECOND, MAX_LOG_LINE
from .credit import UserCredit

# The service of OpenVPN 3 Linux that a group stands for; the other groups are the session manager's.
_SERVICES = {
    LogGroup.CONFIGMGR: "configuration",
    LogGroup.BACKENDSTART: "backends",
    LogGroup.LOGGER: "log",
    LogGroup.BACKENDPROC: "backends",
    LogGroup.CLIENT: "backends",
    LogGroup.NETCFG: "netcfg",
}


class Origin(msgspec.Struct, frozen=True):
    """The sender of a line on the bus, which `openvpn3-admin journal` filters by."""

    sender: str  # unique bus name, "" before there is one
    pid: int
    interface: str
    path: str
    tag: str = ""  # number of a service that logs through this one (services/log_service.py)
    token: str = ""  # what the process behind a session calls it


class Style(msgspec.Struct):
    """How lines look in files and syslog; may be changed at any time."""

    time_stamps: bool = True  # in files; the others keep the time by themselves
    tags: bool = True  # lines of other services begin with the services' tags
    origins: bool = False  # each line ends with its origin


class Record(msgspec.Struct, frozen=True):
    """One line of the log, not yet formatted."""

    time: float  # seconds since the epoch
    group: LogGroup
    category: LogCategory
    text: str  # as it came, at most MAX_LOG_LINE characters
    session: str  # the session it is about, or ""
    origin: Origin
    style: Style
    user: int | None = None  # whose calls and sessions cause it
    stands_for: int = 1  # lines lost when this one is: a notice of dropped lines speaks for all of them


class Destination(Protocol):
    """A destination of lines; no method but flush() may wait."""

    method: str  # its kind, as the log service's property log_method names it

    def put(self, record: Record) -> None: ...
    def start(self) -> None: ...
    def flush(self, deadline: float) -> bool: ...
    def close(self, deadline: float) -> None: ...


def escape_control_characters(text: str) -> str:
    """`text` with control characters escaped, so that it cannot forge a line; line breaks are kept as "\\n"."""
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    return "\n".join(
        "".join(c if c.isprintable() else repr(c)[1:-1] for c in line.replace("\t", " ")) for line in lines
    )


def prefixed(record: Record) -> str:
    """The line as the original writes it: "Session Manager INFO: text", sanitised."""
    session = f"{{{escape_control_characters(record.session)}}} " if record.session else ""
    text = escape_control_characters(record.text).replace("\n", "\n    ")
    line = f"{tag_of(record)}{session}{GROUP_NAMES[record.group]} {CATEGORY_NAMES[record.category]}: {text}"
    if record.style.origins:
        origin = record.origin
        line += f" [sender={origin.sender}, pid={origin.pid}, interface={origin.interface}, path={origin.path}]"
    return line


def tag_of(record: Record) -> str:
    """What a line of another service begins with: "{tag:42} "."""
    return f"{{tag:{record.origin.tag}}} " if record.origin.tag and record.style.tags else ""


class Log:
    """The log of this process; use it from any thread."""

    def __init__(self, level: int = DEFAULT_LOG_LEVEL, destinations: Iterable[Destination] = ()) -> None:
        self.level = level  # 0 to 6, may be changed at any time
        self.style = Style()
        self.bus_name = ""  # this process's unique name on the bus
        self.credit = UserCredit(self._left_out)
        self._destinations = tuple(destinations)

    @property
    def method(self) -> str:
        """The kind of its first destination: "journald", "syslog", "logfile", "stdout:", or "" for none."""
        return self._destinations[0].method if self._destinations else ""

    def write(
        self,
        group: LogGroup,
        category: LogCategory,
        text: str,
        session: str = "",
        origin: Origin | None = None,
        user: int | None = None,
    ) -> None:
        """Log `text` (cut at MAX_LOG_LINE characters) if the level shows its category; never blocks.

        `session` is the last element of a session's path; `origin` is given for lines of other services only.  A line
        that a user's call or session causes has the id of that `user`, whose lines are bounded (credit.py).
        """
        if not shown(category, self.level) or (user is not None and not self.credit.spend(user, self.level)):
            return
        if len(text) > MAX_LOG_LINE:
            text = text[: MAX_LOG_LINE - 1] + "…"
        origin = origin or self._own(group, session)
        record = Record(time.time(), group, category, text, session, origin, self.style, user)
        for destination in self._destinations:
            destination.put(record)

    def _left_out(self, user: int, count: int) -> None:
        text = f"{count} log lines of user {user} were left out: more than {LOG_LINES_A_SECOND} a second"
        self.warn(text, group=LogGroup.LOGGER)

    def _own(self, group: LogGroup, session: str) -> Origin:
        service = _SERVICES.get(group, "sessions")
        path = f"/net/openvpn/v3/sessions/{session}" if session else f"/net/openvpn/v3/{service}"
        # In the original the token is a number like that in the path, with other separators.
        token = session.replace("s", "t")
        return Origin(self.bus_name, os.getpid(), f"net.openvpn.v3.{service}", path, token=token)

    def debug(
        self, text: str, *, group: LogGroup = LogGroup.SESSIONMGR, session: str = "", user: int | None = None
    ) -> None:
        """Log for developers."""
        self.write(group, LogCategory.DEBUG, text, session, user=user)

    def verb1(
        self, text: str, *, group: LogGroup = LogGroup.SESSIONMGR, session: str = "", user: int | None = None
    ) -> None:
        """Log more detail."""
        self.write(group, LogCategory.VERB1, text, session, user=user)

    def info(
        self, text: str, *, group: LogGroup = LogGroup.SESSIONMGR, session: str = "", user: int | None = None
    ) -> None:
        """Log an expected event."""
        self.write(group, LogCategory.INFO, text, session, user=user)

    def warn(
        self, text: str, *, group: LogGroup = LogGroup.SESSIONMGR, session: str = "", user: int | None = None
    ) -> None:
        """Log what may need attention."""
        self.write(group, LogCategory.WARN, text, session, user=user)

    def error(
        self, text: str, *, group: LogGroup = LogGroup.SESSIONMGR, session: str = "", user: int | None = None
    ) -> None:
        """Log what must be fixed for normal operation."""
        self.write(group, LogCategory.ERROR, text, session, user=user)

    def crit(self, text: str, *, group: LogGroup = LogGroup.SESSIONMGR, session: str = "") -> None:
        """Log what needs attention now."""
        self.write(group, LogCategory.CRIT, text, session)

    def fatal(self, text: str, *, group: LogGroup = LogGroup.SESSIONMGR, session: str = "") -> None:
        """Log why the process is about to end; the caller ends it."""
        self.write(group, LogCategory.FATAL, text, session)

    def start(self) -> None:
        """Start the destinations' threads.

        A thread keeps the capabilities that it was started with, so this comes after privileges are dropped;
        lines said earlier have waited in the queues.
        """
        for destination in self._destinations:
            destination.start()

    def flush(self, timeout: float = FLUSH_DEADLINE) -> bool:
        """Wait up to `timeout` seconds until no line waits to be written; whether that is so."""
        deadline = time.monotonic() + timeout
        return all(destination.flush(deadline) for destination in self._destinations)

    def close(self, timeout: float = FLUSH_DEADLINE) -> bool:
        """Write what is left, and end; what is not written in `timeout` seconds is lost.

        Returns whether all was written.
        """
        deadline = time.monotonic() + timeout
        self.credit.tell()
        self.start()
        flushed = self.flush(timeout)
        for destination in self._destinations:
            destination.close(deadline)
        return flushed
