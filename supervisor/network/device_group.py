"""Removing many devices by one request (rtnetlink(7)).

For each request the kernel waits until nobody uses what it removes, some 25 ms, whether that is one device or hundreds.
It removes all of a group; so devices are put into one that no other is in, chosen when they are removed: until then a
group may be what an administrator has given them.
"""

import errno
import secrets
from collections.abc import Mapping

from ...kernel.netlink import rtnetlink, wire
from ...kernel.netlink.netlink_socket import NetlinkSocket
from ..errors import SystemFailure
from . import dumps

_NO_GROUP = 0


def remove(devices: Mapping[int, str]) -> set[int]:
    """Remove those of these devices, names by indices, that no process has open; the indices of those that are gone.

    An engine whose device vanishes spins.  Raises SystemFailure, and none has been removed.
    """
    with dumps.questions() as link:
        there = {one.index: one for one in dumps.links(link)}
        unused = {
            index for index, name in devices.items() if (one := there.get(index)) and one.name == name and not one.open
        }
        if not unused:
            return set()
        group = _another_than({one.group for one in there.values()})
        members = set[int]()
        try:
            for index in unused:
                if _put(link, index, group):
                    members.add(index)
            found = [one for one in dumps.links(link) if one.group == group]
            if {one.index for one in found} - members or any(one.open for one in found):
                raise SystemFailure("somebody else uses one of them, or its group")
            if found:
                link.request(rtnetlink.RTM_DELLINK, _in_group(0, group))
        except BaseException:
            for index in members:
                _put(link, index, there[index].group)
            raise
        return members


def _put(link: NetlinkSocket, index: int, group: int) -> bool:
    """Put a device into a group; False if there is no such device any more.  Raises OSError."""
    try:
        link.request(rtnetlink.RTM_SETLINK, _in_group(index, group))
    except OSError as error:
        if error.errno == errno.ENODEV:
            return False
        raise
    return True


def _in_group(index: int, group: int) -> bytes:
    return rtnetlink.link(index, wire.u32(rtnetlink.IFLA_GROUP, group))


def _another_than(groups: set[int]) -> int:
    """The number of a group that is none of these, nor likely to be anybody's."""
    while (group := secrets.randbits(31)) in groups | {_NO_GROUP}:
        pass
    return group
