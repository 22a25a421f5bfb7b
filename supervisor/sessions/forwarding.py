"""Log forwards: the lines and statuses of a session, sent to each connection that called LogForward.

They go, each to its receiver alone, from the session's path with the interface that clients look for.  What a slow
bus does not take, or a receiver does not read, is dropped and counted; the count goes out about where lines are
missing.  A receiver that does not read for MAX_UNREAD tries is cut off, which the log of the service tells with the
count.  How much a session has to say in the first place is bounded by its worker's credit.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dbus_fast import Message, MessageType

from ...policy.access import Acl, Caller, is_guest
from ...policy.dbus_numbers import MAX_LOG_LEVEL, LogCategory, LogGroup, StatusMinor, shown
from ...policy.limits import MAX_FORWARDS_PER_USER, MAX_GUEST_FORWARDS, MAX_TRACKED_SIGNALS, MAX_UNREAD
from ..bus.connection import BusConnection
from ..bus.dispatch import Dispatcher
from ..bus.log_api import BUS_NAME, FORWARDED, PROXIES_PATH, PROXY
from ..bus.signals import Signals
from ..errors import CallerError
from ..logging.log import Log
from ..services.log_service import check_log_level

# What the original's session manager says by itself, and does not forward.
_MANAGERS_OWN = (StatusMinor.PROC_STARTED, StatusMinor.PROC_STOPPED, StatusMinor.PROC_KILLED)
_ANSWERED = 1.0  # seconds after which the bus would have rejected what it could not deliver
_BACK_OFF = 1.0  # seconds without lines for a receiver that does not read: each costs the bus a line of its own log


class Forward:
    """One receiver's forward: the object of the log service that stands for it."""

    def __init__(self, session_path: str, receiver: Caller, remove: Callable[[Caller], None], path: str = "") -> None:
        """`path` is the object's, if it has had one."""
        self.path = path or f"{PROXIES_PATH}/{str(uuid.uuid4()).replace('-', 'l')}"
        self.session_path = session_path
        self.receiver = receiver
        self.target = receiver.name
        self.acl = Acl(receiver.uid)
        self.log_level = MAX_LOG_LEVEL
        self.lost = 0  # lines that did not arrive since the last one that did
        self.silent_until = 0.0  # time.monotonic()
        self._unread = 0  # tries in vain since something arrived
        self._trying_since = 0.0  # something has been sent since, and not been rejected; 0 if it has
        self.on_change: Callable[[], None] = lambda: None
        self._remove = remove

    def set_log_level(self, caller: Caller, level: int) -> None:
        check_log_level(level)
        self.log_level = level
        self.on_change()

    def remove(self, caller: Caller) -> None:
        """Answers Remove, which anybody of the receiver's user may call."""
        self._remove(self.receiver)

    def sent(self) -> None:
        """A signal is on its way; that of a moment ago has arrived, if the bus has not told otherwise."""
        now = time.monotonic()
        if now < self.silent_until:
            return  # a status, which does not wait for the next try
        if not self._trying_since:
            self._trying_since = now
        elif now - self._trying_since > _ANSWERED:
            self._unread = 0

    def rejected(self, lines: int) -> None:
        """The bus could not deliver a signal that stood for so many lines."""
        self.lost += lines
        if self._trying_since:  # else it was sent together with the last one
            self._unread += 1
        self._trying_since = 0.0
        self.silent_until = time.monotonic() + _BACK_OFF

    @property
    def hopeless(self) -> bool:
        """Whether it has been tried in vain too often."""
        return self._unread >= MAX_UNREAD


class Forwarder:
    """Forwards on the bus, and what it says of those whose receivers do not read."""

    def __init__(self, connection: BusConnection, dispatcher: Dispatcher, signals: Signals, log: Log) -> None:
        self._log = log
        self._dispatcher = dispatcher
        self._signals = signals
        self._budget = connection.budget
        self._sent: dict[int, tuple[Forward, int]] = {}  # by serial number: for whom, and how many lines it stands for
        connection.add_message_handler(self._received)

    def export(self, forward: Forward) -> None:
        """Put the forward's object on the bus."""
        self._dispatcher.export(forward.path, PROXY, forward, bus_name=BUS_NAME)

    def withdraw(self, forward: Forward) -> None:
        """Take it off."""
        self._dispatcher.withdraw(forward.path)
        self._sent = {serial: sent for serial, sent in self._sent.items() if sent[0] is not forward}

    def send(self, forward: Forward, member: str, body: Sequence[Any], lines: int = 0) -> bool:
        """Send a signal that stands for so many lines of the log; whether it is on its way."""
        serial = self._signals.emit(forward.session_path, FORWARDED, member, body, to=forward.target, droppable=True)
        if serial:
            forward.sent()
            self._sent[serial] = (forward, lines)
            if len(self._sent) > MAX_TRACKED_SIGNALS:
                del self._sent[next(iter(self._sent))]
        elif self._budget.reads_nothing(forward.target):
            # As if the bus had rejected it, whose queues are larger than what we let anybody leave unread.
            forward.sent()
            forward.rejected(0)
        return bool(serial)

    def _received(self, message: Message) -> bool:
        # dbus-daemon answers a signal to a connection whose queue is full with an error, as if it were a call.
        if message.message_type is not MessageType.ERROR or message.reply_serial not in self._sent:
            return False
        rejected = message.reply_serial
        forward, lines = self._sent.pop(rejected)
        forward.rejected(lines)
        if forward.hopeless:
            # What went out after it will be rejected, too.
            forward.lost += sum(
                lines for serial, (of, lines) in self._sent.items() if of is forward and serial > rejected
            )
            self.cut_off(forward)
        return True

    def cut_off(self, forward: Forward) -> None:
        """End a forward whose receiver does not read; the log says how many lines it has lost."""
        forward.remove(forward.receiver)
        self._log.warn(
            f"The log is no longer forwarded to {forward.target} of user {forward.receiver.uid}, which does not read: "
            f"{forward.lost} lines were lost",
            session=forward.session_path.rpartition("/")[2],
            user=forward.receiver.uid,
        )


