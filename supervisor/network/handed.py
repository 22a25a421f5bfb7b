"""A network namespace as handed to this service, a user's or a named one: by a netlink socket that was opened in it.

By the socket the kernel tells which namespace it is, and the device is brought back: requests that go by it are of that
namespace, and the right to make them is this process's, not its opener's, where they are addressed to the kernel
(netlink_ns_capable in the kernel's net/netlink/af_netlink.c).  Its opener may have it too, so no answer that comes by
it counts.
"""

import array
import fcntl
import os
import socket
import struct
from pathlib import Path

from ...kernel.netlink import rtnetlink, wire
from ...kernel.netlink.netlink_socket import NetlinkSocket
from ..closing import close_elsewhere
from ..errors import InvalidValue, SystemFailure
from . import requests

# linux/nsfs.h, linux/sockios.h, linux/sched.h, linux/socket.h
_NS_GET_USERNS, _NS_GET_NSTYPE, _NS_GET_OWNER_UID = 0xB701, 0xB703, 0xB704
_SIOCGSKNS = 0x894C
_CLONE_NEWNET = 0x40000000
_SO_PROTOCOL, _SO_DOMAIN = 38, 39

_NO_GROUP = 0
_NUMBER = struct.Struct("=I")
_TO_KERNEL = (0, 0)
_MACHINES = "The network namespace is the machine's, not one that you have made"
_OWN_USERS, _OWN_NETWORK = Path("/proc/self/ns/user"), Path("/proc/self/ns/net")


class DeviceGone(SystemFailure):
    """A device that was in a user's namespace is there no longer, or another one has its name."""


class HandedNamespace:
    """A network namespace that a user has power over; its methods but `close` take as long as a removal of a device."""

    def __init__(self, handed: int, uid: int) -> None:
        """Take over the descriptor.  Raises InvalidValue unless it is such a socket, in a namespace of user `uid`'s."""
        try:
            self._network = _namespace_of(handed, uid)
        except BaseException:
            close_elsewhere([handed])
            raise
        self._socket = socket.socket(fileno=handed)
        self.uid = uid
        self.inode = os.fstat(self._network).st_ino  # no other namespace has it while this one is there

    def close(self) -> None:
        """Let go of it: with its last process it ends then."""
        self._socket.close()
        os.close(self._network)

    def move_in(self, index: int) -> None:
        """Move a device of this machine's into it.  Raises SystemFailure; then it has stayed."""
        what = "cannot move the device into the user's network namespace"
        body = rtnetlink.link(index, wire.u32(rtnetlink.IFLA_NET_NS_FD, self._network))
        with NetlinkSocket() as link:
            requests.request(link, what, rtnetlink.RTM_SETLINK, body)

    def bring_back(self, name: str, uid: int) -> int:
        """Bring the tun device of this name, which user `uid` may open, back to this machine; its index there.

        Raises DeviceGone: its owner's user has power over it there.
        """
        index = _look(name, uid, self.number())
        # Another one of its name, made at the same moment and with the same index, does not stay.
        with _OWN_NETWORK.open("rb") as own:
            namespace = wire.u32(rtnetlink.IFLA_NET_NS_FD, own.fileno())
            body = rtnetlink.link(index, namespace, wire.text(rtnetlink.IFLA_IFNAME, name))
            message = wire.pack(rtnetlink.RTM_SETLINK, wire.NLM_F_REQUEST, body)
            try:
                self._socket.sendto(message, socket.MSG_DONTWAIT, _TO_KERNEL)
            except OSError as error:
                raise DeviceGone(f"{name} could not be brought back to this machine: {error.strerror}") from error
        try:
            return _look(name, uid, None)
        except DeviceGone:
            _delete(name)
            raise

    def number(self) -> int:
        """The number by which this process's namespace knows it, as long as it is there.  Raises DeviceGone."""
        try:
            with NetlinkSocket() as link:
                if (found := self._number(link)) == rtnetlink.NETNSA_NSID_NOT_ASSIGNED:
                    link.request(rtnetlink.RTM_NEWNSID, self._named(wire.s32(rtnetlink.NETNSA_NSID, found)))
                    found = self._number(link)
        except OSError as error:
            raise DeviceGone(f"the user's network namespace cannot be found: {error.strerror}") from error
        return found

    def _named(self, more: bytes = b"") -> bytes:
        return rtnetlink.RTGENMSG.pack(socket.AF_UNSPEC) + more + wire.u32(rtnetlink.NETNSA_FD, self._network)

    def _number(self, link: NetlinkSocket) -> int:
        answer = link.ask(rtnetlink.RTM_GETNSID, self._named())
        _, attributes = wire.parse(answer.body, rtnetlink.RTGENMSG)
        return attributes.s32(rtnetlink.NETNSA_NSID, rtnetlink.NETNSA_NSID_NOT_ASSIGNED)


