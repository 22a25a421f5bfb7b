"""What the kernel tells of default routes, addresses, links and rules, and that it keeps other routes to itself."""

import asyncio
from pathlib import Path

from ....supervisor.network.routing_events import RoutingEvents
from ...support.isolated import isolated, shell


@isolated
async def test_changes_are_told_and_other_routes_are_not(tmp_path: Path) -> None:
    for command in ("link add eth0 type veth peer name far0", "link set eth0 addrgenmode none up", "link set far0 up"):
        shell(f"ip {command}")
    told = asyncio.Event()
    events = RoutingEvents(told.set)
    events.start()
    events.start()

    async def comes() -> None:
        await told.wait()
        told.clear()

    shell("ip route add default dev eth0")
    await comes()
    # What came of the devices before is over: now nothing is left but what follows.
    for version, network in ((4, "198.18.{}.0/24"), (6, "2001:db8:{}::/64")):
        for number in range(200):
            shell(f"ip -{version} route add {network.format(number)} dev eth0")
    await asyncio.sleep(0)  # the loop reads what there is
    quiet = not told.is_set()
    for command in (
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
        await comes()
    assert quiet
    events.stop()
    events.stop()