class Forwards:
    """The forwards of one session, by the receiver's unique name."""

    def __init__(self, session_path: str, acl: Acl, forwarder: Forwarder) -> None:
        self.restricted = True  # lines go to the owner only, statuses to all
        self._session_path = session_path
        self._acl = acl
        self._forwarder = forwarder
        self._forwards: dict[str, Forward] = {}
        self.on_change: Callable[[], None] = lambda: None

    def __contains__(self, name: str) -> bool:
        return name in self._forwards

    @property
    def paths(self) -> list[str]:
        """Object paths of the forwards in force."""
        return [forward.path for forward in self._forwards.values()]

    def add(self, receiver: Caller) -> None:
        """Forward to `receiver` from now on; no effect if that is done already.  Raises CallerError."""
        if receiver.name in self._forwards:
            return
        users = [forward.receiver.uid for forward in self._forwards.values()]
        if users.count(receiver.uid) >= MAX_FORWARDS_PER_USER:
            raise CallerError(
                f"The log of this session is forwarded to {MAX_FORWARDS_PER_USER} connections of yours already"
            )
        if is_guest(receiver.uid, self._acl):
            guests = sum(is_guest(uid, self._acl) for uid in users)
            if guests >= MAX_GUEST_FORWARDS:
                raise CallerError(
                    f"The log of this session is forwarded to {MAX_GUEST_FORWARDS} connections of users with whom it "
                    "is shared already"
                )
        self.go_on(receiver, MAX_LOG_LEVEL)

    def go_on(self, receiver: Caller, level: int, path: str = "") -> None:
        """Forward lines up to a level to `receiver`, by an object at `path` as before if one is given."""
        forward = self._forwards[receiver.name] = Forward(self._session_path, receiver, self.remove, path)
        forward.log_level = level
        forward.on_change = self.on_change
        self._forwarder.export(forward)

    @property
    def kept(self) -> Iterator[tuple[Caller, int, str]]:
        """The receiver, level and path of each."""
        return ((one.receiver, one.log_level, one.path) for one in self._forwards.values())

    def remove(self, receiver: Caller) -> None:
        """End the forward to `receiver`, if there is one."""
        self.drop(receiver.name)

    def drop(self, name: str) -> None:
        """End the forward to the connection of this unique name, if there is one."""
        forward = self._forwards.pop(name, None)
        if forward is not None:
            self._forwarder.withdraw(forward)
            self.on_change()

    def keep(self, wanted: Callable[[int], bool]) -> None:
        """End the forwards to users whose id is not `wanted`."""
        for forward in list(self._forwards.values()):
            if not wanted(forward.receiver.uid):
                self.drop(forward.target)

    def end(self) -> None:
        """End all."""
        self.keep(lambda uid: False)

    def status(self, status: tuple[int, int, str]) -> None:
        """Forward a status."""
        if status[1] not in _MANAGERS_OWN:
            for forward in list(self._forwards.values()):
                self._forwarder.send(forward, "StatusChange", status)
                self._cut_off_hopeless(forward)

    def line(self, group: LogGroup, category: LogCategory, text: str) -> None:
        """Forward a line of the log to those who may read it."""
        for forward in list(self._forwards.values()):
            if shown(category, forward.log_level) and self._may_read(forward.receiver):
                self._send_line(forward, group, category, text)

    def line_to(self, receiver: Caller, group: LogGroup, category: LogCategory, text: str) -> None:
        """Forward a line to `receiver` alone, if the log is forwarded to that."""
        forward = self._forwards.get(receiver.name)
        if forward is not None and self._may_read(receiver):
            self._send_line(forward, group, category, text)

    def _may_read(self, receiver: Caller) -> bool:
        return not self.restricted or receiver.uid == self._acl.owner

    def _send_line(self, forward: Forward, group: LogGroup, category: LogCategory, text: str) -> None:
        body = (group, category, text)
        awake = forward.silent_until <= time.monotonic()
        if not (awake and self._send_notice(forward) and self._forwarder.send(forward, "Log", body, lines=1)):
            forward.lost += 1
            self._cut_off_hopeless(forward)

    def _cut_off_hopeless(self, forward: Forward) -> None:
        if forward.hopeless:
            self._forwarder.cut_off(forward)

    def _send_notice(self, forward: Forward) -> bool:
        """Say how many lines are missing here, if any are; whether nothing remains to be said."""
        if forward.lost:
            notice = f"{forward.lost} log lines were lost here, faster than they were read"
            body = (LogGroup.LOGGER, LogCategory.WARN, notice)
            if not self._forwarder.send(forward, "Log", body, lines=forward.lost):
                return False
            forward.lost = 0
        return True
