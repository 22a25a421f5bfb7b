"""The interface of session objects for inspection, which OpenVPN 3 Linux does not have."""

from ...policy.access import Who
from .interface import Interface, Property

# Properties only: whoever may call the service at all may ask for any interface's, so that also a policy file of
# OpenVPN 3 Linux lets them through.
INSPECTION = Interface(
    name="net.openvpn.v3.sessions.inspect",
    title="Inspection of a session",
    methods=(),
    properties=(
        Property(
            "last_error",
            "(sss)",
            Who.READERS,
            "Why the session failed, or its latest attempt to connect: one of the causes of policy/causes.py, what "
            "happened (it may hold the server's words), and what to do; empty texts while it has been connected since.",
        ),
        Property(
            "notices",
            "as",
            Who.READERS,
            "What was left out or changed, of the profile and of the present connection; what the service cannot do.",
        ),
        Property(
            "fingerprint",
            "s",
            Who.OWNER,
            "What the names of systemd credentials for this owner's profile, as the session has it, have of it "
            "(policy/profile/bound_credentials.py); empty if the profile is another user's.",
        ),
        Property("session_uid", "u", Who.READERS, "User id of the session's processes; 0 while it has none."),
        Property(
            "layers",
            "as",
            Who.READERS,
            "The layers of the sandbox that confine its processes, as these report them; empty before they do, and "
            "while there are no processes.",
        ),
        Property(
            "missing_layers",
            "a{ss}",
            Who.READERS,
            "The layers that are not in force, each with the reason; empty while there are no processes.",
        ),
        Property(
            "name_servers",
            "as",
            Who.READERS,
            "The name servers that this machine uses because of the session; ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT.",
        ),
        Property(
            "domains",
            "as",
            Who.READERS,
            "The domains whose names they are asked for, `.` for all names; `~` begins those that are not searched.",
        ),
        Property("dns_backend", "s", Who.READERS, "What sets name servers on this machine, and why."),
        Property(
            "processes",
            "aa{sv}",
            Who.READERS,
            "Its processes: `role` (s: worker, engine, or helper for one that the worker has forked briefly), "
            "`pid` (u); and, unless it has just ended or /proc hides it, `uid` (u), `state` (s), `cpu_user` and "
            "`cpu_system` (d, seconds), `memory` and `shared` (t, bytes in RAM, and those of them that may be shared "
            "with others), `threads` (u), `started` (d, seconds since 1970).",
        ),
    ),
)
