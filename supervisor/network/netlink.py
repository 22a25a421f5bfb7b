"""Links, addresses and routes, through pyroute2's synchronous interface.

To be used from one thread only, one without an event loop.  pyroute2 is imported there at first use: it takes
5 MB and 60 ms, which a supervisor that only lists sessions need not spend.
"""

import errno
import importlib.util
import os
import socket
import sys
from types import ModuleType
from typing import Any

from ..errors import SystemFailure
from . import dumps
from .device_routes import DeviceRoute
from .prefixes import Host, Prefix

IPV6_IS_OFF = {
    errno.EACCES,
    errno.EOPNOTSUPP,
    errno.EAFNOSUPPORT,
}  # what disable_ipv6, and no IPv6 at all, give
GONE = {errno.ENODEV, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL, errno.ENETDOWN}


class Refused(SystemFailure):
    """The kernel refused a request, with this errno."""

    def __init__(self, what: str, number: int) -> None:
        super().__init__(f"{what}: {os.strerror(number)}")
        self.errno = number


class IPv6Off(SystemFailure):
    """IPv6 is switched off on this machine or device."""


_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_KERNEL = 2  # RTPROT_KERNEL: what this service sets in place of the kernel
_ONLINK = 0x4  # RTNH_F_ONLINK
_LINK = 253  # RT_SCOPE_LINK: there is no gateway
_ALONE = 0x200 | 0x2  # IFA_F_NOPREFIXROUTE: no route is added; IFA_F_NODAD: nobody is asked for the address


class Netlink:
    """One netlink socket; every method raises Refused, or SystemFailure if there is no answer at all."""

    def __init__(self) -> None:
        self._ip: Any = None

    def open(self) -> None:
        """Import pyroute2 and open the socket, which the first request does otherwise."""
        if self._ip is None:
            try:
                self._ip = _import_iproute()()
            except OSError as error:
                raise SystemFailure(f"cannot ask the kernel: {error.strerror}") from error

    def close(self) -> None:
        """Close the socket."""
        if self._ip is not None:
            self._ip.close()
            self._ip = None

    def set_up(self, index: int, mtu: int) -> None:
        """Set the MTU and switch the link on."""
        self._request(f"cannot set the link up with MTU {mtu}", "link", "set", index=index, mtu=mtu, state="up")

    def set_down(self, index: int) -> bool:
        """Switch the link off, which removes its routes and IPv6 addresses; False if there is none."""
        return self._remove("cannot set the link down", "link", "set", index=index, state="down")

    def add_address(self, index: int, address: Host) -> None:
        """Set an address without a network, or find it set; raises IPv6Off where that is the reason.

        With a network, the kernel would add a route to it, and take its last address for every device's.
        """
        self._add(f"cannot set address {address}", "addr", _address(index, address))

    def remove_address(self, index: int, address: Host) -> bool:
        """Remove an address; False if it was not there."""
        return self._remove(f"cannot remove address {address}", "addr", "del", **_address(index, address))

    def remove_all_addresses(self, index: int) -> None:
        """Remove all addresses."""
        self._request("cannot remove the addresses", "flush_addr", index=index)

    def add_route(self, index: int, route: DeviceRoute) -> bool:
        """Add a route; False if there is one to the same destination with the same metric, by whatever way.

        Raises IPv6Off where that is the reason.
        """
        return self._add(f"cannot add route {route.destination}", "route", _route(index, route))

    def remove_route(self, index: int, route: DeviceRoute) -> bool:
        """Remove a route by this device, or past it; False if it was not there.

        The kernel compares the way and the protocol too, so it is no other than was added.
        """
        return self._remove(f"cannot remove route {route.destination}", "route", "del", **_route(index, route))

    def _add(self, what: str, method: str, fields: dict[str, Any]) -> bool:
        try:
            self._request(what, method, "add", **fields)
        except Refused as refused:
            if refused.errno == errno.EEXIST:
                return False
            if refused.errno in IPV6_IS_OFF and fields["family"] == socket.AF_INET6:
                raise IPv6Off(str(refused)) from refused
            raise
        return True

    def _remove(self, what: str, method: str, command: str, **fields: Any) -> bool:
        try:
            self._request(what, method, command, **fields)
        except Refused as refused:
            if refused.errno in GONE:
                return False
            raise
        return True

    def _request(self, what: str, method: str, *command: str, **fields: Any) -> None:
        self.open()
        from pyroute2.netlink.exceptions import NetlinkError

        try:
            getattr(self._ip, method)(*command, **fields)
        except NetlinkError as error:
            raise Refused(what, error.code) from error
        except OSError as error:
            self.close()  # the next request gets a fresh socket
            raise SystemFailure(f"{what}: {error}") from error


def _import_iproute() -> Any:
    """pyroute2's IPRoute, without the rest of pyroute2.

    Importing the package runs its __init__, which loads everything in it: twice the memory (11 instead of 5 MB) for
    what this service never uses. A package object that only knows where its modules are does not.
    """
    if "pyroute2" not in sys.modules:
        spec = importlib.util.find_spec("pyroute2")
        if spec is None or spec.submodule_search_locations is None:
            raise SystemFailure("pyroute2 is not installed")
        package = ModuleType("pyroute2")
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules["pyroute2"] = package
    return importlib.import_module("pyroute2.iproute.linux").IPRoute


def _address(index: int, address: Host) -> dict[str, Any]:
    fields: dict[str, Any] = {"index": index, "family": _FAMILIES[address.version], "address": str(address)}
    fields["prefixlen"] = Prefix.alone(address).length
    if address.version == 6:
        fields["flags"] = _ALONE
    return fields


def _route(index: int, route: DeviceRoute) -> dict[str, Any]:
    fields: dict[str, Any] = {"dst": route.destination, "oif": index, "family": _FAMILIES[route.version]}
    if route.metric:
        fields["priority"] = route.metric
    if way := route.way:
        fields |= {"oif": way.device, "proto": dumps.PAST}
        if way.gateway is not None:
            fields["gateway"] = str(way.gateway)
            if way.onlink:
                fields["flags"] = _ONLINK
            return fields
    if route.source is not None:
        fields["proto"] = _KERNEL
    if route.version == 4:
        fields["scope"] = _LINK
        if route.source is not None:
            fields["prefsrc"] = str(route.source)
    return fields
