"""Hands a descriptor to the service, as `ovpnctl exec` does, and prints the answer.

    hand_over.py SESSION WHAT

WHAT is file, datagrams (a socket that is none for network devices), machine (a socket in the machine's own network
namespace), own (one in a namespace of the caller's own), or nothing (no descriptor comes with the call).
"""

import asyncio
import ctypes
import os
import socket
import sys
import tempfile
from pathlib import Path

from dbus_fast import BusType, Message
from dbus_fast.aio import MessageBus

_SESSIONS = "net.openvpn.v3.sessions"
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def _descriptor(what: str) -> int:
    if what == "file":
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    if what == "datagrams":
        return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()
    if what == "own":
        uid, gid = os.getuid(), os.getgid()
        if ctypes.CDLL(None).unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
            sys.exit("no namespaces")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(text)
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE).detach()


async def _main(session: str, what: str) -> None:
    bus = await MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True).connect()
    handed = [_descriptor(what)] if what != "nothing" else []
    await bus.call(Message(_SESSIONS, session, _SESSIONS, "Ready"))  # it is known then
    enter = Message(
        _SESSIONS,
        session,
        f"{_SESSIONS}.namespace",
        "Enter",
        signature="hus",
        body=[0, os.getpid(), ""],
        unix_fds=handed,
    )
    reply = await bus.call(enter)
    assert reply is not None
    print(reply.error_name, reply.body)


asyncio.run(_main(*sys.argv[1:]))
