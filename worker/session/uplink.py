"""The way from a worker up to the supervisor: reports, and log lines within their credit."""

import time
from collections.abc import Callable, Sequence

from ...ipc import messages
from ...ipc.channel import Channel, ChannelClosed
from ...ipc.codec import encode
from ...policy.dbus_numbers import LogCategory, shown
from ...policy.limits import LOG_CREDIT, MAX_ENGINE_REPORTS, MAX_LOG_LINE
from ...policy.reports import About, as_notices
from .standing import Standing

_DEFAULT_LOG_LEVEL = 6


class Uplink:
    """The worker's end of the channel, for what it sends."""

    def __init__(self, channel: Channel, too_many: Callable[[], None]) -> None:
        """`too_many` is called in place of a report beyond MAX_ENGINE_REPORTS in a second."""
        self._channel: Channel | None = channel
        self.standing = Standing()
        self.looking_up: dict[str, None] = {}  # names that the supervisor was asked for, and has not told
        self._too_many = too_many
        self.request_number = 0  # of the latest numbered request: reports of the engine's course repeat it
        self.log_level = _DEFAULT_LOG_LEVEL  # lines above it are not sent
        self._credit = LOG_CREDIT
        self._dropped = 0  # log lines, since the last that was sent
        self._notices: dict[About, tuple[str, ...]] = {}  # told last
        self._second = 0.0  # time.monotonic() when the second began that reports are counted in
        self._reports = 0  # since then

    def begin_request(self, number: int) -> None:
        """The supervisor's request of this number arrived: what comes of it counts for itself."""
        self.request_number = number
        self._second = 0.0

    def tell(self, message: messages.ToSupervisor) -> None:
        """Send a message; waits while the supervisor is busy with an earlier one."""
        if isinstance(message, messages.NUMBERED_REPORTS) and self._is_one_too_many():
            self._too_many()
            return
        if isinstance(message, messages.Resolve):
            self.looking_up[message.host] = None
        self.standing.told(message)
        self._send(message)

    def _send(self, message: messages.ToSupervisor) -> None:
        if self._channel is not None:
            try:
                self._channel.send(encode(message))
            except (ChannelClosed, TimeoutError):
                pass  # the loop reads the same, and waits for another supervisor

    @property
    def alone(self) -> bool:
        """Whether there is no supervisor."""
        return self._channel is None

    def disconnected(self) -> None:
        """The supervisor is gone."""
        self._channel = None

    def taken_over(self, channel: Channel, phase: str, profile: int) -> None:
        """Tell another supervisor what holds; `profile` is a descriptor of it, if it was to be kept, or -1.

        Raises ChannelClosed, or TimeoutError if it does not read.
        """
        self._credit = LOG_CREDIT
        if profile >= 0:
            channel.send(encode(messages.KeptProfile()), [profile])
        for message in self.standing.all():
            channel.send(encode(message))
        channel.send(encode(messages.WorkerSnapshot(phase, self.request_number)))
        for name in self.looking_up:
            channel.send(encode(messages.Resolve(name)))
        self._channel = channel

    def _is_one_too_many(self) -> bool:
        now = time.monotonic()
        if now - self._second >= 1:
            self._second, self._reports = now, 0
        self._reports += 1
        return self._reports > MAX_ENGINE_REPORTS

    def log(self, category: LogCategory, text: str) -> None:
        """Log a line if the level shows it and the supervisor's credit allows; else count it."""
        if not shown(category, self.log_level):
            return
        if self._channel is None:
            self._dropped += 1
            return
        if self._credit <= (1 if self._dropped else 0):
            self._dropped += 1
            return
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            self._credit -= 1
            self.tell(messages.LogLine(LogCategory.WARN, f"{dropped} log lines were dropped here"))
        self._credit -= 1
        self.tell(messages.LogLine(category, text[:MAX_LOG_LINE]))

    def warn(self, about: About, texts: Sequence[str]) -> None:
        """Log what was left out or changed, and have who uses the session see it in place of earlier `texts`."""
        for text in texts:
            self.log(LogCategory.WARN, text)
        notices = as_notices(texts)
        if notices != self._notices.get(about, ()):
            self._notices[about] = notices
            self.tell(messages.Notices(about, notices))

    def add_credit(self, lines: int) -> None:
        """The supervisor permits so many more log lines."""
        self._credit = min(self._credit + lines, LOG_CREDIT)
