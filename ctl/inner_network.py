"""The network in a namespace: the session's device as the service says, and everything through it."""

import errno
import socket
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from ..kernel.netlink import rtnetlink, wire
from ..kernel.netlink.netlink_socket import NetlinkSocket

_PING_GROUPS = Path("/proc/sys/net/ipv4/ping_group_range")
_EVERYTHING = ("0.0.0.0/0", "::/0")
# It is set already; and what the kernel says where IPv6 is off.
_WITHOUT_EFFECT = (errno.EEXIST, errno.EACCES, errno.EOPNOTSUPP, errno.EAFNOSUPPORT)


class InnerNetwork:
    """The network namespace that this process is in, with all capabilities there."""

    def __init__(self, gid: int | None) -> None:
        """Switch the loopback device on, and let this group, if any, use ping without a capability (icmp(7)).

        Raises OSError.
        """
        self._link = NetlinkSocket()
        self._switch_on(socket.if_nametoindex("lo"))
        self._device = ("", 0)  # name and index
        if gid is not None:
            with suppress(OSError):  # a sandbox may have it read-only
                _PING_GROUPS.write_text(f"{gid} {gid}", encoding="ascii")

    def set(self, device: str, network: Mapping[str, Any]) -> None:
        """Set what the service says, in place of what was set before; no effect if the device is not here.

        Raises OSError.
        """
        index = _index(device)
        if not index or not network:
            return
        self._device = (device, index)
        self._switch_on(index, wire.u32(rtnetlink.IFLA_MTU, network["mtu"]))
        wanted = {local: (prefix, peer or local) for local, prefix, peer in network["addresses"]}
        for message in self._link.dump(rtnetlink.RTM_GETADDR, rtnetlink.addresses(index)):
            (_, length, _, scope, found), attributes = wire.parse(message.body, rtnetlink.IFADDRMSG)
            other = attributes.address(rtnetlink.IFA_ADDRESS)
            local = attributes.address(rtnetlink.IFA_LOCAL) or other
            # What is right stays: without it, connections would find no way for a moment.
            kept = wanted.get(str(local)) == (length, str(other)) or scope == rtnetlink.RT_SCOPE_LINK
            if found == index and not kept:
                self._do(f"remove address {local}", rtnetlink.RTM_DELADDR, message.body)
        families = set()
        for text, (length, other_end) in wanted.items():
            address = ip_address(text)
            families.add(address.version)
            flags = rtnetlink.IFA_F_NODAD if address.version == 6 else 0  # nobody is asked for it
            body = rtnetlink.address(index, address.packed, length, other=ip_address(other_end).packed, flags=flags)
            self._do(f"set address {text}", rtnetlink.RTM_NEWADDR, body, wire.NLM_F_CREATE | wire.NLM_F_EXCL)
        for text, metric in [*((one, 0) for one in _EVERYTHING), *network["routes"]]:
            destination = ip_network(text)
            if destination.version in families:
                scope = rtnetlink.RT_SCOPE_LINK if destination.version == 4 else rtnetlink.RT_SCOPE_UNIVERSE
                body = rtnetlink.route(
                    destination.network_address.packed,
                    destination.prefixlen,
                    device=index,
                    scope=scope,
                    metric=metric,
                )
                self._do(f"set route {text}", rtnetlink.RTM_NEWROUTE, body, wire.NLM_F_CREATE | wire.NLM_F_REPLACE)

    def remove(self) -> None:
        """Remove the device that was set, if it is here.  Raises OSError."""
        device, index = self._device
        if index and _index(device) == index:
            self._do(f"remove {device}", rtnetlink.RTM_DELLINK, rtnetlink.link(index))

    def _switch_on(self, index: int, *attributes: bytes) -> None:
        body = rtnetlink.link(index, *attributes, flags=rtnetlink.IFF_UP, change=rtnetlink.IFF_UP)
        self._link.request(rtnetlink.RTM_SETLINK, body)

    def _do(self, what: str, kind: int, body: bytes, flags: int = 0) -> None:
        try:
            self._link.request(kind, body, flags)
        except OSError as error:
            if error.errno not in _WITHOUT_EFFECT:
                raise OSError(error.errno, f"{what}: {error.strerror}") from error


def _index(device: str) -> int:
    """0: there is no such device."""
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return 0
