"""The session objects of net.openvpn.v3.sessions."""

from ...policy.access import Who
from ...policy.limits import MAX_PASTED_ANSWER
from .interface import Interface, Method, Property, Signal

SESSION = Interface(
    name="net.openvpn.v3.sessions",
    title="Session",
    methods=(
        Method(
            "Ready",
            takes="",
            gives="",
            who=Who.USERS,
            doc="Succeeds if the session has all it needs from its user to connect.",
        ),
        Method(
            "Connect",
            takes="",
            gives="",
            who=Who.USERS,
            doc="Connect; no effect on a session that does so already. Returns at once; `status` tells the result.",
        ),
        Method(
            "Pause",
            takes="reason:s",
            gives="",
            who=Who.USERS,
            doc="Disconnect, keep the session and its device. The reason appears in the status.",
        ),
        Method("Resume", takes="", gives="", who=Who.USERS, doc="Connect a paused session again."),
        Method("Restart", takes="", gives="", who=Who.USERS, doc="Disconnect and connect again."),
        Method(
            "Disconnect",
            takes="",
            gives="",
            who=Who.USERS,
            doc="End the session. When this returns, the object and the network settings have been removed.",
        ),
        Method(
            "AccessGrant",
            takes="uid:u",
            gives="",
            who=Who.OWNER,
            doc="Let another user use the session.",
        ),
        Method(
            "AccessRevoke",
            takes="uid:u",
            gives="",
            who=Who.OWNER,
            doc="Undo AccessGrant.",
        ),
        Method(
            "LogForward",
            takes="enable:b",
            gives="",
            who=Who.USERS,
            doc="Send the session's status changes and log lines to the caller, as signals of "
            "`net.openvpn.v3.backends`; the lines only to the owner, unless `restrict_log_access` is off.",
        ),
        Method(
            "UserInputQueueGetTypeGroup",
            takes="",
            gives="type_group_list:a(uu)",
            who=Who.USERS,
            doc="The kinds of input that the session waits for.",
        ),
        Method(
            "UserInputQueueCheck",
            takes="type:u group:u",
            gives="indexes:au",
            who=Who.USERS,
            doc="The numbers of the unanswered questions of one kind.",
        ),
        Method(
            "UserInputQueueFetch",
            takes="type:u group:u id:u",
            gives="type:u group:u id:u name:s description:s hidden_input:b",
            who=Who.USERS,
            doc="One question: its name, its text, and whether the answer is to be hidden.",
        ),
        Method(
            "UserInputProvide",
            takes="type:u group:u id:u value:s",
            gives="",
            who=Who.USERS,
            doc="Answer one question.",
            secret=True,
            largest=MAX_PASTED_ANSWER,
        ),
    ),
    properties=(
        Property("owner", "u", Who.READERS, "User id of the owner.", attribute="acl.owner"),
        Property("session_created", "t", Who.READERS, "When the session was started, in seconds since 1970."),
        Property("acl", "au", Who.READERS, "User ids that were granted access.", attribute="acl.granted_uids"),
        Property(
            "public_access",
            "b",
            Who.READERS,
            "Whether everybody may read the session's properties.",
            writable_by=Who.OWNER,
            attribute="acl.public",
        ),
        Property("status", "(uus)", Who.READERS, "Major and minor status code, and a text."),
        Property(
            "last_log",
            "a{sv}",
            Who.READERS,
            "The last log line: `log_group` (u), `log_category` (u), `log_message` (s).",
        ),
        Property(
            "statistics",
            "a{sx}",
            Who.READERS,
            "Traffic and event counters, at most a second old unless the session does not answer, or those of one user "
            "take too long together; those at zero are left out.",
            refreshed_by="count",
        ),
        Property(
            "dco",
            "b",
            Who.READERS,
            "Whether data channel offload is used: always false. Setting it to true before Connect has no effect; the "
            "session's log says why.",
            writable_by=Who.USERS,
        ),
        Property(
            "device_path",
            "s",
            Who.READERS,
            "Object path of the network device, `/` while there is none, or another service owns "
            "`net.openvpn.v3.netcfg`. Declared a string, sent as an object path, as the original does.",
            wire_signature="o",
        ),
        Property("device_name", "s", Who.READERS, "Name of the network device; empty before Connect."),
        Property("config_path", "o", Who.READERS, "Object path of the configuration profile."),
        Property("config_name", "s", Who.READERS, "Name of the profile when the session was started."),
        Property(
            "connected_to",
            "(ssu)",
            Who.READERS,
            'Protocol, address and port of the server; `("", "", 0)` until connected.',
        ),
        Property("session_name", "s", Who.READERS, "Host name of the server; empty until connected."),
        Property("backend_pid", "u", Who.READERS, "Process id of the session's worker; 0 while it waits for another."),
        Property(
            "restrict_log_access",
            "b",
            Who.READERS,
            "Whether only the owner may have the log forwarded.",
            writable_by=Who.OWNER,
        ),
        Property("log_forwards", "ao", Who.READERS, "Object paths of the log forwards in force."),
        Property(
            "log_verbosity",
            "u",
            Who.READERS,
            "Level of the session's log, 0 to 6, whatever the service's own; at first that of the profile.",
            writable_by=Who.USERS,
        ),
    ),
    signals=(
        Signal(
            "StatusChange",
            takes="code_major:u code_minor:u message:s",
            doc="To those who use the session, and have not called LogForward. Its status changed.",
        ),
        Signal(
            "AttentionRequired",
            takes="type:u group:u message:s",
            doc="To those who may use the session. It needs something from its user.",
        ),
        Signal(
            "Log",
            takes="group:u level:u message:s",
            doc="Declared as in the original; never sent, since this process is the log service.",
        ),
    ),
)