class LeftNamespace:
    """One of which an earlier instance has left the number: what is in there can be seen, but not brought back."""

    def __init__(self, number: int, inode: int = 0, uid: int = 0) -> None:
        self.number = number
        self.inode = inode
        self.uid = uid

    def close(self) -> None:
        """Nothing is held of it."""

    def has(self, name: str, uid: int) -> bool:
        """Whether the tun device of this name, which user `uid` may open, is in there."""
        try:
            _look(name, uid, self.number)
        except DeviceGone:
            return False
        return True

    def remove(self, name: str, uid: int) -> None:
        """Remove that device, if it is there."""
        try:
            index = _look(name, uid, self.number)
            with NetlinkSocket() as link:
                link.request(rtnetlink.RTM_DELLINK, rtnetlink.link(index, _where(self.number)))
        except (DeviceGone, OSError):
            pass  # it is gone, with the namespace perhaps


def _where(number: int) -> bytes:
    return wire.s32(rtnetlink.IFLA_TARGET_NETNSID, number)


def _look(name: str, uid: int, number: int | None) -> int:
    """The index of the tun device with this name that user `uid` may open; with `number`, in that namespace.

    Raises DeviceGone.
    """
    question = rtnetlink.link(0, _where(number) if number is not None else b"", wire.text(rtnetlink.IFLA_IFNAME, name))
    try:
        with NetlinkSocket() as link:
            answer = link.ask(rtnetlink.RTM_GETLINK, question)
        (_, _, index, _, _), found = wire.parse(answer.body, rtnetlink.IFINFOMSG)
        info = found.nested(rtnetlink.IFLA_LINKINFO)
        kind = info.text(rtnetlink.IFLA_INFO_KIND)
        owner = info.nested(rtnetlink.IFLA_INFO_DATA).get(rtnetlink.IFLA_TUN_OWNER) if kind == "tun" else None
    except OSError as error:
        raise DeviceGone(f"{name} is not there: {error.strerror}") from error
    # Nobody but this service can give a device to such a user: in a user's namespace that is no user.
    if owner != _NUMBER.pack(uid):
        raise DeviceGone(f"{name} is another device")
    # By both, others on this machine would take it for a device of theirs, or could not make one.
    if rtnetlink.IFLA_PROP_LIST in found or found.get(rtnetlink.IFLA_GROUP) != _NUMBER.pack(_NO_GROUP):
        raise DeviceGone(f"{name} was given other names or a group by its user")
    return int(index)


def _namespace_of(handed: int, uid: int) -> int:
    """A descriptor of the network namespace that a netlink socket is in, which has to be user `uid`'s.

    Raises InvalidValue.
    """
    # Not by fstat(2), which may ask who serves the file.
    if not str(Path(f"/proc/self/fd/{handed}").readlink()).startswith("socket:"):
        raise InvalidValue("The descriptor is no socket: hand over a netlink socket that was opened in the namespace")
    try:
        options = [_option(handed, one) for one in (_SO_DOMAIN, _SO_PROTOCOL)]
    except OSError as error:
        raise InvalidValue(f"The descriptor is no socket: {error.strerror}") from error
    if options != [socket.AF_NETLINK, socket.NETLINK_ROUTE]:
        raise InvalidValue("The descriptor is no socket for network devices (AF_NETLINK, NETLINK_ROUTE)")
    try:
        network = fcntl.ioctl(handed, _SIOCGSKNS)
    except OSError as error:
        raise InvalidValue(f"The kernel does not tell whose network namespace it is: {error.strerror}") from error
    try:
        if fcntl.ioctl(network, _NS_GET_NSTYPE) != _CLONE_NEWNET:
            raise InvalidValue("The descriptor is of no network namespace")
        _check_owner(network, uid)
    except BaseException:
        os.close(network)
        raise
    return network


def _check_owner(network: int, uid: int) -> None:
    """Raise InvalidValue unless a network namespace belongs to a user namespace of user `uid`'s.

    Root may have any of this machine's, but for the one that this service is in.
    """
    if os.fstat(network).st_ino == _OWN_NETWORK.stat().st_ino:
        raise InvalidValue(_MACHINES)
    try:
        users = fcntl.ioctl(network, _NS_GET_USERNS)
    except OSError as error:  # EPERM: it is outside of this process's
        raise InvalidValue(f"The network namespace is not yours: {error.strerror}") from error
    try:
        if os.fstat(users).st_ino == _OWN_USERS.stat().st_ino:
            if uid == 0:
                return
            raise InvalidValue(_MACHINES)
        owner = array.array("I", [0])
        fcntl.ioctl(users, _NS_GET_OWNER_UID, owner)
        if owner[0] != uid:
            raise InvalidValue("The network namespace belongs to another user")
    finally:
        os.close(users)


def _option(handed: int, option: int) -> int:
    with socket.socket(fileno=os.dup(handed)) as same:
        return same.getsockopt(socket.SOL_SOCKET, option)


def _delete(name: str) -> None:
    """Remove what came back in place of the device; if it cannot be, the log says that the device is gone anyway."""
    try:
        found = socket.if_nametoindex(name)
        with NetlinkSocket() as link:
            link.request(rtnetlink.RTM_DELLINK, rtnetlink.link(found))
    except OSError:
        pass
