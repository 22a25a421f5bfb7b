"""The errors of the supervisor.

    SupervisorError
    ├── CallerError          a request of a client that is refused: answered, not logged
    │   ├── AccessDenied         … because of who the caller is
    │   ├── NotSupported         … because this version does not do it yet
    │   ├── NoSuchObject         … because there is no such object, or no longer
    │   ├── NotReady             … because the session needs user input first (Ready's own error)
    │   ├── LogServiceError      … an error of the log service
    │   ├── RequestRefused       … because of the session's state, or by its worker
    │   └── InvalidValue         … because a property value is out of range
    ├── ProtocolViolation    a worker broke the rules or failed: it is killed, its session fails
    ├── SystemFailure        the kernel, the bus or a helper process failed: logged once, where it is handled
    └── StartError           the service cannot start: printed, with its own exit status

supervisor/bus/errors.py maps CallerErrors to D-Bus error names and texts; nothing else does.
A function either raises or logs, never both.  Any other exception is an internal error.
"""


class SupervisorError(Exception):
    """Base of all errors of the supervisor; the text may be shown to a user."""


class CallerError(SupervisorError):
    """A request that is refused; the text goes to the caller."""


class AccessDenied(CallerError):
    """The caller may not do this."""

    def __init__(self, text: str = "Access denied") -> None:
        super().__init__(text)


class NotSupported(CallerError):
    """Declared in the interface, not done by this version."""

    def __init__(self, member: str) -> None:
        super().__init__(f"{member} is not supported yet")


class NoSuchObject(CallerError):
    """No object at that path."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class NotReady(CallerError):
    """The session needs something from its user first."""


class RequestRefused(CallerError):
    """The session cannot do this in its present state."""


class LogServiceError(CallerError):
    """The log service cannot do this."""


class InvalidValue(CallerError):
    """A property cannot be set to this value."""


class ProtocolViolation(SupervisorError):
    """A worker sent what it must not, did not answer in time, or ended."""


class SystemFailure(SupervisorError):
    """The kernel, the bus or a helper process did not do what the supervisor needs."""


class StartError(SupervisorError):
    """The service cannot start."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status
