"""What an instance of the service that was killed has left in the kernel."""

from collections.abc import Mapping
from types import MappingProxyType

from ...policy.dbus_numbers import LogGroup
from ..logging.log import Log
from . import machine, tun
from .addressing import Addressing
from .device_routes import DeviceRoute
from .handed import LeftNamespace
from .journal import DeviceJournal, Entry, MarkedEntry, RulesEntry, current_namespace
from .netlink import Netlink

NOBODY: Mapping[str, int] = MappingProxyType({})


def clear_leftovers(
    journal: DeviceJournal,
    netlink: Netlink,
    addressing: Addressing,
    log: Log,
    owners: Mapping[str, int] = NOBODY,
) -> list[Entry]:
    """Undo what is noted in the journal; devices are returned, to be removed.

    Those of `owners` are taken over, for these owners of their sessions.  To be used in the network's thread.  Raises
    SystemFailure.
    """
    left, rules, marked = [], list[RulesEntry](), list[MarkedEntry]()
    entries = list(journal.entries())
    some_past = any(entry.ways for entry in entries if isinstance(entry, Entry))
    past = machine.routes_past() if some_past else []
    going_on = {
        entry.name: entry
        for entry in entries
        if isinstance(entry, Entry)
        and entry.name in owners
        and entry.namespace == current_namespace()
        and tun.index_of(entry.name) == entry.index
    }
    away = [entry for entry in entries if isinstance(entry, Entry) and _is_away(entry)]
    for gone in away:
        if gone.name in owners and LeftNamespace(gone.away).has(gone.name, gone.uid):
            addressing.add(gone, owners[gone.name])
        else:
            LeftNamespace(gone.away).remove(gone.name, gone.uid)
            journal.remove(gone)
    kept_ways = {way for device in going_on.values() for way in device.ways}
    for device in going_on.values():
        addressing.take_over(device, owners[device.name], [one for one in past if one[2] in device.ways])
        addressing.returned(device.name, device.index)  # one that was about to go to another network namespace
    for entry in entries:
        if isinstance(entry, str):
            log.warn(entry, group=LogGroup.NETCFG)
        elif isinstance(entry, RulesEntry):
            rules.append(entry)
        elif isinstance(entry, MarkedEntry):
            marked.append(entry)
        elif going_on.get(entry.name) is entry or entry in away:
            pass
        elif entry.namespace != current_namespace():
            journal.remove(entry)
        else:
            for destination, metric, way in past:
                if way in entry.ways and way not in kept_ways:
                    netlink.remove_route(entry.index, DeviceRoute(str(destination), metric, way=way))
            if (index := tun.index_of(entry.name)) != entry.index:
                if index:
                    log.warn(f"{entry.name} is another device now, and left alone", group=LogGroup.NETCFG)
                journal.remove(entry)
                continue
            left.append(entry)
    for noted in rules:
        if noted.namespace == current_namespace():
            if going_on and addressing.take_over_rules(noted):
                continue
            addressing.undo(noted)
            log.warn("Removed the default route of an earlier instance", group=LogGroup.NETCFG)
        journal.remove(noted)
    for one in marked:
        if going_on:
            addressing.take_over_marked(one)
        else:
            addressing.undo_marked(one)
    return left


def _is_away(entry: Entry) -> bool:
    """Whether a device is in another network namespace, or may have gone with it; not if it never got there."""
    return entry.away >= 0 and entry.namespace == current_namespace() and tun.index_of(entry.name) != entry.index
