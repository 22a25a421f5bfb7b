"""Settings of devices for IPv6 that the kernel has in /proc/sys only.

Who has CAP_NET_ADMIN may write them, but a hardened service sees /proc/sys read-only.  So root takes that one directory
at the start, as a mount of its own that is mounted nowhere.
"""

import errno
import os

from ....kernel import mounts
from ...errors import SystemFailure

_DIRECTORY = "/proc/sys/net/ipv6/conf"  # of the network namespace of whoever looks


def take() -> int | None:
    """A descriptor of the directory, to be used for writing; None if the kernel does not let us, or has no IPv6.

    The former is so before Linux 5.12, and in containers without CAP_SYS_ADMIN.
    """
    try:
        return mounts.writable_copy(_DIRECTORY)
    except OSError:
        return None


def ignore_when_dead(device: str, directory: int | None) -> None:
    """Have the kernel skip a device's IPv6 routes while no process holds the device.

    `directory` is what `take` gave.  Raises SystemFailure.
    """
    name = f"{device}/ignore_routes_with_linkdown"
    try:
        file = os.open(
            f"{_DIRECTORY}/{name}" if directory is None else name, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory
        )
        try:
            os.write(file, b"1")
        finally:
            os.close(file)
    except OSError as error:
        if error.errno != errno.ENOENT:  # it has no IPv6
            raise SystemFailure(f"cannot write {name} in {_DIRECTORY}: {error.strerror}") from error
