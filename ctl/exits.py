"""The exit statuses of ovpnctl, and the error that carries one."""

from collections.abc import Iterable
from enum import IntEnum

from ..policy.causes import CAUSES, Cause, Kind


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
    NOTHING_IN_COMMON = 8
    NOT_TRUSTED = 9
    SERVER_UNREACHABLE = 10
    CERTIFICATE_UNUSABLE = 11
    NOT_CONNECTED = 12
    FAULTS = 13
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


MEANING = {
    CommandExit.OK: "success; for up and session-start, the session is connected",
    CommandExit.OTHER: "not confirmed, output that cannot be written, or an unexpected error",
    CommandExit.USAGE: "invalid command line",
    CommandExit.REFUSED: "no such profile or session, access denied, invalid profile, or another refusal",
    CommandExit.CONNECTION_FAILED: "the connection failed or ended",
    CommandExit.AUTHENTICATION_FAILED: "the server rejected the credentials, or they are missing",
    CommandExit.TIMED_OUT: "not done within --timeout; a session that was started for it is disconnected",
    CommandExit.UNREACHABLE: "the service or the bus is not available",
    CommandExit.NOTHING_IN_COMMON: "server and profile have no cipher, TLS version or compression in common",
    CommandExit.NOT_TRUSTED: "the server's certificate is not what the profile wants",
    CommandExit.SERVER_UNREACHABLE: "the server cannot be reached, or does not answer",
    CommandExit.CERTIFICATE_UNUSABLE: "the profile's certificate or key cannot be used, or the server rejected it",
    CommandExit.NOT_CONNECTED: "status: a session is not connected, or there is none",
    CommandExit.FAULTS: "doctor: something does not work",
    CommandExit.HUNG_UP: "SIGHUP, the terminal was closed; a session that was started is disconnected",
    CommandExit.INTERRUPTED: "SIGINT, Ctrl-C; a session that was started is disconnected",
    CommandExit.TERMINATED: "SIGTERM; a session that was started is disconnected",
}


# The exit status when a connection failed for a cause of this kind; for others CONNECTION_FAILED.
BY_KIND = {
    Kind.CREDENTIALS: CommandExit.AUTHENTICATION_FAILED,
    Kind.ALGORITHM: CommandExit.NOTHING_IN_COMMON,
    Kind.TRUST: CommandExit.NOT_TRUSTED,
    Kind.NETWORK: CommandExit.SERVER_UNREACHABLE,
    Kind.CERTIFICATE: CommandExit.CERTIFICATE_UNUSABLE,
    Kind.PROFILE: CommandExit.REFUSED,
}


def status_for(cause: str, otherwise: CommandExit) -> CommandExit:
    """The exit status for a cause that the service names; a newer service may know others than we do."""
    try:
        return BY_KIND.get(CAUSES[Cause(cause)].kind, otherwise)
    except ValueError:
        return otherwise


class CommandError(Exception):
    """Ends ovpnctl with `message` on standard error, `details` and `hint` on lines below it, and an exit status."""

    def __init__(self, message: str, status: CommandExit, hint: str = "", details: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.hint = hint
        self.details = tuple(details)

    def __str__(self) -> str:
        below = [*self.details, *([self.hint] if self.hint else [])]
        return "\n  ".join(map(sanitize, (f"Error: {self.message}", *below)))


class NotFound(CommandError):
    """There is no such object, or no longer."""


def sanitize(text: str) -> str:
    """`text` with control characters replaced by U+FFFD: names and messages come from other users and servers."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def help_epilog() -> str:
    """The table of exit statuses, for --help."""
    rows = [f"  {status:>3}  {MEANING[status]}" for status in CommandExit]
    return "\b\nExit statuses:\n" + "\n".join(rows)
