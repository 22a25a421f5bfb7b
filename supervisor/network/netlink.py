"""Requests to the kernel for links, addresses and routes, by rtnetlink(7); to be used from one thread only."""

from ipaddress import ip_network

from ...kernel.netlink import rtnetlink, wire
from ...kernel.netlink.netlink_socket import NetlinkSocket
from . import dumps, requests
from .device_routes import DeviceRoute
from .prefixes import Host
from .requests import Refused

# No route is added; nobody is asked for the address.
_ALONE = rtnetlink.IFA_F_NOPREFIXROUTE | rtnetlink.IFA_F_NODAD


class Netlink:
    """One netlink socket; every method but `close` raises Refused."""

    def __init__(self) -> None:
        self._link = NetlinkSocket()

    def close(self) -> None:
        """Close the socket."""
        self._link.close()

    def set_up(self, index: int, mtu: int) -> None:
        """Set the MTU and switch the link on."""
        body = rtnetlink.link(index, wire.u32(rtnetlink.IFLA_MTU, mtu), flags=rtnetlink.IFF_UP, change=rtnetlink.IFF_UP)
        requests.request(self._link, f"cannot set the link up with MTU {mtu}", rtnetlink.RTM_SETLINK, body)

    def set_down(self, index: int) -> bool:
        """Switch the link off, which removes its routes and IPv6 addresses; False if there is none."""
        body = rtnetlink.link(index, change=rtnetlink.IFF_UP)
        return requests.remove(self._link, "cannot set the link down", rtnetlink.RTM_SETLINK, body)

    def add_address(self, index: int, address: Host) -> None:
        """Set an address without a network, or find it set; raises IPv6Off where that is the reason.

        With a network, the kernel would add a route to it, and take its last address for every device's.
        """
        what = f"cannot set address {address}"
        requests.add(self._link, what, rtnetlink.RTM_NEWADDR, address.version, _address(index, address))

    def remove_address(self, index: int, address: Host) -> bool:
        """Remove an address; False if it was not there."""
        what = f"cannot remove address {address}"
        return requests.remove(self._link, what, rtnetlink.RTM_DELADDR, _address(index, address))

    def remove_all_addresses(self, index: int) -> None:
        """Remove all addresses; no effect if there is no such link."""
        what = "cannot remove the addresses"
        try:
            found = list(dumps.address_messages(self._link, index))
        except OSError as error:
            raise Refused(what, error) from error
        for one in found:
            requests.remove(self._link, what, rtnetlink.RTM_DELADDR, one.body)

    def add_route(self, index: int, route: DeviceRoute) -> bool:
        """Add a route; False if there is one to the same destination with the same metric, by whatever way.

        Raises IPv6Off where that is the reason.
        """
        what = f"cannot add route {route.destination}"
        return requests.add(self._link, what, rtnetlink.RTM_NEWROUTE, route.version, _route(index, route))

    def remove_route(self, index: int, route: DeviceRoute) -> bool:
        """Remove a route by this device, or past it; False if it was not there.

        The kernel compares the way and the protocol too, so it is no other than was added.
        """
        what = f"cannot remove route {route.destination}"
        return requests.remove(self._link, what, rtnetlink.RTM_DELROUTE, _route(index, route))


def _address(index: int, address: Host) -> bytes:
    packed = address.packed
    return rtnetlink.address(index, packed, 8 * len(packed), flags=_ALONE if address.version == 6 else 0)


def _route(index: int, route: DeviceRoute) -> bytes:
    network = ip_network(route.destination)
    gateway = source = b""
    flags = 0
    protocol = rtnetlink.RTPROT_STATIC
    if way := route.way:
        index, protocol = way.device, dumps.PAST
        if way.gateway is not None:
            gateway = way.gateway.packed
            flags = rtnetlink.RTNH_F_ONLINK if way.onlink else 0
    elif route.source is not None:
        protocol = rtnetlink.RTPROT_KERNEL  # what this service sets in place of the kernel
        source = route.source.packed if route.version == 4 else b""
    return rtnetlink.route(
        network.network_address.packed,
        network.prefixlen,
        device=index,
        protocol=protocol,
        scope=rtnetlink.RT_SCOPE_UNIVERSE if gateway or route.version == 6 else rtnetlink.RT_SCOPE_LINK,
        metric=route.metric,
        gateway=gateway,
        source=source,
        flags=flags,
    )
