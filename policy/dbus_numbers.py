"""The numbers of the OpenVPN 3 Linux D-Bus API (its src/dbus/constants.hpp).

Front-ends index tables with these numbers and fail on unknown ones: never add a value of our own.
"""

from enum import IntEnum


class StatusMajor(IntEnum):
    """First member of a status tuple: what the status is about."""

    UNSET = 0
    CONFIG = 1
    CONNECTION = 2
    SESSION = 3
    PKCS11 = 4
    PROCESS = 5


class StatusMinor(IntEnum):
    """Second member of a status tuple: what happened."""

    UNSET = 0
    CFG_ERROR = 1
    CFG_OK = 2
    CFG_INLINE_MISSING = 3
    CFG_REQUIRE_USER = 4
    CONN_INIT = 5
    CONN_CONNECTING = 6
    CONN_CONNECTED = 7
    CONN_DISCONNECTING = 8
    CONN_DISCONNECTED = 9
    CONN_FAILED = 10
    CONN_AUTH_FAILED = 11
    CONN_RECONNECTING = 12
    CONN_PAUSING = 13
    CONN_PAUSED = 14
    CONN_RESUMING = 15
    CONN_DONE = 16
    SESS_NEW = 17
    SESS_BACKEND_COMPLETED = 18
    SESS_REMOVED = 19
    SESS_AUTH_USERPASS = 20
    SESS_AUTH_CHALLENGE = 21
    SESS_AUTH_URL = 22
    PKCS11_SIGN = 23
    PKCS11_ENCRYPT = 24
    PKCS11_DECRYPT = 25
    PKCS11_VERIFY = 26
    PROC_STARTED = 27
    PROC_STOPPED = 28
    PROC_KILLED = 29


# Statuses of a session that has failed; one that its server has ended has CONN_DONE.
SESSION_FAILED = (StatusMinor.CONN_FAILED, StatusMinor.CONN_AUTH_FAILED)


class SessionEvent(IntEnum):
    """Argument of SessionManagerEvent."""

    CREATED = 1
    DESTROYED = 2


CREDENTIALS = 1  # the only type of user input that there is (ClientAttentionType)


class InputGroup(IntEnum):
    """What kind of input is asked for (ClientAttentionGroup)."""

    USER_PASSWORD = 1
    HTTP_PROXY_CREDS = 2
    PK_PASSPHRASE = 3
    CHALLENGE_STATIC = 4
    CHALLENGE_DYNAMIC = 5
    CHALLENGE_AUTH_PENDING = 6
    PKCS11_SIGN = 7
    PKCS11_DECRYPT = 8
    OPEN_URL = 9


class LogGroup(IntEnum):
    """Which part of the system a log line comes from."""

    UNDEFINED = 0
    MASTERPROC = 1
    CONFIGMGR = 2
    SESSIONMGR = 3
    BACKENDSTART = 4
    LOGGER = 5
    BACKENDPROC = 6
    CLIENT = 7
    NETCFG = 8
    EXTSERVICE = 9


class LogCategory(IntEnum):
    """How much a log line matters."""

    UNDEFINED = 0
    DEBUG = 1
    VERB2 = 2
    VERB1 = 3
    INFO = 4
    WARN = 5
    ERROR = 6
    CRIT = 7
    FATAL = 8


# Names as in the original's log files (its src/log/dbus-log.hpp).
GROUP_NAMES = {
    LogGroup.UNDEFINED: "[[UNDEFINED]]",
    LogGroup.MASTERPROC: "Master Process",
    LogGroup.CONFIGMGR: "Configuration Manager",
    LogGroup.SESSIONMGR: "Session Manager",
    LogGroup.BACKENDSTART: "Backend Starter",
    LogGroup.LOGGER: "Logger",
    LogGroup.BACKENDPROC: "Backend Session Process",
    LogGroup.CLIENT: "Client",
    LogGroup.NETCFG: "Network Configuration",
    LogGroup.EXTSERVICE: "External Service",
}
CATEGORY_NAMES = {
    LogCategory.UNDEFINED: "[[UNDEFINED]]",
    LogCategory.DEBUG: "DEBUG",
    LogCategory.VERB2: "VERB2",
    LogCategory.VERB1: "VERB1",
    LogCategory.INFO: "INFO",
    LogCategory.WARN: "WARNING",
    LogCategory.ERROR: "-- ERROR --",
    LogCategory.CRIT: "!! CRITICAL !!",
    LogCategory.FATAL: "**!! FATAL !!**",
}

# What a connection through an HTTP proxy is called in connected_to, by the version of the proxy's address.
HTTP_PROXIED = {4: "tcpv4-via-http", 6: "tcpv6-via-http"}

MAX_LOG_LEVEL = 6
DEFAULT_LOG_LEVEL = 3

# The level from which a category is shown: 6 shows all, 0 only CRIT and FATAL.
_SHOWN_FROM_LEVEL = {
    LogCategory.DEBUG: 6,
    LogCategory.VERB2: 5,
    LogCategory.VERB1: 4,
    LogCategory.INFO: 3,
    LogCategory.WARN: 2,
    LogCategory.ERROR: 1,
}


def shown(category: LogCategory, level: int) -> bool:
    """Whether lines of `category` appear at log level `level` (0 to 6)."""
    return level >= _SHOWN_FROM_LEVEL.get(category, 0)
