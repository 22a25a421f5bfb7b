"""Statuses without their texts, by what they say."""

from ...policy.dbus_numbers import StatusMajor, StatusMinor

CONFIGURED = (StatusMajor.CONNECTION, StatusMinor.CFG_OK)
INPUT_NEEDED = (StatusMajor.CONNECTION, StatusMinor.CFG_REQUIRE_USER)
CONNECTING = (StatusMajor.CONNECTION, StatusMinor.CONN_CONNECTING)
CONNECTED = (StatusMajor.CONNECTION, StatusMinor.CONN_CONNECTED)
DISCONNECTING = (StatusMajor.CONNECTION, StatusMinor.CONN_DISCONNECTING)
DISCONNECTED = (StatusMajor.CONNECTION, StatusMinor.CONN_DISCONNECTED)
AUTH_FAILED = (StatusMajor.CONNECTION, StatusMinor.CONN_AUTH_FAILED)
RECONNECTING = (StatusMajor.CONNECTION, StatusMinor.CONN_RECONNECTING)
PAUSING = (StatusMajor.CONNECTION, StatusMinor.CONN_PAUSING)
PAUSED = (StatusMajor.CONNECTION, StatusMinor.CONN_PAUSED)
RESUMING = (StatusMajor.CONNECTION, StatusMinor.CONN_RESUMING)
DONE = (StatusMajor.CONNECTION, StatusMinor.CONN_DONE)
WEB_PAGE = (StatusMajor.SESSION, StatusMinor.SESS_AUTH_URL)
STOPPED = (StatusMajor.SESSION, StatusMinor.PROC_STOPPED)
