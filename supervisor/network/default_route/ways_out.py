"""The machine's ways out: its default routes, and the addresses of the devices that they go by."""

from collections.abc import Container

import msgspec

from ....kernel.netlink import rtnetlink
from .. import dumps
from ..prefixes import Host, Prefix


class WaysOut(msgspec.Struct, frozen=True):
    """What the devices have by which default routes of the main table go; of both versions, sorted."""

    addresses: tuple[Host, ...] = ()
    networks: tuple[Prefix, ...] = ()
    gateways: tuple[Host, ...] = ()
    devices: tuple[int, ...] = ()  # their indices


def look(sessions: Container[int]) -> WaysOut:
    """As they are, without the devices with the indices `sessions`.  Raises SystemFailure."""
    addresses, networks, gateways, devices = set[Host](), set[Prefix](), set[Host](), set[int]()
    with dumps.questions() as link:
        found: dict[int, list[tuple[Host, Prefix]]] = {}
        for index, local, network in dumps.addresses(link):
            if index not in sessions and not (local.is_link_local or local.is_loopback):
                found.setdefault(index, []).append((Host.of(local), network))
        for index, pairs in found.items():
            for route in dumps.routes(link, device=index):
                if route.kind != rtnetlink.RTN_UNICAST or route.destination.length:
                    continue
                if route.way is not None and route.way.gateway is not None:
                    gateways.add(route.way.gateway)
                devices.add(index)
                version = route.destination.version
                addresses |= {host for host, _ in pairs if host.version == version}
                networks |= {network for _, network in pairs if network.version == version}
    return WaysOut(tuple(sorted(addresses)), tuple(sorted(networks)), tuple(sorted(gateways)), tuple(sorted(devices)))
