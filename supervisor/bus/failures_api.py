"""The objects that tell users why their sessions failed, which OpenVPN 3 Linux does not have."""

from ...policy.access import Who
from .interface import Interface, Property

# Not below the sessions: openvpn3-admin takes all that is there for one.
FAILURES_PATH = "/net/openvpn/v3/failures"

# Properties only, as in inspection_api.py.
FAILURES = Interface(
    name="net.openvpn.v3.sessions.failures",
    title="A user's failed sessions",
    methods=(),
    hidden=True,
    properties=(
        Property(
            "failures",
            "aa{sv}",
            Who.READERS,
            "The last failures, the newest first, of sessions that the user owned or had started, and root's of all: "
            "`time` (x, seconds since 1970), `owner` (u), `starter` (u), `session` (s, its path), `profile` (s, its "
            "name), `reached` (s: profile, ready, connecting or connected), `seconds` (u, that the session lasted), "
            "`status` (u, the minor code it ended with), `text` (s, what happened; it may hold the server's words), "
            "`cause` (s, one of policy/causes.py), `hint` (s, what to do). "
            "The object is there while there are any.",
        ),
    ),
)
