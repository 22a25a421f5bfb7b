"""What the kernel lists: devices, routing rules and wide routes, tables and chains of nf_tables.

All functions raise OSError; those of nf_tables are for root.
"""

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from ...kernel.netlink import rtnetlink, wire
from ...kernel.netlink.netlink_socket import NETLINK_NETFILTER, NetlinkSocket

_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_FIB_RULE_INVERT = 2
_FRA_IIFNAME, _FRA_DST, _FRA_OIFNAME, _FRA_L3MDEV = 3, 1, 17, 19
_SELECTORS = {
    _FRA_DST, rtnetlink.FRA_SRC, _FRA_IIFNAME, _FRA_OIFNAME, _FRA_L3MDEV, rtnetlink.FRA_FWMARK, rtnetlink.FRA_UID_RANGE,
}  # fmt: skip
_HALF = 1  # bits of the prefix of one half of all addresses
# linux/netfilter/nf_tables.h
_SUBSYSTEM = 10 << 8
_GET_TABLE, _GET_CHAIN = _SUBSYSTEM | 1, _SUBSYSTEM | 4
_NFGENMSG = struct.Struct("!BBH")
_TABLE_NAME = 1
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 1, 3, 4, 5
_HOOK_NUMBER, _LOCAL_OUT, _DROP = 1, 3, 0
_BE32 = struct.Struct("!I")


class TunDevice(NamedTuple):
    """A device of tun(4) that has an owner."""

    name: str
    owner: int


class Rule(NamedTuple):
    """A routing rule."""

    version: int
    priority: int
    table: int  # that is looked at; 0: none
    catches_all: bool  # whatever is sent, not only what has a mark, comes from an address or a user
    more_exact: bool  # but for what only its default route would take


def tun_devices() -> list[TunDevice]:
    found = []
    with NetlinkSocket() as link:
        question = rtnetlink.link(0, wire.u32(rtnetlink.IFLA_EXT_MASK, rtnetlink.RTEXT_FILTER_SKIP_STATS))
        for message in link.dump(rtnetlink.RTM_GETLINK, question):
            _, attributes = wire.parse(message.body, rtnetlink.IFINFOMSG)
            info = attributes.nested(rtnetlink.IFLA_LINKINFO)
            data = info.nested(rtnetlink.IFLA_INFO_DATA)
            if info.text(rtnetlink.IFLA_INFO_KIND) == "tun" and rtnetlink.IFLA_TUN_OWNER in data:
                found.append(TunDevice(attributes.text(rtnetlink.IFLA_IFNAME), data.u32(rtnetlink.IFLA_TUN_OWNER)))
    return found


def rules() -> Iterator[Rule]:
    with NetlinkSocket() as link:
        for version, family in _FAMILIES.items():
            for message in link.dump(rtnetlink.RTM_GETRULE, rtnetlink.rules(family)):
                head, found = wire.parse(message.body, rtnetlink.FIB_RULE_HDR)
                _, _, _, _, in_byte, action, flags = head
                looks = action == rtnetlink.FR_ACT_TO_TBL
                table = found.u32(rtnetlink.FRA_TABLE, in_byte) if looks else 0
                all_of_it = bool(flags & _FIB_RULE_INVERT) or not _SELECTORS & found.keys()
                suppressed = found.s32(rtnetlink.FRA_SUPPRESS_PREFIXLEN, -1) >= 0
                yield Rule(version, found.u32(rtnetlink.FRA_PRIORITY), table, all_of_it, suppressed)


def widest(version: int, table: int) -> list[int]:
    """The lengths of the prefixes of a table's routes that are for half of all addresses, or all."""
    with NetlinkSocket() as link:
        found = []
        try:
            listed = link.dump(rtnetlink.RTM_GETROUTE, rtnetlink.routes(_FAMILIES[version], table=table))
        except FileNotFoundError:  # there is no such table
            return []
        for message in listed:
            (family, length, _, _, in_byte, *_), attributes = wire.parse(message.body, rtnetlink.RTMSG)
            here = attributes.u32(rtnetlink.RTA_TABLE, in_byte) == table and family == _FAMILIES[version]
            if here and length <= _HALF:
                found.append(int(length))
        return found


def tables() -> list[str]:
    """The names of the tables of nf_tables."""
    return [one.text(_TABLE_NAME) for one in _netfilter(_GET_TABLE)]


def dropping_chains() -> list[tuple[str, str]]:
    """Table and name of chains that drop what this machine sends unless a rule of theirs lets it out."""
    return [
        (one.text(_CHAIN_TABLE), one.text(_CHAIN_NAME))
        for one in _netfilter(_GET_CHAIN)
        if _CHAIN_HOOK in one
        and one.nested(_CHAIN_HOOK).fields(_HOOK_NUMBER, _BE32) == (_LOCAL_OUT,)
        and one.fields(_CHAIN_POLICY, _BE32) == (_DROP,)
    ]


def _netfilter(kind: int) -> list[wire.Attributes]:
    with NetlinkSocket(NETLINK_NETFILTER) as link:
        question = _NFGENMSG.pack(socket.AF_UNSPEC, 0, 0)
        return [wire.parse(message.body, _NFGENMSG)[1] for message in link.dump(kind, question)]
