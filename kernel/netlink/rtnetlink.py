"""Messages of rtnetlink(7): links, addresses, routes and routing rules.

Numbers and formats from linux/rtnetlink.h, if_link.h, if_addr.h, fib_rules.h, net_namespace.h and ip.h, by the names
that they have there.  Addresses are bytes in network order.  The functions give bodies of messages.
"""

import socket
import struct

from . import wire

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_SETLINK = 16, 17, 18, 19
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34
RTM_NEWNSID, RTM_GETNSID = 88, 90
RTM_GETSTATS = 94

# Groups of notifications, as bits
RTMGRP_LINK = 0x1
RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV4_RULE = 0x10, 0x40, 0x80
RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE = 0x100, 0x400
RTMGRP_IPV6_RULE = 1 << 18  # RTNLGRP_IPV6_RULE, which has no name as a bit

# Links
IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, flags that change
IFF_UP = 0x1
IFLA_IFNAME, IFLA_MTU, IFLA_OPERSTATE, IFLA_LINKINFO = 3, 4, 16, 18
IFLA_AF_SPEC, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_EXT_MASK, IFLA_CARRIER = 26, 27, 28, 29, 33
IFLA_TARGET_NETNSID, IFLA_PROP_LIST = 46, 52
RTEXT_FILTER_SKIP_STATS = 0x8
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
IFLA_TUN_OWNER = 1
IFLA_INET_CONF = 1
IPV4_DEVCONF_SRC_VMARK, IPV4_DEVCONF_IGNORE_ROUTES_WITH_LINKDOWN = 24, 29
IF_OPER_UNKNOWN, IF_OPER_UP = 0, 6

# Counters of links
IF_STATS_MSG = struct.Struct("=BxxxII")  # family, index, what is wanted
IFLA_STATS_LINK_64 = 1
# The first of rtnl_link_stats64: packets received and sent, bytes received and sent
RTNL_LINK_STATS64 = struct.Struct("=4Q")

# Network namespaces
RTGENMSG = struct.Struct("=Bxxx")  # family
NETNSA_NSID, NETNSA_FD = 1, 3
NETNSA_NSID_NOT_ASSIGNED = -1

# Addresses
IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD, IFA_F_NOPREFIXROUTE = 0x02, 0x200

# Routes
RTMSG = struct.Struct(
    "=BBBBBBBBI"
)  # family, lengths of destination and source, tos, table, protocol, scope, type, flags
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC = 1, 4, 5, 6, 7
RTA_MULTIPATH, RTA_TABLE, RTA_VIA, RTA_UID = 9, 15, 18, 25
RT_TABLE_MAIN = 254
RTPROT_KERNEL, RTPROT_STATIC = 2, 4
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTN_UNICAST, RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT, RTN_THROW = 1, 6, 7, 8, 9
RTNH_F_DEAD, RTNH_F_ONLINK, RTNH_F_LINKDOWN = 0x1, 0x4, 0x10
_LARGEST_IN_BYTE = 255  # a table with a larger number is named by an attribute

# Routing rules
FIB_RULE_HDR = struct.Struct("=BBBBBxxBI")  # family, lengths of destination and source, tos, table, action, flags
FRA_SRC, FRA_PRIORITY, FRA_FWMARK, FRA_SUPPRESS_PREFIXLEN, FRA_TABLE = 2, 6, 10, 14, 15
FRA_FWMASK, FRA_UID_RANGE, FRA_PROTOCOL = 16, 20, 21
FR_ACT_TO_TBL, FR_ACT_UNREACHABLE = 1, 7
FIB_RULE_UID_RANGE = struct.Struct("=II")  # first, last

_FAMILIES = {4: socket.AF_INET, 16: socket.AF_INET6}


def link(index: int = 0, *attributes: bytes, flags: int = 0, change: int = 0) -> bytes:
    """A link; of its flags, those in `change` are to be as in `flags`."""
    return IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, flags, change) + b"".join(attributes)


def statistics(index: int) -> bytes:
    """The question for the counters of a link."""
    return IF_STATS_MSG.pack(socket.AF_UNSPEC, index, 1 << (IFLA_STATS_LINK_64 - 1))


