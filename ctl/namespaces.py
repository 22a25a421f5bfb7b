"""Namespaces that an ordinary user makes: users, network, mounts; and going into them.

No privilege of the user's grows by them (user_namespaces(7)): what is privileged in there has power over these only.
"""

import os
import socket
from collections.abc import Sequence
from pathlib import Path

from ..kernel import privileges, process
from .exits import CommandError, CommandExit

_ALL = process.CLONE_NEWUSER | process.CLONE_NEWNET | process.CLONE_NEWNS
_SYSCTL = Path("/proc/sys")
# Switches that forbid user namespaces, each with the value that does, and what to do about it.
_SWITCHES = (
    ("user/max_user_namespaces", "0", "sysctl user.max_user_namespaces=10000"),
    ("user/max_net_namespaces", "0", "sysctl user.max_net_namespaces=10000"),
    ("user/max_mnt_namespaces", "0", "sysctl user.max_mnt_namespaces=10000"),
    ("kernel/unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
    (
        "kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "an AppArmor profile for ovpnctl that has the rule `userns,`, or sysctl "
        "kernel.apparmor_restrict_unprivileged_userns=0",
    ),
)


class NotThere(Exception):
    """A network namespace is not found."""


def make() -> None:
    """Go into new namespaces, with all capabilities there.  Raises CommandError."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        process.unshare(_ALL)
        # Nobody but this user is in there, under the same number: set-uid programs of others change nothing.
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(text, encoding="ascii")
    except OSError as error:
        raise forbidden(error) from error


def join(pids: Sequence[int], inode: int) -> None:
    """Go into the network namespace with this number, in which one of these processes is, and a new one of mounts.

    Raises NotThere if none of them is there, CommandError.
    """
    for pid in pids:
        try:
            users = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue  # it has ended
        if os.fstat(network).st_ino == inode:
            break
    else:
        raise NotThere
    if os.fstat(users).st_ino == Path("/proc/self/ns/user").stat().st_ino:
        hint = "ls -i /run/netns tells which; `ip netns exec` runs a command in there."
        raise CommandError("the session's device is in a named network namespace", CommandExit.REFUSED, hint)
    try:
        process.join(users, process.CLONE_NEWUSER)
        process.join(network, process.CLONE_NEWNET)
        process.unshare(process.CLONE_NEWNS)
    except OSError as error:
        raise forbidden(error) from error


def forbidden(error: OSError) -> CommandError:
    """The error that this machine does not let users have namespaces, with its reason as far as it is found."""
    found = [(name.replace("/", "."), advice) for name, value, advice in _SWITCHES if _read(name) == value]
    why = f": {found[0][0]} forbids it" if found else f" ({error.strerror})"
    hint = f"As root: {found[0][1]}" if found else "Inside a container or a sandbox, that has to allow it."
    text = (
        f"this machine does not let you make the namespaces that a command with the VPN as its only network needs{why}"
    )
    return CommandError(text, CommandExit.REFUSED, hint)


def _read(name: str) -> str:
    try:
        return (_SYSCTL / name).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def opened() -> list[int]:
    """Descriptors of the namespaces that this process is in, for `enter`."""
    return [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("user", "net", "mnt")]


def enter(descriptors: Sequence[int]) -> None:
    """Go into these namespaces, and leave all capabilities behind, for good.  Raises OSError, ConfinementError."""
    here = Path.cwd()
    kinds = (process.CLONE_NEWUSER, process.CLONE_NEWNET, process.CLONE_NEWNS)
    for descriptor, kind in zip(descriptors, kinds, strict=True):
        process.join(descriptor, kind)
    os.chdir(here)  # the same directory, in the new namespace of mounts
    privileges.run_steps(privileges.give_up_all())


def netlink_socket() -> socket.socket:
    """A socket by which the service knows the network namespace that this process is in."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
