"""Persistent tun devices (the kernel's Documentation/networking/tuntap.rst).

A device is made and removed through a node like /dev/net/tun, which hardened systems let root alone open.  So root
makes one at the start, on a file system that is mounted nowhere; it is found by the descriptor of its directory.
"""

import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable, Container
from contextlib import ExitStack
from pathlib import Path

from ...kernel import mounts
from ..errors import SystemFailure

NODE = Path("/dev/net/tun")
DEVICE = os.makedev(10, 200)  # the kernel's admin-guide/devices.txt
_OWN = "tun"  # the name of a node of our own

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_TUNSETPERSIST = 0x400454CB
_TUNSETOWNER = 0x400454CC
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_IFF_TUN_EXCL = 0x8000  # fails where there is such a device, which else would be attached
_IFREQ = struct.Struct("16sH22x")

_NAME_NOT_FREE = (errno.EBUSY, errno.EEXIST, errno.EINVAL)

_HELP = {
    errno.ENOENT: "the kernel module is not loaded (modprobe tun)",
    errno.ENODEV: "the kernel module is not loaded (modprobe tun)",
    errno.ENXIO: "the kernel module is not loaded (modprobe tun)",
    errno.EACCES: "let all users open it (chmod 0666 /dev/net/tun), or let the service make a node of its own "
    "(CAP_MKNOD; systemd: DeviceAllow=/dev/char/10:200 rwm)",
    errno.EPERM: "the sandbox or container of this service forbids it (systemd: DeviceAllow=/dev/char/10:200 rwm)",
}


class DeviceBusy(SystemFailure):
    """A process still holds the device."""


def make_own_node() -> int | None:
    """A directory with a node that every user may open, as a descriptor; None if the kernel does not let us.

    That is so before Linux 5.2, and in containers without CAP_MKNOD.
    """
    try:
        directory = mounts.mount_nowhere("tmpfs", {"mode": "0755", "size": "4k"}, mounts.MS_NOSUID | mounts.MS_NOEXEC)
    except OSError:
        return None
    try:
        os.mknod(_OWN, stat.S_IFCHR | 0o666, DEVICE, dir_fd=directory)
        os.chmod(_OWN, 0o666, dir_fd=directory)  # the umask took bits away
    except OSError:
        os.close(directory)
        return None
    return directory


def index_of(name: str) -> int | None:
    """The interface index of a device, None if there is no such device."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def exists(index: int) -> bool:
    """Whether there is a device with this index, whatever its name by now."""
    try:
        socket.if_indextoname(index)
    except OSError:
        return False
    return True


def create(
    uid: int,
    taken: Container[str],
    announce: Callable[[str, int], None],
    directory: int | None = None,
    wanted: str = "",
) -> tuple[str, int]:
    """Make a tun device that user `uid` may open, and return its name, not one of `taken`, and its index.

    It is named `wanted`, if no other device of any kind is; else the kernel names it.  `announce` is called with name
    and index before the device becomes one that outlives this process; if it raises, the device is gone again.
    `directory` is what `make_own_node` gave.  Raises SystemFailure.
    """
    with ExitStack() as unwanted:  # open until the end, so that the kernel does not choose their names again
        while True:
            node = _opened(directory)
            unwanted.callback(os.close, node)
            try:
                name = _attach_new(node, wanted)
                if name in taken:
                    wanted = ""
                    continue
                index = socket.if_nametoindex(name)
                announce(name, index)
                fcntl.ioctl(node, _TUNSETOWNER, uid)
                fcntl.ioctl(node, _TUNSETPERSIST, 1)
                return name, index
            except OSError as error:
                reason = "CAP_NET_ADMIN is missing" if error.errno == errno.EPERM else error.strerror or error
                raise SystemFailure(f"cannot make a tun device: {reason}") from error


def destroy(name: str, index: int, directory: int | None = None) -> None:
    """Remove the device `name` if it still is the one with `index`; the kernel takes some 25 ms for it.

    Raises DeviceBusy if a process has it open (an engine whose device vanishes spins), else SystemFailure.
    """
    if index_of(name) != index:
        return
    node = _opened(directory)
    try:
        _attach(node, name)
        # Had it been removed meanwhile, attaching has made a new one, which goes when the node is closed.
        if index_of(name) == index:
            fcntl.ioctl(node, _TUNSETPERSIST, 0)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise DeviceBusy(f"{name} is still in use") from error
        raise SystemFailure(f"cannot remove {name}: {error.strerror}") from error
    finally:
        os.close(node)


def _opened(directory: int | None) -> int:
    path = NODE if directory is None else _OWN
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
    except OSError as error:
        help_text = _HELP.get(error.errno or 0, error.strerror)
        raise SystemFailure(f"cannot open {NODE}: {help_text}") from error


def _attach_new(node: int, wanted: str) -> str:
    """Attach a device that was not there before: `wanted`, if that is the name of no other, or any."""
    if wanted:
        try:
            return _attach(node, wanted, _IFF_TUN_EXCL)
        except OSError as error:
            if error.errno not in _NAME_NOT_FREE:
                raise
    return _attach(node, "tun%d")


def _attach(node: int, name: str, flags: int = 0) -> str:
    answer = fcntl.ioctl(node, _TUNSETIFF, _IFREQ.pack(name.encode(), _IFF_TUN | _IFF_NO_PI | flags))
    encoded: bytes = _IFREQ.unpack(answer)[0]
    return encoded.rstrip(b"\0").decode()
