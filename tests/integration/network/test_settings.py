"""Devices, addresses and routes on the real kernel; each test in namespaces of its own."""

import asyncio
import json
import os
import re
import select
import socket
import struct
from pathlib import Path

import pytest

from ....policy.network import Address, PolicyViolation, Route
from ....supervisor.errors import SystemFailure
from ....supervisor.network import firewall, nf_tables, nfnetlink
from ....supervisor.network.device_info import counters
from ....supervisor.network.serial_executor import SerialExecutor, limited
from ...support.isolated import (
    MANY_ROUTES,
    OWNER,
    ROUTE,
    ROUTE6,
    ROUTE_METRIC,
    UID,
    V4,
    V6,
    Notices,
    addresses,
    attach,
    attached,
    isolated,
    journal,
    let_settle,
    link,
    network,
    reaches,
    route_events,
    routes,
    settings,
    shell,
)


@isolated
async def test_a_device_is_made_for_its_user_journalled_and_removed(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    details = json.loads(shell(f"ip -d -j link show dev {device}"))[0]
    tun_details = details["linkinfo"]["info_data"]
    assert (tun_details["type"], tun_details["pi"], tun_details["persist"]) == ("tun", False, True)
    assert tun_details["user"] == UID
    assert journal(tmp_path) == [f"{device}-{details['ifindex']}"]
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "journal" / "records").stat().st_mode & 0o777 == 0o600

    await net.delete_device(device)
    await net.delete_device(device)
    assert link(device) is None
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_settings_are_applied_replaced_and_cleared(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    assert await net.apply(device, settings(V4, V6, routes=(ROUTE, ROUTE_METRIC, ROUTE6))) == []
    state = link(device)
    assert state and state["mtu"] == 1400 and "UP" in state["flags"]
    assert addresses(device) == {"198.18.0.2/32", "2001:db8::2/128"}
    assert attached(device) == {"198.18.0.0/24", "2001:db8::/64"}
    assert routes(device) == {"203.0.113.0/24": 0, "198.51.100.0/24": 77, "2001:db8:1::/48": 55}

    # The first address makes way for another one of its network.
    renewed = settings(Address("198.18.0.3", 24), Address("198.18.0.9", 32, "198.18.0.8"), V6,
                       routes=(ROUTE, ROUTE6), mtu=1300)  # fmt: skip
    assert await net.apply(device, renewed) == []
    assert addresses(device) == {"198.18.0.3/32", "198.18.0.9/32", "2001:db8::2/128"}
    assert attached(device) == {"198.18.0.0/24", "198.18.0.8", "2001:db8::/64"}
    assert routes(device) == {"203.0.113.0/24": 0, "2001:db8:1::/48": 55}

    # The route to the network goes by way of the address that stays.
    assert await net.apply(device, settings(Address("198.18.0.3", 24), Address("198.18.0.4", 24))) == []
    assert await net.apply(device, settings(Address("198.18.0.4", 24), routes=(ROUTE,))) == []
    assert addresses(device) == {"198.18.0.4/32"}
    assert attached(device) == {"198.18.0.0/24"}
    assert routes(device) == {"203.0.113.0/24": 0}

    await net.clear(device)
    await net.clear(device)
    state = link(device)
    assert state and "UP" not in state["flags"]
    assert addresses(device) == set()
    assert routes(device) == {}
    assert await net.apply(device, renewed) == []
    assert routes(device) == {"203.0.113.0/24": 0, "2001:db8:1::/48": 55}
    await net.delete_device(device)
    await net.close()


@isolated
async def test_what_stays_the_same_is_not_touched(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    first = settings(V4, V6, routes=(ROUTE, ROUTE6))
    with route_events() as events:
        await net.apply(device, first)
        let_settle(events, V6)
        await net.apply(device, settings(V4, V6, routes=(ROUTE, ROUTE6, ROUTE_METRIC)))
        events.settimeout(5)
        message = events.recv(65536)
        assert struct.unpack_from("=H", message, 4) == (24,)  # RTM_NEWROUTE
        assert socket.inet_aton("198.51.100.0") in message
        events.setblocking(False)
        with pytest.raises(BlockingIOError):
            events.recv(65536)
    await net.close()


@isolated
async def test_forbidden_settings_change_nothing(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    await net.apply(device, settings(V4, routes=(ROUTE,)))
    with pytest.raises(PolicyViolation, match="default route"):
        await net.apply(device, settings(V4, routes=(Route("0.0.0.0/1"),)))
    assert routes(device) == {"203.0.113.0/24": 0}
    await net.close()


@isolated
async def test_a_device_that_somebody_removed(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    await net.apply(device, settings(V4, routes=(ROUTE,)))
    shell(f"ip link del {device}")
    with pytest.raises(SystemFailure, match="No such device"):
        await net.apply(device, settings(V4, routes=(ROUTE, ROUTE_METRIC)))
    await net.clear(device)
    with pytest.raises(SystemFailure, match="there is no device tun99"):
        await net.apply("tun99", settings(V4))
    await net.delete_device(device)
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_the_name_of_a_vanished_device_is_not_given_to_another_session(tmp_path: Path) -> None:
    net = network(tmp_path)
    first = await net.create_device("s1", UID, OWNER)
    shell(f"ip link del {first}")
    second = await net.create_device("s2", UID + 1, OWNER)
    assert second != first
    await net.delete_device(first)
    assert link(second)
    assert len(journal(tmp_path)) == 1
    third = await net.create_device("s3", UID + 2, OWNER)
    assert third == first
    await net.close()


@isolated
async def test_two_sessions_with_the_same_route(tmp_path: Path) -> None:
    net = network(tmp_path)
    notices = Notices(net)
    first, second = [await net.create_device(f"s{number}", UID + number, OWNER) for number in (1, 2)]
    assert await net.apply(first, settings(V4, routes=(ROUTE, ROUTE6))) == []
    other = settings(Address("198.18.7.2", 24), routes=(ROUTE, ROUTE6, ROUTE_METRIC))
    waits = [
        "route 203.0.113.0/24 is pending: another session of the same user has it",
        "route 2001:db8:1::/48 is pending: another session of the same user has it",
    ]
    assert await net.apply(second, other) == waits
    await net.clear(second)
    assert routes(first) == {"203.0.113.0/24": 0, "2001:db8:1::/48": 55}

    assert await net.apply(second, other) == waits
    assert routes(second) == {"198.51.100.0/24": 77}
    await net.clear(first)
    assert await notices.next() == ("s2", "route 203.0.113.0/24 was pending and is set now")
    assert await notices.next() == ("s2", "route 2001:db8:1::/48 was pending and is set now")
    assert routes(second) == {"203.0.113.0/24": 0, "2001:db8:1::/48": 55, "198.51.100.0/24": 77}
    await net.close()


@isolated
async def test_two_users_in_one_network(tmp_path: Path) -> None:
    net = network(tmp_path)
    notices = Notices(net)
    first, second = [await net.create_device(f"s{number}", UID + number, OWNER + number) for number in (1, 2)]
    assert await net.apply(first, settings(V4, V6, routes=(ROUTE,))) == []
    others = (Address("198.18.0.3", 24), Address("2001:db8::3", 64))
    waits = "which another user's session has"
    assert await net.apply(second, settings(*others, routes=(Route("203.0.113.7/32"),))) == [
        f"route 198.18.0.0/24 is pending: it lies in 198.18.0.0/24, {waits}",
        f"route 2001:db8::/64 is pending: it lies in 2001:db8::/64, {waits}",
        f"route 203.0.113.7/32 is pending: it lies in 203.0.113.0/24, {waits}",
    ]
    assert addresses(second) == {"198.18.0.3/32", "2001:db8::3/128"}
    assert attached(second) == set()
    assert json.loads(shell("ip -j route get 198.18.0.99"))[0]["dev"] == first
    # It goes from an address of its own.
    assert json.loads(shell("ip -j route get 198.18.0.99"))[0]["prefsrc"] == "198.18.0.2"

    await net.delete_device(first)
    for route in ("198.18.0.0/24", "2001:db8::/64", "203.0.113.7/32"):
        assert await notices.next() == ("s2", f"route {route} was pending and is set now")
    assert attached(second) == {"198.18.0.0/24", "2001:db8::/64"}
    assert json.loads(shell("ip -j route get 198.18.0.99"))[0]["prefsrc"] == "198.18.0.3"
    assert routes(second) == {"203.0.113.7": 0}
    await net.close()


@isolated
async def test_what_the_machine_has(tmp_path: Path) -> None:
    shell("ip link add lan type veth peer name far")
    for command in ("link set lan up", "link set far up", "address add 192.0.2.130/25 dev lan",
                    "address add 2001:db8:7::1/64 dev lan nodad", "route add 100.64.0.0/16 dev lan",
                    "route add 203.0.113.0/24 via 192.0.2.200", "route add default dev lan"):  # fmt: skip
        shell(f"ip {command}")
    resolver_file = tmp_path / "resolv.conf"
    resolver_file.write_text("nameserver 127.0.0.53\nnameserver 10.9.9.9\n")
    shell(f"mount --bind {resolver_file} /etc/resolv.conf")
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    for address, reason in (
        ("192.0.2.130", "address 192.0.2.130: this machine has it"),
        ("2001:db8:7::1", "address 2001:db8:7::1: this machine has it"),
        ("192.0.2.140", "address 192.0.2.140: it lies in 192.0.2.128/25, a network of this machine (lan)"),
        ("10.9.9.9", "address 10.9.9.9: it is the address of a name server of this machine"),
    ):
        with pytest.raises(SystemFailure, match=re.escape(reason)):
            await net.apply(device, settings(Address(address, 32)))
    wanted = ("192.0.2.128/25", "192.0.2.200/32", "100.64.3.0/24", "10.0.0.0/8", "10.9.9.9/32", "2001:db8:7::9/128",
              "203.0.113.0/24", "192.0.2.0/24", "100.0.0.0/8", "2001:db8::/32")  # fmt: skip
    asked = settings(V4, routes=tuple(map(Route, wanted)), server="198.51.100.1")
    assert await net.apply(device, asked) == [
        "route 192.0.2.128/25 is left out: it lies in 192.0.2.128/25, a network of this machine (lan)",
        "route 192.0.2.200/32 is left out: it lies in 192.0.2.128/25, a network of this machine (lan)",
        "route 100.64.3.0/24 is left out: it lies in 100.64.0.0/16, a network of this machine (lan)",
        "route 10.0.0.0/8 is left out: it covers 10.9.9.9, a name server of this machine",
        "route 10.9.9.9/32 is left out: it covers 10.9.9.9, a name server of this machine",
        "route 2001:db8:7::9/128 is left out: it lies in 2001:db8:7::/64, a network of this machine (lan)",
        "route 203.0.113.0/24 exists already and is left as it is",
    ]
    # An administrator's session may have the name servers.
    administrators = await net.create_device("s2", UID + 1, 0)
    asked = settings(Address("198.18.7.2", 24), routes=(Route("10.0.0.0/8"),), server="198.51.100.1")
    assert await net.apply(administrators, asked) == []
    await net.close()


@isolated
async def test_others_cannot_send_to_the_address_of_a_session(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    taken, taken6 = Address("203.0.113.5", 32), Address("2001:db8::5", 128)
    await net.apply(device, settings(taken, taken6))
    for address in (taken.local, taken6.local):
        assert {uid: reaches(address, uid) for uid in (0, OWNER, OWNER + 1)} == {0: True, OWNER: True, OWNER + 1: False}
    assert reaches("127.0.0.1", OWNER + 1)
    # Somebody flushes the firewall: with the next address all rules are there again.
    nfnetlink.send([nf_tables.delete_table(firewall.TABLE)])
    assert reaches(taken.local, OWNER + 1)
    await net.apply(device, settings(taken, taken6, V4))
    assert not any(reaches(address, OWNER + 1) for address in (taken.local, taken6.local, V4.local))
    # Once it is no session's any more, it is as any other.
    await net.clear(device)
    shell("ip address add 203.0.113.5/32 dev lo")
    assert reaches("203.0.113.5", OWNER + 1)
    await net.close()


@isolated
async def test_without_nf_tables_public_addresses_are_left_out(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)

    def missing(messages: list[bytes]) -> None:
        raise SystemFailure("nf_tables: Protocol not supported")

    nfnetlink.send = missing
    [warning] = await net.apply(device, settings(V4, V6))
    assert warning.startswith("address 2001:db8::2 is left out: it is public, and other users")
    assert addresses(device) == {"198.18.0.2/32"}
    assert attached(device) == {"198.18.0.0/24"}
    administrators = await net.create_device("s2", UID + 1, 0)
    assert await net.apply(administrators, settings(Address("2001:db8:7::2", 64))) == []
    await net.close()


@isolated
async def test_without_ipv6_the_rest_is_set_and_a_warning_given(tmp_path: Path) -> None:
    net = network(tmp_path)
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
    device = await net.create_device("s1", UID, OWNER)
    assert await net.apply(device, settings(V4, V6, routes=(ROUTE, ROUTE6))) == [
        "IPv6 is off on this machine: 2001:db8::2 is not set",
        "IPv6 is off on this machine: route 2001:db8:1::/48 is not set",
    ]
    assert addresses(device) == {"198.18.0.2/32"}
    assert routes(device) == {"203.0.113.0/24": 0}
    await net.close()


@isolated
async def test_a_held_device_is_removed_later(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    engine = attach(device)
    await net.apply(device, settings(V4, routes=(ROUTE,)))
    await net.delete_device(device)
    assert link(device), "an engine whose device vanishes spins"
    assert routes(device) == {}
    assert addresses(device) == set()
    assert len(journal(tmp_path)) == 1
    second = await net.create_device("s2", UID, OWNER)
    engines = [engine, attach(second)]
    await net.delete_device(second)
    assert link(device) and link(second)

    os.close(engines[0])
    third = await net.create_device("s3", UID, OWNER)  # the opportunity
    await net.delete_device(third)
    assert link(device) is None
    assert link(second)
    os.close(engines[1])
    await net.close()  # the last one
    assert link(second) is None
    assert journal(tmp_path) == []


@isolated
async def test_counters_of_the_device(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    engine = attach(device)
    await net.apply(device, settings(V4, mtu=1400))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x" * 100, ("198.18.0.1", 9))
    datagrams = 0
    while not datagrams:
        assert select.select([engine], [], [], 5)[0]
        datagrams += os.read(engine, 2000).endswith(b"x" * 100)
    before = counters(device)
    assert before["TUN_BYTES_IN"] >= 128
    assert before["TUN_PACKETS_IN"] >= 1
    os.write(engine, bytes.fromhex("45000014000000004011") + bytes(10))
    after = counters(device)
    assert after["TUN_BYTES_OUT"] - before["TUN_BYTES_OUT"] == 20
    assert after["TUN_PACKETS_OUT"] - before["TUN_PACKETS_OUT"] == 1
    assert counters("") == counters("tun9") == counters(device[1:]) == counters(".*") == {}
    os.close(engine)
    await net.delete_device(device)
    assert counters(device) == {}
    await net.close()


@isolated
async def test_a_thousand_routes_do_not_stall_the_loop(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    other = await net.create_device("s2", UID + 1, OWNER)
    loop = asyncio.get_running_loop()
    turns = 0  # of the loop, while the routes are made

    def turn() -> None:
        nonlocal turns
        turns += 1
        if not applying.done():
            loop.call_later(0.001, turn)

    applying = asyncio.create_task(net.apply(device, settings(V4, routes=MANY_ROUTES)))
    turn()
    await net.apply(other, settings(Address("198.18.9.2", 24)))
    assert not applying.done(), "other sessions had to wait"
    await applying
    assert turns > 20
    assert len(routes(device)) == 1000
    await net.clear(device)
    assert routes(device) == {}
    await net.clear(other)
    await net.close()


@isolated
async def test_a_cancelled_apply_leaves_nothing(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    with route_events() as events:
        events.setblocking(False)
        applying = asyncio.create_task(net.apply(device, settings(V4, routes=MANY_ROUTES)))
        async with asyncio.timeout(10):
            while socket.inet_aton("10.0.5.0") not in await asyncio.get_running_loop().sock_recv(events, 65536):
                pass
    applying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await applying
    await net.clear("any")  # comes after all that went on
    assert routes(device) == {}
    assert addresses(device) == set()
    assert await net.apply(device, settings(V4, routes=(ROUTE,))) == []
    await net.close()


@isolated
async def test_what_comes_in_between_overtakes_an_apply(tmp_path: Path) -> None:
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    applying = asyncio.create_task(net.apply(device, settings(V4, routes=MANY_ROUTES)))
    await net.clear("any")
    await net.clear(device)
    with pytest.raises(SystemFailure, match="setting up tun0 was overtaken"):
        await applying
    assert routes(device) == {}
    await net.apply(device, settings(V4, routes=(ROUTE,)))
    applying = asyncio.create_task(net.apply(device, settings(V4, routes=MANY_ROUTES)))
    await net.clear("any")
    await net.apply(device, settings(V4, routes=(ROUTE,)))
    with pytest.raises(SystemFailure, match="setting up tun0 was overtaken"):
        await applying
    await net.clear("any")
    assert routes(device) == {"203.0.113.0/24": 0}
    await net.close()


@isolated
async def test_a_cancelled_creation_leaves_no_device(tmp_path: Path) -> None:
    net = network(tmp_path)
    creating = asyncio.create_task(net.create_device("s1", UID, OWNER))
    while not journal(tmp_path):
        await asyncio.sleep(0)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    device = await net.create_device("s2", UID, OWNER)
    await net.delete_device(device)  # behind the removal of the other one
    assert journal(tmp_path) == []
    assert [row["ifname"] for row in json.loads(shell("ip -j link show"))] == ["lo"]
    await net.close()


@isolated
async def test_a_hanging_job_does_not_hold_up_the_loop(tmp_path: Path) -> None:
    executor = SerialExecutor("test")
    reader, writer = os.pipe()
    with pytest.raises(SystemFailure, match=r"reading takes more than 0.05 s"):
        async with limited("reading", 0.05):
            await executor.run(os.read, reader, 1)
    os.write(writer, b"x")
    assert await executor.run(len, "abc") == 3
    executor.stop()
