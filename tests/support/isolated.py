"""A network for one test: namespaces of its own, and what is set in them."""

import asyncio
import contextlib
import ctypes
import fcntl
import functools
import json
import os
import signal
import socket
import struct
import subprocess
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import prctl
import pytest

from ...policy.network import Address, NetworkSettings, Route
from ...supervisor.logging.destinations import open_file
from ...supervisor.logging.log import Log
from ...supervisor.network.apply import Network
from ...supervisor.network.default_route.redirections import Terms
from ...supervisor.network.journal import Entry
from ...supervisor.record_file import RecordFile

UID = 60706
OWNER = 4001  # of the sessions
NOBODY = 65534
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
DEADLINE = 30  # seconds for a whole test

V4 = Address("198.18.0.2", 24)
V6 = Address("2001:db8::2", 64)
ROUTE = Route("203.0.113.0/24")
ROUTE_METRIC = Route("198.51.100.0/24", 77)
ROUTE6 = Route("2001:db8:1::/48", 55)
MANY_ROUTES = tuple(Route(f"10.{number >> 8}.{number & 255}.0/24") for number in range(1000))


def settings(
    *addresses: Address, routes: tuple[Route, ...] = (), mtu: int = 1400, server: str = "192.0.2.1"
) -> NetworkSettings:
    return NetworkSettings(mtu=mtu, addresses=addresses, routes=routes, server=server)


Body = Callable[[Path], Coroutine[Any, Any, None]]


def isolated(body: Body) -> Callable[[Path], None]:
    """Run an asynchronous test in a child process with its own network and mount namespaces."""

    @functools.wraps(body)
    def test(tmp_path: Path) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(DEADLINE)
                enter_namespaces()
                asyncio.run(body(tmp_path))
            except BaseException:
                os.write(writer, traceback.format_exc().encode()[-60000:])
                os._exit(1)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as errors:
            text = errors.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            pytest.fail(text or f"ended with {status}", pytrace=False)

    del test.__wrapped__  # pytest would look for fixtures in its signature
    return test


def enter_namespaces() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNET | CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
    shell("mount --make-rprivate /")
    shell("ip link set lo up")


def shell(command: str) -> str:
    return subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout


def link(device: str) -> dict[str, Any] | None:
    for row in json.loads(shell("ip -j link show")):
        if row["ifname"] == device:
            return dict(row)
    return None


def addresses(device: str) -> set[str]:
    rows = json.loads(shell(f"ip -j addr show dev {device}"))
    found = set()
    for info in rows[0]["addr_info"]:
        if info["scope"] != "link":
            peer = f" peer {info['address']}" if "address" in info else ""
            found.add(f"{info['local']}{peer}/{info['prefixlen']}")
    return found


def routes(device: str) -> dict[str, int]:
    """Destination and metric of the routes that were asked for, not of those to the networks of addresses."""
    return {row["dst"]: row.get("metric", 0) for row in _routes(device) if row["protocol"] == "static"}


def attached(device: str) -> set[str]:
    """The networks of its addresses to which there is a route."""
    return {row["dst"] for row in _routes(device) if row["protocol"] == "kernel"} - {"fe80::/64"}


def _routes(device: str) -> list[dict[str, Any]]:
    rows = json.loads(shell("ip -j route show")) + json.loads(shell("ip -j -6 route show"))
    return [row for row in rows if row["dev"] == device]


class Notices:
    """What a Network has for the logs of its sessions, as it comes."""

    def __init__(self, net: Network) -> None:
        self._said: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        net.on_notice = lambda session, text: self._said.put_nowait((session, text))

    async def next(self) -> tuple[str, str]:
        async with asyncio.timeout(DEADLINE):
            return await self._said.get()


def reaches(address: str, uid: int) -> bool:
    """Whether a process of this user can connect to a service of root's at an address of this machine."""
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(kind) as service:
        service.bind((address, 0))
        service.listen()
        child = os.fork()
        if child == 0:
            os.setresuid(uid, uid, uid)
            with contextlib.suppress(OSError), socket.socket(kind) as caller:
                caller.settimeout(DEADLINE)
                caller.connect(service.getsockname())
                os._exit(0)
            os._exit(1)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def network(directory: Path, *, public_networks: bool = True, **terms: Any) -> Network:
    """A new one, with these terms for the default route."""
    log = Log(6, [open_file(str(directory / "log"), colour=False)])
    log.start()
    chosen = Terms(**({"uids": range(UID, UID + 10)} | terms))
    return Network(directory / "journal", log, public_networks=public_networks, terms=chosen)


def journal(directory: Path) -> list[str]:
    """The devices that are recorded, as name and index."""
    file = RecordFile(directory / "journal" / "records")
    try:
        entries = [msgspec.json.decode(record or b"", type=Entry) for record in file.read().values()]
    finally:
        file.close()
    return sorted(f"{entry.name}-{entry.index}" for entry in entries)


def attach(device: str) -> int:
    """Hold a device as an engine does."""
    node = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(node, 0x400454CA, struct.pack("16sH22x", device.encode(), 0x1001))
    return node


def route_events() -> socket.socket:
    """A socket that gets what changes in addresses and routes."""
    events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    events.bind((0, 0x10 | 0x40 | 0x100 | 0x400))  # RTMGRP_IPV4_IFADDR, _ROUTE, RTMGRP_IPV6_IFADDR, _ROUTE
    return events


def let_settle(events: socket.socket, address: Address) -> None:
    """Wait until the kernel, which does so by itself a while later, has put an IPv6 address in place; forget events.

    Before that it counts as tentative (IFA_F_TENTATIVE), on devices without neighbours too.
    """
    tentative = 0x40
    events.settimeout(DEADLINE)
    while True:
        message = events.recv(65536)
        (kind,) = struct.unpack_from("=H", message, 4)
        family, flags = message[16], message[18]
        wanted = socket.inet_pton(socket.AF_INET6, address.local)
        if kind == 20 and family == socket.AF_INET6 and wanted in message and not flags & tentative:  # RTM_NEWADDR
            break
    # What belongs to the address comes under the same lock, which this takes too.
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    events.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while events.recv(65536):
            pass


def drop_to_nobody(*capabilities: int) -> None:
    prctl.capbset.limit(*capabilities)
    prctl.set_keepcaps(True)
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    prctl.cap_effective.limit(*capabilities)
    prctl.cap_permitted.limit(*capabilities)
    if prctl.CAP_NET_ADMIN in capabilities:
        prctl.cap_effective.net_admin = True
