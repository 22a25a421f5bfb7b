"""net.openvpn.v3.log: the log service, its proxies, and the signals of log forwards."""

from ...policy.access import Who
from .interface import Interface, Method, Property, Signal

BUS_NAME = "net.openvpn.v3.log"
ROOT_PATH = "/net/openvpn/v3/log"
PROXIES_PATH = f"{ROOT_PATH}/proxy"

LOG = Interface(
    name="net.openvpn.v3.log",
    title="Log service",
    methods=(
        Method(
            "Attach",
            takes="interface:s",
            gives="",
            who=Who.SERVICE,
            doc="Have the `Log` signals of this interface, that the caller sends to this service, written to the log.",
        ),
        Method("Detach", takes="interface:s", gives="", who=Who.SERVICE, doc="Undo Attach."),
        Method(
            "AssignSession",
            takes="session_path:o interface:s",
            gives="",
            who=Who.SERVICE,
            doc="What the caller logs with this interface is about that session; for the processes behind sessions.",
        ),
        Method(
            "ProxyLogEvents",
            takes="target_address:s session_path:o",
            gives="proxy_path:o",
            who=Who.SERVICE,
            doc="Forward what a session logs to a connection; for the session manager, which does so by itself.",
        ),
        Method(
            "GetSubscriberList",
            takes="",
            gives="subscribers:a(ssss)",
            who=Who.ROOT,
            doc="The attached services: tag, unique bus name, interface, object path (empty for all).",
        ),
    ),
    properties=(
        Property("version", "s", Who.ANYBODY, "Version of this service."),
        Property(
            "log_method",
            "s",
            Who.ANYBODY,
            "Where the log goes: `journald`, `syslog`, `logfile` or `stdout:`.",
        ),
        Property(
            "log_level",
            "u",
            Who.ANYBODY,
            "Which lines are written, 0 to 6; until the service ends.",
            writable_by=Who.ROOT,
        ),
        Property(
            "log_dbus_details",
            "b",
            Who.ANYBODY,
            "Whether each line ends with its sender, interface and path.",
            writable_by=Who.ROOT,
        ),
        Property(
            "log_prefix_logtag",
            "b",
            Who.ANYBODY,
            "Whether lines of attached services begin with their tags.",
            writable_by=Who.ROOT,
        ),
        Property(
            "timestamp",
            "b",
            Who.ANYBODY,
            "Whether lines in files begin with the time.",
            writable_by=Who.ROOT,
        ),
        Property("config_file", "s", Who.ANYBODY, "Where these properties are kept: nowhere, so empty."),
        Property("num_attached", "u", Who.ANYBODY, "How many services are attached."),
    ),
)

PROXY = Interface(
    name="net.openvpn.v3.log",
    title="Log forward",
    methods=(Method("Remove", takes="", gives="", who=Who.OWNER, doc="End the forward, as LogForward(false) does."),),
    properties=(
        Property(
            "log_level",
            "u",
            Who.OWNER,
            "Which of the session's lines are forwarded, 0 to 6.",
            writable_by=Who.OWNER,
        ),
        Property("session_path", "o", Who.OWNER, "The session."),
        Property(
            "target",
            "o",
            Who.OWNER,
            "Unique bus name of the receiver. Declared an object path, sent as a string, as the original does.",
            wire_signature="s",
        ),
    ),
)

# Sent from a session's path to those who called LogForward: clients look for this sender and this interface.
FORWARDED = Interface(
    name="net.openvpn.v3.backends",
    title="Forwarded log of a session",
    methods=(),
    properties=(),
    signals=(
        Signal(
            "StatusChange",
            takes="code_major:u code_minor:u message:s",
            doc="To those who called LogForward. The session's status changed.",
        ),
        Signal(
            "Log",
            takes="group:u level:u message:s",
            doc="To those who called LogForward and may read the log. A log line of the session.",
        ),
    ),
)
