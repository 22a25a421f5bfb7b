"""The interface of session objects for the network namespace of their owner, which OpenVPN 3 Linux does not have."""

from ...policy.access import Who
from .interface import Interface, Method, Property, Signal

NAMESPACE = Interface(
    name="net.openvpn.v3.sessions.namespace",
    title="The network namespace of a session's owner",
    methods=(
        Method(
            "Enter",
            takes="socket:h pid:u afterwards:s",
            gives="",
            who=Who.OWNER,
            doc="Have the session's device, whenever it is connected, in a network namespace that the caller has made "
            "(not on this machine): for a command of the caller's, until Leave, or the end of the caller's connection. "
            "`socket` is a netlink socket (NETLINK_ROUTE) that was opened in it, `pid` a process in there by which "
            "others may find it; it has to belong to a user namespace of the caller's user, or for root to this "
            "machine's. A second caller brings the same one. `afterwards`, when the last has left: `keep` (the device "
            "comes back to this machine), `disconnect`, or empty: as said before, at first `keep`.",
        ),
        Method("Leave", takes="", gives="", who=Who.OWNER, doc="The caller's command has ended."),
    ),
    properties=(
        Property("holders", "au", Who.READERS, "Ids of processes in there, one for each command; none: there is none."),
        Property("namespace", "t", Who.READERS, "Its number (`ls -i /proc/PID/ns/net`); 0: there is none."),
        Property(
            "network",
            "a{sv}",
            Who.READERS,
            "What is to be set on the device in there: `mtu` (u), `addresses` (a(sus): address, length of its network, "
            "and the other end or an empty text), `routes` (a(su): destination and metric), `name_servers` (as: "
            "ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT), `domains` (as: to search); empty while the device is not there.",
        ),
    ),
    signals=(
        Signal(
            "NetworkChanged", takes="", doc="To those who have entered. The device is there, and `network` may differ."
        ),
    ),
)
