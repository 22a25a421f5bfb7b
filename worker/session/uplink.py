"""The way from a worker up to the supervisor: reports, and log lines within their credit."""

from ...ipc import messages
from ...ipc.channel import Channel, ChannelClosed
from ...ipc.codec import encode
from ...policy.dbus_numbers import LogCategory, shown
from ...policy.limits import LOG_CREDIT, MAX_LOG_LINE

_DEFAULT_LOG_LEVEL = 6


class Uplink:
    """The worker's end of the channel, for what it sends."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.request_number = 0  # of the latest numbered request: reports of the engine's course repeat it
        self.log_level = _DEFAULT_LOG_LEVEL  # lines above it are not sent
        self._credit = LOG_CREDIT
        self._dropped = 0  # log lines, since the last that was sent

    def tell(self, message: messages.ToSupervisor) -> None:
        """Send a message; waits while the supervisor is busy with an earlier one."""
        try:
            self._channel.send(encode(message))
        except ChannelClosed:
            pass  # the loop reads the same, and stops

    def log(self, category: LogCategory, text: str) -> None:
        """Log a line if the level shows it and the supervisor's credit allows; else count it."""
        if not shown(category, self.log_level):
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

    def add_credit(self, lines: int) -> None:
        """The supervisor permits so many more log lines."""
        self._credit = min(self._credit + lines, LOG_CREDIT)
