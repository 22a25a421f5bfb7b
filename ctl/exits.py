"""The exit statuses of ovpnctl, and the error that carries one."""

from enum import IntEnum


class CommandExit(IntEnum):
    """The exit statuses; `MEANING` is their text in the help."""

    OK = 0
    OTHER = 1
    USAGE = 2
    REFUSED = 3
    CONNECTION_FAILED = 4
    AUTHENTICATION_FAILED = 5
    TIMED_OUT = 6
    UNREACHABLE = 7
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANING = {
    CommandExit.OK: "success; for session-start, the session is connected",
    CommandExit.OTHER: "not confirmed, output that cannot be written, or an unexpected error",
    CommandExit.USAGE: "invalid command line",
    CommandExit.REFUSED: "no such profile or session, access denied, invalid profile, or another refusal",
    CommandExit.CONNECTION_FAILED: "the connection failed or ended",
    CommandExit.AUTHENTICATION_FAILED: "the server rejected the credentials, or they are missing",
    CommandExit.TIMED_OUT: "not done within --timeout; session-start has disconnected the session",
    CommandExit.UNREACHABLE: "the service or the bus is not available",
    CommandExit.HUNG_UP: "SIGHUP, the terminal was closed; session-start has disconnected the session",
    CommandExit.INTERRUPTED: "SIGINT, Ctrl-C; session-start has disconnected the session",
    CommandExit.TERMINATED: "SIGTERM; session-start has disconnected the session",
}


class CommandError(Exception):
    """Ends ovpnctl with `message`, and `hint` below it, on standard error, and with an exit status."""

    def __init__(self, message: str, status: CommandExit, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.hint = hint

    def __str__(self) -> str:
        text = f"Error: {sanitize(self.message)}"
        return f"{text}\n  {sanitize(self.hint)}" if self.hint else text


class NotFound(CommandError):
    """There is no such object, or no longer."""


def sanitize(text: str) -> str:
    """`text` with control characters replaced by U+FFFD: names and messages come from other users and servers."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def help_epilog() -> str:
    """The table of exit statuses, for --help."""
    rows = [f"  {status:>3}  {MEANING[status]}" for status in CommandExit]
    return "\b\nExit statuses:\n" + "\n".join(rows)
