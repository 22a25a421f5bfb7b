"""How ovpnctl ends: its exit statuses, and the error that carries one."""

from enum import IntEnum


class CommandExit(IntEnum):
    """CommandExit statuses; `MEANING` is what the help says about them."""

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
    CommandExit.OK: "done; for session-start: connected",
    CommandExit.OTHER: "not confirmed, output that cannot be written, or something that ovpnctl does not know",
    CommandExit.USAGE: "wrong command line",
    CommandExit.REFUSED: "no such profile or session, access denied, unusable profile, or refused otherwise",
    CommandExit.CONNECTION_FAILED: "the connection failed or ended",
    CommandExit.AUTHENTICATION_FAILED: "the server did not accept the credentials, or they are missing",
    CommandExit.TIMED_OUT: "not done within --timeout; a session being started was disconnected",
    CommandExit.UNREACHABLE: "the service or the bus cannot be reached, or went away",
    CommandExit.HUNG_UP: "the terminal was closed; a session being started was disconnected",
    CommandExit.INTERRUPTED: "Ctrl-C; a session being started was disconnected",
    CommandExit.TERMINATED: "SIGTERM; a session being started was disconnected",
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
    """What was named does not exist, or not any more."""


def sanitize(text: str) -> str:
    """`text` without what could steer a terminal: names and messages come from other users and servers."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def help_epilog() -> str:
    """The table of exit statuses, for --help."""
    rows = [f"  {status:>3}  {MEANING[status]}" for status in CommandExit]
    return "\b\nExit statuses:\n" + "\n".join(rows)
