"""The network in a namespace: the session's device as the service says, and everything through it."""

import errno
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

_PING_GROUPS = Path("/proc/sys/net/ipv4/ping_group_range")
_NODAD = 0x2  # IFA_F_NODAD: nobody is asked for the address
_LINK = 253  # RT_SCOPE_LINK: addresses that the kernel sets by itself
_EVERYTHING = ("0.0.0.0/0", "::/0")
# It is set already; and what the kernel says where IPv6 is off.
_WITHOUT_EFFECT = (errno.EEXIST, errno.EACCES, errno.EOPNOTSUPP, errno.EAFNOSUPPORT)


class InnerNetwork:
    """The network namespace that this process is in, with all capabilities there."""

    def __init__(self, gid: int | None) -> None:
        """Switch the loopback device on, and let this group, if any, use ping without a capability (icmp(7))."""
        # Imported here: nothing else of ovpnctl needs it, and it takes as long as all the rest.
        from pyroute2 import IPRoute

        self._ip = IPRoute()
        [loopback] = self._ip.link_lookup(ifname="lo")
        self._ip.link("set", index=loopback, state="up")
        self._device = ("", 0)  # name and index
        if gid is not None:
            with suppress(OSError):  # a sandbox may have it read-only
                _PING_GROUPS.write_text(f"{gid} {gid}", encoding="ascii")

    def set(self, device: str, network: Mapping[str, Any]) -> None:
        """Set what the service says, in place of what was set before; no effect if the device is not here.

        Raises OSError.
        """
        found = self._ip.link_lookup(ifname=device)
        if not found or not network:
            return
        [index] = found
        self._device = (device, index)
        self._ip.link("set", index=index, mtu=network["mtu"], state="up")
        wanted = {local: (prefix, peer or local) for local, prefix, peer in network["addresses"]}
        for one in self._ip.get_addr(index=index):
            other = one.get_attr("IFA_ADDRESS")
            local = one.get_attr("IFA_LOCAL") or other
            # What is right stays: without it, connections would find no way for a moment.
            if wanted.get(local) != (one["prefixlen"], other) and one["scope"] != _LINK:
                self._do(
                    "addr", "del", index=index, family=one["family"], local=local, address=other, mask=one["prefixlen"]
                )
        for local, (prefix, other) in wanted.items():
            family = _family(local)
            flags = {"flags": _NODAD} if family == socket.AF_INET6 else {}
            self._do("addr", "add", index=index, family=family, local=local, address=other, mask=prefix, **flags)
        families = {_family(local) for local in wanted}
        for destination, metric in [*((one, 0) for one in _EVERYTHING), *network["routes"]]:
            if (family := _family(destination)) in families:
                priority = {"priority": metric} if metric else {}
                self._do("route", "replace", family=family, dst=destination, oif=index, **priority)

    def remove(self) -> None:
        """Remove the device that was set, if it is here.  Raises OSError."""
        device, index = self._device
        if index and self._ip.link_lookup(ifname=device) == [index]:
            self._do("link", "del", index=index)

    def _do(self, method: str, command: str, **fields: Any) -> None:
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            getattr(self._ip, method)(command, **fields)
        except NetlinkError as error:
            if error.code not in _WITHOUT_EFFECT:
                raise OSError(error.code, f"{command} {method}: {os.strerror(error.code)}") from error


def _family(text: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in text else socket.AF_INET
