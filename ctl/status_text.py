"""Status codes as text, as the openvpn3 command line prints them."""

from dataclasses import dataclass

from ..policy.dbus_numbers import StatusMajor, StatusMinor
from .exits import sanitize

_MAJOR = {
    StatusMajor.UNSET: "(unset)",
    StatusMajor.CONFIG: "Configuration",
    StatusMajor.CONNECTION: "Connection",
    StatusMajor.SESSION: "Session",
    StatusMajor.PKCS11: "PKCS#11",
    StatusMajor.PROCESS: "Process",
}
_MINOR = {
    StatusMinor.UNSET: "(unset)",
    StatusMinor.CFG_ERROR: "Configuration error",
    StatusMinor.CFG_OK: "Configuration OK",
    StatusMinor.CFG_INLINE_MISSING: "Configuration missing inline data",
    StatusMinor.CFG_REQUIRE_USER: "Configuration requires user input",
    StatusMinor.CONN_INIT: "Client initialized",
    StatusMinor.CONN_CONNECTING: "Client connecting",
    StatusMinor.CONN_CONNECTED: "Client connected",
    StatusMinor.CONN_DISCONNECTING: "Client disconnecting",
    StatusMinor.CONN_DISCONNECTED: "Client disconnected",
    StatusMinor.CONN_FAILED: "Client connection failed",
    StatusMinor.CONN_AUTH_FAILED: "Client authentication failed",
    StatusMinor.CONN_RECONNECTING: "Client reconnect",
    StatusMinor.CONN_PAUSING: "Client pausing connection",
    StatusMinor.CONN_PAUSED: "Client connection paused",
    StatusMinor.CONN_RESUMING: "Client connection resuming",
    StatusMinor.CONN_DONE: "Client process exited",
    StatusMinor.SESS_NEW: "New session created",
    StatusMinor.SESS_BACKEND_COMPLETED: "Backend Session Object completed",
    StatusMinor.SESS_REMOVED: "Session deleted",
    StatusMinor.SESS_AUTH_USERPASS: "User/password authentication",
    StatusMinor.SESS_AUTH_CHALLENGE: "Challenge/response authentication",
    StatusMinor.SESS_AUTH_URL: "URL authentication",
    StatusMinor.PKCS11_SIGN: "PKCS#11 Sign",
    StatusMinor.PKCS11_ENCRYPT: "PKCS#11 Encrypt",
    StatusMinor.PKCS11_DECRYPT: "PKCS#11 Decrypt",
    StatusMinor.PKCS11_VERIFY: "PKCS#11 Verify",
    StatusMinor.PROC_STARTED: "Process started",
    StatusMinor.PROC_STOPPED: "Process stopped",
    StatusMinor.PROC_KILLED: "Process killed",
}


@dataclass(frozen=True, slots=True)
class Status:
    """A session's status as it is sent over the bus; unknown codes are kept as numbers."""

    major: int = 0
    minor: int = 0
    message: str = ""

    def __str__(self) -> str:
        """ "Connection, Client connected: message" """
        if (self.major, self.minor) == (StatusMajor.SESSION, StatusMinor.SESS_AUTH_URL):
            words = "Web authentication required to connect"
        elif self.major == self.minor == 0:
            words = "(No status)"
        else:
            words = ", ".join(self.words())
        return f"{words}: {sanitize(self.message)}" if self.message else words

    def words(self) -> tuple[str, str]:
        """Major and minor code in words."""
        return (
            _MAJOR.get(self.major, str(self.major)),  # type: ignore[call-overload]  # an int equals its IntEnum
            _MINOR.get(self.minor, str(self.minor)),  # type: ignore[call-overload]
        )
