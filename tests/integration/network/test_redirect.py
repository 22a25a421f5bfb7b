"""The default route by rules and tables, on the real kernel; each test in namespaces of its own."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import prctl
import pytest

from ....policy.limits import MAX_REDIRECTED_NETWORKS
from ....policy.redirect import Redirect
from ....supervisor.errors import SystemFailure
from ....supervisor.network.claims import Conflict
from ....supervisor.network.default_route import ipv6_settings
from ....supervisor.network.default_route.redirecting import Redirecting
from ....supervisor.network.default_route.rules import Numbers, TableRoute
from ...support.isolated import (
    OWNER,
    UID,
    V4,
    V6,
    Notices,
    addresses,
    attach,
    drop_to_nobody,
    isolated,
    journal,
    network,
    settings,
    shell,
)
from ...support.redirected import (
    BOTH,
    FAR,
    FAR6,
    IPV4,
    NEIGHBOUR,
    NEIGHBOUR6,
    SERVER,
    machine,
    one_session,
    redirected,
    state,
    unchanged,
    way,
)


@isolated
async def test_it_stays_with_other_addresses(tmp_path: Path) -> None:
    """Which are asked for while the device has some."""
    async with one_session(tmp_path) as (net, device):
        for last in (2, 3, 2):
            assert await net.apply(device, redirected(last=last)) == []
            assert addresses(device) == {f"198.18.0.{last}/32", f"2001:db8::{last}/128"}
            assert way(FAR) == way(FAR6) == device
        for alone, gone in ((V6, FAR), (V4, FAR6)):
            only = msgspec.structs.replace(settings(alone, server=SERVER), redirect=BOTH)
            assert "leads nowhere" in " ".join(await net.apply(device, only))
            assert way(gone) == ""
            assert await net.apply(device, redirected()) == []
            assert way(FAR) == way(FAR6) == device


@isolated
async def test_everything_goes_through_the_device_but_what_engines_send(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    with unchanged():
        device = await net.create_device("s1", UID, OWNER)
        engine = attach(device)
        assert await net.apply(device, redirected()) == []
        for address in (FAR, FAR6, SERVER):
            assert way(address) == device
            assert way(address, UID) == "eth0"
            assert way(address, UID + 9) == "eth0"
            assert way(address, UID + 10) == device
        assert way(NEIGHBOUR) == way(NEIGHBOUR6) == "eth0"
        # Answers of root's services, and what the kernel looks up for rp_filter.
        assert way(FAR, 0, "198.51.100.2") == way(FAR6, 0, "2001:db8:5::2") == "eth0"
        assert way(FAR, source="198.51.100.2") == device

        await net.clear(device, keep=True)
        assert way(FAR) == way(FAR6) == "eth0"
        assert await net.apply(device, redirected()) == []
        assert way(FAR) == way(FAR6) == device
        await net.clear(device)
        assert way(FAR) == way(FAR6) == "eth0"
        os.close(engine)
        await net.delete_device(device)
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_a_dead_engine_leaves_the_machines_own_way_open(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    engine = attach(device)
    for redirect in (IPV4, BOTH):
        await net.apply(device, redirected(redirect))
        assert (way(FAR), way(FAR6)) == (device, device if redirect == BOTH else "eth0")
        os.close(engine)
        await until(lambda: way(FAR) == way(FAR6) == "eth0")
        engine = attach(device)
        await until(lambda: way(FAR) == device and way(FAR6) in (device, "eth0"))
    os.close(engine)
    await net.close()


@isolated
async def test_settings_that_are_read_only_are_taken_by_root(tmp_path: Path) -> None:
    machine()
    shell("mount --bind /proc/sys /proc/sys")
    shell("mount -o remount,bind,ro /proc/sys")
    directory = ipv6_settings.take()
    drop_to_nobody(prctl.CAP_NET_ADMIN)
    with pytest.raises(SystemFailure, match="Read-only file system"):
        ipv6_settings.ignore_when_dead("eth0", None)
    ipv6_settings.ignore_when_dead("eth0", directory)
    ipv6_settings.ignore_when_dead("none", directory)
    assert Path("/proc/sys/net/ipv6/conf/eth0/ignore_routes_with_linkdown").read_text() == "1\n"


@isolated
async def test_ipv6_that_is_blocked(tmp_path: Path) -> None:
    async with one_session(tmp_path) as (net, device):
        await net.apply(device, redirected(Redirect(("0.0.0.0/0", "::/0"), block_ipv6=True)))
        assert way(FAR) == device
        assert way(FAR6) == ""
        assert way(FAR6, UID) == way(NEIGHBOUR6) == "eth0"


@isolated
async def test_networks_of_the_machine_that_are_blocked(tmp_path: Path) -> None:
    async with one_session(tmp_path) as (net, device):
        assert await net.apply(device, redirected(Redirect(("0.0.0.0/0",), block_local=True))) == []
        assert way(NEIGHBOUR) == device
        assert way("198.51.100.1") == way(NEIGHBOUR, UID) == way(NEIGHBOUR6) == "eth0"


@isolated
async def test_a_version_without_an_address_leads_nowhere(tmp_path: Path) -> None:
    async with one_session(tmp_path) as (net, device):
        [warning] = await net.apply(device, msgspec.structs.replace(settings(V4), redirect=BOTH))
        assert "no IPv6 address" in warning
        assert (way(FAR), way(FAR6), way(FAR6, UID)) == (device, "", "eth0")


@isolated
async def test_no_default_route(tmp_path: Path) -> None:
    """Engines never use the tunnel, not even where there is nothing else."""
    machine()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    engine = attach(device)
    await net.apply(device, redirected())
    shell("ip route del default")
    shell("ip -6 route del default")
    assert way(FAR) == way(FAR6) == device
    assert way(FAR, UID) == way(FAR6, UID) == ""
    os.close(engine)
    await net.close()


@isolated
async def test_another_default_route(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    engine = attach(device)
    await net.apply(device, redirected())
    for command in (
        "link add eth1 type veth peer name far1",
        "link set eth1 up",
        "link set far1 up",
        "address add 203.0.113.2/24 dev eth1",
        "address add 2001:db8:6::2/64 dev eth1 nodad",
    ):
        shell(f"ip {command}")
    assert way(FAR, 0, "203.0.113.2") == device
    shell("ip route replace default via 203.0.113.1")
    shell("ip -6 route replace default via 2001:db8:6::1")
    assert way(FAR, UID) == way(FAR6, UID) == "eth1"
    await until(lambda: way(FAR, 0, "203.0.113.2") == way(FAR6, 0, "2001:db8:6::2") == "eth1")
    assert way(FAR, 0, "198.51.100.2") == device
    assert way(FAR) == way(FAR6) == device
    os.close(engine)
    await net.close()


async def until(true: Callable[[], bool]) -> None:
    """Wait until this is so."""
    while not true():
        await asyncio.sleep(0.02)


@isolated
async def test_rules_that_somebody_removes_are_put_back(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    notices = Notices(net)
    devices = [await net.create_device(f"s{number}", UID + number, OWNER) for number in (1, 2)]
    engines = [attach(device) for device in devices]
    for number, device in enumerate(devices):
        await net.apply(device, redirected(last=2 + number))
    before = state()
    first = shell("ip rule").splitlines()
    shell("ip rule flush")
    shell("ip rule add pref 32766 lookup main")
    shell("ip rule add pref 32767 lookup default")
    assert await notices.next() == (
        "s1",
        "another program removed rules or routes of the tunnel's default route; they are there again",
    )
    await until(lambda: state() == before)
    # The first of one priority.
    rule = next(line for line in first if "lookup 5300" in line).partition(":")[0]
    shell(f"ip rule del pref {rule} lookup 5300")
    await until(lambda: state() == before)
    assert way(FAR) == devices[0]
    shell("ip route flush table 5300")
    shell("ip -6 route flush table 5300")
    await until(lambda: way(FAR) == way(FAR6) == devices[0])
    shell(f"ip link set {devices[0]} down")
    assert way(FAR) == way(FAR6) == devices[1]
    shell(f"ip link set {devices[0]} up")
    await until(lambda: way(FAR) == way(FAR6) == devices[0])
    for engine in engines:
        os.close(engine)
    await net.close()


@isolated
async def test_the_first_of_two_ends_first(tmp_path: Path) -> None:
    await two_of_one_user(tmp_path, 0)


@isolated
async def test_the_second_of_two_ends_first(tmp_path: Path) -> None:
    await two_of_one_user(tmp_path, 1)


async def two_of_one_user(tmp_path: Path, first_to_end: int) -> None:
    machine()
    net = network(tmp_path)
    with unchanged():
        devices = [await net.create_device(f"s{number}", UID + number, OWNER) for number in (0, 1)]
        engines = [attach(device) for device in devices]
        for number, device in enumerate(devices):
            assert "traffic" not in str(await net.apply(device, redirected(last=2 + number)))
        assert way(FAR) == way(FAR6) == devices[0]
        for number in (first_to_end, 1 - first_to_end):
            os.close(engines[number])
            await net.delete_device(devices[number])
            if number == first_to_end:
                other = devices[1 - number]
                assert way(FAR) == way(FAR6) == other
                assert way(FAR, UID) == way(FAR, UID + 1) == "eth0"
    await net.close()


@isolated
async def test_another_user_is_refused_or_waits(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    notices = Notices(net)
    with unchanged():
        hers = await net.create_device("hers", UID, OWNER)
        his = await net.create_device("his", UID + 1, OWNER + 1)
        engines = [attach(device) for device in (hers, his)]
        await net.apply(hers, redirected())
        before = state()
        with pytest.raises(Conflict, match="the default route: another user's session has it"):
            await net.apply(his, redirected(last=3))
        assert state() == before
        wanted = redirected(msgspec.structs.replace(BOTH, optional=True), last=3)
        told = "the default route does not lead through the tunnel: another user's session has it"
        assert told in await net.apply(his, wanted)
        assert way(FAR) == way(FAR, OWNER + 1) == hers
        os.close(engines[0])
        await net.delete_device(hers)
        while await notices.next() != ("his", "all traffic goes through the tunnel now"):
            pass
        assert way(FAR) == way(FAR6) == his
        os.close(engines[1])
        await net.delete_device(his)
    await net.close()


@isolated
async def test_a_rule_of_who_may(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    refused = msgspec.structs.replace(BOTH, refused="the default route is only for root (--redirect root)")
    with pytest.raises(Conflict, match=r"^the default route is only for root \(--redirect root\)$"):
        await net.apply(device, redirected(refused))
    optional = msgspec.structs.replace(refused, optional=True)
    assert await net.apply(device, redirected(optional)) == [
        f"the default route does not lead through the tunnel: {refused.refused}"
    ]
    assert await net.apply(device, redirected()) == []
    await net.delete_device(device)
    await net.close()
    net = network(tmp_path, public_networks=False)
    device = await net.create_device("s1", UID, 0)
    with pytest.raises(Conflict, match="--public-networks refuse"):
        await net.apply(device, redirected())
    await net.close()


@isolated
async def test_numbers_that_others_have(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    for command, what in (
        ("rule {} pref 5310 lookup 7", "priority 5310 and table 7"),
        ("rule {} pref 77 lookup 5303", "priority 77 and table 5303"),
        ("-6 rule {} pref 5299 lookup main", "priority 5299"),
        ("route {} unreachable 192.0.2.0/24 table 5331", "table 5331 has a route of another program to 192.0.2.0/24"),
    ):
        shell(f"ip {command.format('add')}")
        before = state()
        device = await net.create_device("s1", UID, OWNER)
        with pytest.raises(SystemFailure, match=what):
            await net.apply(device, redirected())
        optional = redirected(msgspec.structs.replace(BOTH, optional=True))
        [warning] = await net.apply(device, optional)
        assert what in warning
        await net.delete_device(device)
        assert state() == before
        shell(f"ip {command.format('del')}")
    await net.close()
    other = network(tmp_path, numbers=Numbers(7000, 8000))
    shell("ip rule add pref 5310 lookup 7")
    device = await other.create_device("s1", UID, OWNER)
    await other.apply(device, redirected())
    assert "lookup 8000" in shell("ip rule")
    await other.delete_device(device)
    await other.close()


@isolated
async def test_an_instance_that_was_killed_leaves_nothing(tmp_path: Path) -> None:
    machine()
    with unchanged():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:

            async def apply() -> None:
                net = network(tmp_path)
                device = await net.create_device("s1", UID, OWNER)
                engine = attach(device)
                await net.apply(device, redirected(Redirect(("0.0.0.0/0",), block_ipv6=True, block_local=True)))
                os.set_inheritable(engine, True)
                os.write(writer, b"x")
                await asyncio.Event().wait()

            asyncio._set_running_loop(None)  # the parent's
            asyncio.run(apply())
        assert os.read(reader, 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        shell("ip rule add pref 5320 lookup 77")
        shell("ip rule add pref 76 lookup 77")
        net = network(tmp_path, numbers=Numbers(7000, 8000))
        assert await net.recover() == ["tun0"]
        # What others have added meanwhile stays.
        shell("ip rule del pref 5320 lookup 77")
        shell("ip rule del pref 76 lookup 77")
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_many_networks_of_many_sessions_are_not_compared_at_each_request(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    networks = tuple(f"{0x2000 + 16 * number:x}::/12" for number in range(MAX_REDIRECTED_NETWORKS))
    looked = 0
    original = Redirecting._wanted_routes

    def counted(self: Redirecting, holder: Any) -> list[TableRoute]:
        nonlocal looked
        looked += 1
        return original(self, holder)

    with unchanged(), pytest.MonkeyPatch.context() as patch:
        devices = [await net.create_device(f"s{number}", UID, OWNER) for number in range(4)]
        engines = [attach(device) for device in devices]
        patch.setattr(Redirecting, "_wanted_routes", counted)
        for number, device in enumerate(devices):
            await net.apply(device, redirected(Redirect(networks), last=2 + number))
        assert looked < MAX_REDIRECTED_NETWORKS * len(devices)
        for device, engine in zip(devices, engines, strict=True):
            os.close(engine)
            await net.delete_device(device)
        await net.close()
