"""What the kernel tells of routes, addresses, links and rules, and that it keeps its own to itself."""

import asyncio
import socket
from pathlib import Path

from ....policy.limits import ROUTING_EVENTS_PAUSE
from ....supervisor.network.default_route.routing_events import RoutingEvents, no_routes_of_sessions
from ...support.isolated import DEADLINE, isolated, shell


def machine() -> None:
    for command in ("link add eth0 type veth peer name far0", "link set eth0 addrgenmode none up", "link set far0 up"):
        shell(f"ip {command}")


@isolated
async def test_changes_are_told(tmp_path: Path) -> None:
    machine()
    told = asyncio.Event()
    events = RoutingEvents(told.set)
    events.start()
    events.start()
    for command in (
        "route add default dev eth0",
        "route del default",
        "-6 route add default dev eth0",
        "address add 198.51.100.2/32 dev eth0",
        "-6 address add 2001:db8:5::2/128 dev eth0 nodad",
        "rule add pref 7 lookup 7",
        "-6 rule add pref 7 lookup 7",
        "rule del pref 7",
        "link set eth0 down",
    ):
        told.clear()
        shell(f"ip {command}")
        await told.wait()
    events.stop()
    events.stop()


@isolated
async def test_of_the_kernels_own_routes_only_default_ones_are_told(tmp_path: Path) -> None:
    machine()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as listening:
        no_routes_of_sessions(listening)
        listening.bind((0, 0x40 | 0x400))  # RTMGRP_IPV4_ROUTE, _IPV6_ROUTE
        listening.settimeout(DEADLINE)
        for network in ("198.18.1.0/24", "2001:db8:1::/64", "128.0.0.0/1", "default"):
            shell(f"ip route add {network} dev eth0 proto kernel")
        shell("ip route add 198.18.3.0/24 dev eth0 proto 118")
        shell("ip route add 198.18.2.0/24 dev eth0")
        shell("ip route del 198.18.1.0/24")
        shell("ip -6 route add default dev eth0 proto kernel")
        lengths = [listening.recv(65536)[17] for _ in range(3)]
        assert lengths == [0, 24, 0]
        listening.setblocking(False)
        try:
            raise AssertionError(listening.recv(65536))
        except BlockingIOError:
            pass


@isolated
async def test_a_storm_is_read_a_little_at_a_time(tmp_path: Path) -> None:
    """Nothing of it is missed in the end: the last change is told after it was made."""
    machine()
    calls = 0
    told = asyncio.Event()

    def changed() -> None:
        nonlocal calls
        calls += 1
        told.set()

    events = RoutingEvents(changed)
    events.start()
    many = [f"route add 198.18.{one // 250}.{one % 250}/32 dev eth0\n" for one in range(5000)]
    storm = await asyncio.create_subprocess_exec("ip", "-batch", "-", stdin=asyncio.subprocess.PIPE)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await storm.communicate("".join(many).encode())
    assert calls <= (loop.time() - began) / ROUTING_EVENTS_PAUSE + 2
    told.clear()
    shell("ip route add default dev eth0")
    await told.wait()
    events.stop()
