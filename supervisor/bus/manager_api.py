"""The root object of net.openvpn.v3.sessions: starting and finding sessions."""

from ...policy.access import Who
from .interface import Interface, Method, Property, Signal

# What is answered with nothing as long as there is no session.
_FINDS_SESSIONS = ("FetchAvailableSessions", "FetchManagedInterfaces", "LookupConfigName")

BUS_NAME = "net.openvpn.v3.sessions"
ROOT_PATH = "/net/openvpn/v3/sessions"

MANAGER = Interface(
    name="net.openvpn.v3.sessions",
    title="Session manager",
    methods=(
        Method(
            "NewTunnel",
            takes="config_path:o",
            gives="session_path:o",
            who=Who.ANYBODY,
            doc="Start a session for a configuration profile that the caller may use; the caller owns it. "
            "It connects when its Connect is called. Fails if the caller can see a session of this profile.",
        ),
        Method(
            "FetchAvailableSessions",
            takes="",
            gives="paths:ao",
            who=Who.ANYBODY,
            doc="The sessions that the caller may use, and public ones; for root, all.",
        ),
        Method(
            "FetchManagedInterfaces",
            takes="",
            gives="devices:as",
            who=Who.ANYBODY,
            doc="The network devices of the sessions that the caller may use; an empty name for a session "
            "that has none.",
        ),
        Method(
            "LookupConfigName",
            takes="config_name:s",
            gives="session_paths:ao",
            who=Who.ANYBODY,
            doc="The caller's sessions whose profile had this name when they were started; empty if none.",
        ),
        Method(
            "LookupInterface",
            takes="device_name:s",
            gives="session_path:o",
            who=Who.ANYBODY,
            doc="The caller's session that has this network device.",
        ),
        Method(
            "TransferOwnership",
            takes="path:o new_owner_uid:u",
            gives="",
            who=Who.ROOT,
            doc="Give a session to another user; it stays shared with the same users.",
        ),
    ),
    properties=(Property("version", "s", who=Who.ANYBODY, doc="Version of this service."),),
    signals=(
        Signal(
            "SessionManagerEvent",
            takes="path:o type:q owner:u",
            doc="Broadcast. A session was created (1) or removed (2); `owner` is its owner's user id.",
        ),
        Signal(
            "Log",
            takes="group:u level:u message:s",
            doc="Declared as in the original; never sent, since this process is the log service.",
        ),
    ),
)

WITHOUT_SESSIONS = Interface(
    name=MANAGER.name,
    title=MANAGER.title,
    methods=tuple(row for row in MANAGER.methods if row.name in _FINDS_SESSIONS),
    properties=MANAGER.properties,
)