def address(index: int, local: bytes, length: int, *, other: bytes = b"", flags: int = 0) -> bytes:
    """An address of a link, with the length of its network's prefix, or that of `other`: the other end."""
    attributes = wire.attribute(IFA_LOCAL, local) + wire.attribute(IFA_ADDRESS, other or local)
    if flags:
        attributes += wire.u32(IFA_FLAGS, flags)
    return IFADDRMSG.pack(_FAMILIES[len(local)], length, 0, 0, index) + attributes


def addresses(index: int = 0) -> bytes:
    """The question for the addresses of a link, or all."""
    return IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, index)


def route(
    destination: bytes,
    length: int,
    *,
    device: int = 0,
    table: int = RT_TABLE_MAIN,
    kind: int = RTN_UNICAST,
    protocol: int = RTPROT_STATIC,
    scope: int = RT_SCOPE_UNIVERSE,
    metric: int = 0,
    gateway: bytes = b"",
    source: bytes = b"",
    flags: int = 0,
) -> bytes:
    """A route to the network whose address and prefix length these are; metric 0 is the kernel's choice."""
    in_byte = table if table <= _LARGEST_IN_BYTE else 0
    parts = [
        RTMSG.pack(_FAMILIES[len(destination)], length, 0, 0, in_byte, protocol, scope, kind, flags),
        wire.attribute(RTA_DST, destination) if length else b"",
        wire.u32(RTA_TABLE, table) if table > _LARGEST_IN_BYTE else b"",
        wire.u32(RTA_OIF, device) if device else b"",
        wire.u32(RTA_PRIORITY, metric) if metric else b"",
        wire.attribute(RTA_GATEWAY, gateway) if gateway else b"",
        wire.attribute(RTA_PREFSRC, source) if source else b"",
    ]
    return b"".join(parts)


def routes(family: int, *, table: int, device: int = 0, protocol: int = 0) -> bytes:
    """The question for the routes of a table; by a device or with a protocol, if the kernel can leave others out."""
    in_byte = table if table <= _LARGEST_IN_BYTE else 0
    asked = RTMSG.pack(family, 0, 0, 0, in_byte, protocol, 0, 0, 0)
    if device:
        asked += wire.u32(RTA_OIF, device)
    return asked + (wire.u32(RTA_TABLE, table) if table > _LARGEST_IN_BYTE else b"")


def way_to(destination: bytes, uid: int) -> bytes:
    """The question how the kernel sends what a user's process sends to an address."""
    asked = RTMSG.pack(_FAMILIES[len(destination)], 8 * len(destination), 0, 0, 0, 0, 0, 0, 0)
    return asked + wire.attribute(RTA_DST, destination) + wire.u32(RTA_UID, uid)


def rule(
    family: int,
    priority: int,
    *,
    action: int = FR_ACT_TO_TBL,
    table: int = 0,
    source: bytes = b"",
    uids: tuple[int, int] | None = None,
    mark: int = 0,
    more_exact: bool = False,
) -> bytes:
    """A routing rule; for packets from one address, of users from the first to the last, with all bits of a mark.

    With `more_exact`, the table's routes with a prefix of no length do not count.
    """
    parts = [
        FIB_RULE_HDR.pack(family, 0, 8 * len(source), 0, 0, action, 0),
        wire.u32(FRA_PRIORITY, priority),
        wire.attribute(FRA_PROTOCOL, bytes([RTPROT_KERNEL])),  # systemd-networkd leaves such rules alone
        wire.u32(FRA_TABLE, table) if table else b"",
        wire.attribute(FRA_SRC, source) if source else b"",
        wire.attribute(FRA_UID_RANGE, FIB_RULE_UID_RANGE.pack(*uids)) if uids is not None else b"",
        wire.u32(FRA_FWMARK, mark) + wire.u32(FRA_FWMASK, mark) if mark else b"",
        wire.u32(FRA_SUPPRESS_PREFIXLEN, 0) if more_exact else b"",
    ]
    return b"".join(parts)


def rules(family: int) -> bytes:
    """The question for all routing rules of an address family."""
    return FIB_RULE_HDR.pack(family, 0, 0, 0, 0, 0, 0)
