"""Routes past the tunnel, on the real kernel: made as the machine sends by itself, and undone."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

from ....policy.limits import MAX_WAYS
from ....policy.network import Address, Route
from ....supervisor.network.dumps import PAST
from ....supervisor.network.journal import Entry
from ....supervisor.network.prefixes import Host, Way
from ....supervisor.record_file import RecordFile
from ...support.isolated import (
    OWNER,
    ROUTE,
    ROUTE6,
    UID,
    V4,
    V6,
    Notices,
    attach,
    isolated,
    journal,
    link,
    network,
    route_events,
    routes,
    settings,
    shell,
)

HOST, HOST6 = "203.0.113.9", "2001:db8:1::9"
PAST_ROUTE, PAST_ROUTE6 = Route(f"{HOST}/32", past=True), Route(f"{HOST6}/128", past=True)


def machine_with_gateways() -> None:
    """A machine on a LAN, with a gateway of each family."""
    for command in ("link add lan type veth peer name far", "link set lan up", "link set far up",
                    "address add 192.0.2.130/25 dev lan", "address add 2001:db8:7::1/64 dev lan nodad",
                    "route add default via 192.0.2.129 dev lan",
                    "-6 route add default via 2001:db8:7::ff dev lan"):  # fmt: skip
        shell(f"ip {command}")


def way_to(address: str) -> tuple[str, str]:
    """Device and gateway by which the machine sends there."""
    [found] = json.loads(shell(f"ip -j route get {address}"))
    return found["dev"], found.get("gateway", "")


def all_routes() -> set[str]:
    """Every route of the main table; without link-local ones, which the kernel makes a while after the device."""
    shown = shell("ip -4 route show") + shell("ip -6 route show")
    return {" ".join(line.split()) for line in shown.splitlines() if not line.startswith("fe80:")}


def past() -> dict[str, int]:
    """Destination and metric of the routes that are marked as past a tunnel."""
    shown = [json.loads(shell(f"ip -j {family} route show proto {PAST}")) for family in ("-4", "-6")]
    return {row["dst"]: row.get("metric", 0) for rows in shown for row in rows}


@isolated
async def test_they_go_by_the_machines_gateways_and_are_undone(tmp_path: Path) -> None:
    machine_with_gateways()
    before = all_routes()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    wanted = (ROUTE, ROUTE6, PAST_ROUTE, PAST_ROUTE6, Route("203.0.113.64/26", 77, True))
    assert await net.apply(device, settings(V4, V6, routes=wanted)) == []
    assert past() == {HOST: 0, HOST6: 1024, "203.0.113.64/26": 77}
    assert way_to(HOST) == way_to("203.0.113.70") == ("lan", "192.0.2.129")
    assert way_to(HOST6) == ("lan", "2001:db8:7::ff")
    assert way_to("203.0.113.10")[0] == way_to("2001:db8:1::10")[0] == device

    # With the last address of a family the kernel drops the device's routes, but not those past it.
    assert await net.apply(device, settings(Address("198.18.0.3", 24), routes=(ROUTE, PAST_ROUTE))) == []
    assert past() == {HOST: 0}
    await net.clear(device)
    assert past() == {}
    await net.apply(device, settings(V4, routes=(PAST_ROUTE,)))
    await net.delete_device(device)
    assert all_routes() == before
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_they_go_as_the_machine_would_send_by_itself(tmp_path: Path) -> None:
    machine_with_gateways()
    shell("ip route add 10.0.0.0/8 via 192.0.2.200")
    shell("ip route add 10.0.0.0/8 via 192.0.2.201 metric 5")
    shell("ip route add 100.64.0.0/16 dev lan")
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    asked = (
        *("10.1.0.0/16", "10.0.0.0/9", "172.16.0.0/12"),
        *("192.0.2.128/25", "192.0.2.200/32", "100.64.7.0/24", "2001:db8:7::/64"),  # not needed
    )
    assert await net.apply(device, settings(V4, routes=tuple(Route(one, past=True) for one in asked))) == []
    assert past() == {"10.1.0.0/16": 0, "10.0.0.0/9": 0, "172.16.0.0/12": 0}
    assert way_to("10.1.0.1") == way_to("10.2.0.1") == ("lan", "192.0.2.200")
    assert way_to("172.16.0.1") == ("lan", "192.0.2.129")
    await net.delete_device(device)
    await net.close()


@isolated
async def test_a_machine_without_a_gateway(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    none = "this machine has no route by which it would send there"
    assert await net.apply(device, settings(V4, routes=(PAST_ROUTE, PAST_ROUTE6, ROUTE))) == [
        f"route {HOST}/32 past the tunnel is left out: {none}",
        f"route {HOST6}/128 past the tunnel is left out: {none}",
    ]
    assert routes(device) == {"203.0.113.0/24": 0}
    await net.close()


@isolated
async def test_gateways_of_other_kinds(tmp_path: Path) -> None:
    shell("ip link add lan type veth peer name far")
    shell("ip link set lan up")
    shell("ip link set far up")
    shell("ip address add 192.0.2.130/32 dev lan")
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    # A gateway outside the machine's networks, as some clouds have, and a line without any.
    for default, gateway in (("via 198.51.100.1 dev lan onlink", "198.51.100.1"), ("dev lan", "")):
        shell(f"ip route replace default {default}")
        assert await net.apply(device, settings(V4, routes=(ROUTE, PAST_ROUTE))) == []
        assert way_to(HOST) == ("lan", gateway)
        assert past() == {HOST: 0}
    # Of IPv6, routers tell their link-local address.
    shell("ip address add 2001:db8:7::1/64 dev lan nodad")
    shell("ip -6 route add default via fe80::99 dev lan")
    assert await net.apply(device, settings(V4, V6, routes=(ROUTE6, PAST_ROUTE6))) == []
    assert way_to(HOST6) == ("lan", "fe80::99")
    await net.delete_device(device)
    assert past() == {}
    await net.close()


@isolated
async def test_they_follow_the_machines_gateway(tmp_path: Path) -> None:
    machine_with_gateways()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    await net.apply(device, settings(V4, routes=(ROUTE, PAST_ROUTE, Route("203.0.113.64/26", 7, True))))
    # More gateways, one after the other, than are noted at once; then the link goes, and all routes by it.
    for number in (*range(200, 201 + MAX_WAYS), 129):
        shell(f"ip route replace default via 192.0.2.{number} dev lan")
        while way_to(HOST) != ("lan", f"192.0.2.{number}") or past() != {HOST: 0, "203.0.113.64/26": 7}:
            await asyncio.sleep(0)
    shell("ip link set lan down")
    assert past() == {}
    shell("ip link set lan up")
    shell("ip route add default via 192.0.2.129 dev lan")
    while past() != {HOST: 0, "203.0.113.64/26": 7}:
        await asyncio.sleep(0)
    assert way_to("203.0.113.10")[0] == device
    await net.delete_device(device)
    assert past() == {}
    await net.close()


@isolated
async def test_what_others_made_is_left_as_it_is(tmp_path: Path) -> None:
    machine_with_gateways()
    shell(f"ip route add {HOST}/32 via 192.0.2.200")
    before = all_routes()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    [warning] = await net.apply(device, settings(V4, routes=(ROUTE, PAST_ROUTE)))
    assert warning == f"route {HOST}/32 exists already and is left as it is"
    assert way_to(HOST) == ("lan", "192.0.2.200")
    await net.delete_device(device)
    assert all_routes() == before
    await net.close()


@isolated
async def test_nothing_is_taken_out_of_another_users_tunnel(tmp_path: Path) -> None:
    machine_with_gateways()
    net = network(tmp_path)
    notices = Notices(net)
    first, second = [await net.create_device(f"s{number}", UID + number, OWNER + number) for number in (1, 2)]
    assert await net.apply(first, settings(V4, routes=(ROUTE,))) == []
    assert await net.apply(second, settings(Address("198.18.7.2", 24), routes=(PAST_ROUTE,))) == [
        f"route {HOST}/32 is pending: it lies in 203.0.113.0/24, which another user's session has"
    ]
    assert way_to(HOST)[0] == first
    await net.delete_device(first)
    assert await notices.next() == ("s2", f"route {HOST}/32 was pending and is set now")
    assert way_to(HOST) == ("lan", "192.0.2.129")
    # Nor does it keep others from it.
    third = await net.create_device("s3", UID + 3, OWNER + 3)
    assert await net.apply(third, settings(V4, routes=(Route("203.0.113.8/30"), ROUTE))) == []
    for device in (second, third):
        await net.delete_device(device)
    assert past() == {}
    await net.close()


@isolated
async def test_more_gateways_than_are_noted(tmp_path: Path) -> None:
    machine_with_gateways()
    asked = []
    for number in range(MAX_WAYS + 1):
        shell(f"ip route add 10.{number}.0.0/16 via 192.0.2.{200 + number}")
        asked.append(Route(f"10.{number}.1.0/24", past=True))
    net = network(tmp_path)
    device = await net.create_device("s" * 40, UID, OWNER)
    [warning] = await net.apply(device, settings(V4, routes=tuple(asked)))
    assert warning == (
        f"route 10.{MAX_WAYS}.1.0/24 past the tunnel, by 192.0.2.{200 + MAX_WAYS}, is not set: "
        f"the others go by {MAX_WAYS} gateways already"
    )
    assert len(past()) == MAX_WAYS
    await net.delete_device(device)
    assert past() == {}
    await net.close()


def supervisor_in_a_child(directory: Path) -> int:
    """A process that makes a device, with a route past it, and then waits; its pid."""
    child = os.fork()
    if child == 0:

        async def apply() -> None:
            net = network(directory)
            device = await net.create_device("s1", UID, OWNER)
            await net.apply(device, settings(V4, V6, routes=(ROUTE, PAST_ROUTE, PAST_ROUTE6)))
            await asyncio.Event().wait()

        asyncio._set_running_loop(None)  # the parent's
        asyncio.run(apply())
        os._exit(0)
    return child


def killed_supervisor(directory: Path) -> None:
    """One has made a device, with routes past it, and was killed."""
    with route_events() as events:
        child = supervisor_in_a_child(directory)
        while socket.inet_pton(socket.AF_INET6, HOST6) not in events.recv(65536):
            pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert past().items() >= {HOST: 0, HOST6: 1024}.items()


@isolated
async def test_a_killed_supervisor_leaves_nothing_after_recovery(tmp_path: Path) -> None:
    machine_with_gateways()
    before = all_routes()
    killed_supervisor(tmp_path)
    net = network(tmp_path)
    assert await net.recover() == ["tun0"]
    assert all_routes() == before
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_recovery_where_the_device_is_gone(tmp_path: Path) -> None:
    machine_with_gateways()
    before = all_routes()
    killed_supervisor(tmp_path)
    shell("ip link del tun0")
    net = network(tmp_path)
    assert await net.recover() == []
    assert all_routes() == before
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_recovery_where_an_engine_holds_the_device(tmp_path: Path) -> None:
    machine_with_gateways()
    killed_supervisor(tmp_path)
    engine = attach("tun0")
    net = network(tmp_path)
    assert await net.recover() == ["tun0"]
    assert past() == {}
    os.close(engine)
    await net.close()
    assert link("tun0") is None


@isolated
async def test_recovery_leaves_alone_what_others_made(tmp_path: Path) -> None:
    machine_with_gateways()
    # By another way, though marked as ours; and by the same way, but not marked.
    shell(f"ip route add 203.0.113.1/32 via 192.0.2.200 proto {PAST}")
    shell("ip route add 203.0.113.2/32 via 192.0.2.129")
    before = all_routes()
    killed_supervisor(tmp_path)
    net = network(tmp_path)
    await net.recover()
    assert all_routes() == before
    await net.close()


@isolated
async def test_of_another_boot_nothing_is_removed(tmp_path: Path) -> None:
    machine_with_gateways()
    way = Way(socket.if_nametoindex("lan"), Host(4, int.from_bytes(socket.inet_aton("192.0.2.129"), "big")))
    net = network(tmp_path)
    net._journal.write(Entry("tun0", 99, "another boot", UID, "s", (way,)))
    shell(f"ip route add 203.0.113.1/32 via 192.0.2.129 proto {PAST}")
    assert await net.recover() == []
    assert past() == {"203.0.113.1": 0}
    await net.close()


@isolated
async def test_a_device_that_somebody_removed_takes_them_with_it(tmp_path: Path) -> None:
    machine_with_gateways()
    before = all_routes()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    await net.apply(device, settings(V4, routes=(ROUTE, PAST_ROUTE)))
    shell(f"ip link del {device}")
    await net.delete_device(device)
    assert all_routes() == before
    await net.close()


@isolated
async def test_what_cannot_be_noted_is_not_set(tmp_path: Path) -> None:
    machine_with_gateways()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)

    def full(place: int, record: bytes) -> None:
        raise OSError(28, os.strerror(28))

    records = net._journal._records
    assert isinstance(records, RecordFile)
    records.rewrite = full  # type: ignore[method-assign]
    [warning] = await net.apply(device, settings(V4, routes=(ROUTE, PAST_ROUTE)))
    assert "is not set: what a session has cannot be noted on disk: No space left on device" in warning
    assert past() == {} and routes(device) == {"203.0.113.0/24": 0}
    await net.close()
