"""The default route beside the rules and routes of other programs, which the tests set as those do."""

import os
from pathlib import Path

from ...support.isolated import (
    OWNER,
    UID,
    attach,
    isolated,
    network,
    shell,
)
from ...support.redirected import (
    FAR,
    FAR6,
    NEIGHBOUR,
    machine,
    redirected,
    unchanged,
    way,
)


def other_vpn(*commands: str) -> None:
    """Another program's tunnel: a device "other" with an address, and what it sets."""
    shell("ip link add other type veth peer name far-other")
    for end in ("other", "far-other"):
        shell(f"ip link set {end} addrgenmode none up")
    for command in ("address add 198.19.5.1/24 dev other", *commands):
        shell(f"ip {command}")


@isolated
async def test_another_openvpn_has_halves_of_the_default_route(tmp_path: Path) -> None:
    """More exact routes win, for engines too: our tunnel goes through the other one."""
    machine()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    engine = attach(device)
    await net.apply(device, redirected())
    other_vpn("route add 0.0.0.0/1 dev other", "route add 128.0.0.0/1 dev other")
    assert (way(FAR), way(FAR, UID), way(FAR6)) == ("other", "other", device)
    os.close(engine)
    await net.close()


WG_QUICK = (
    "route add default dev other table 51820",
    "rule add not fwmark 51820 table 51820",
    "rule add table main suppress_prefixlength 0",
)


@isolated
async def test_wg_quick_before(tmp_path: Path) -> None:
    machine()
    other_vpn(*WG_QUICK)
    net = network(tmp_path)
    with unchanged():
        device = await net.create_device("s1", UID, OWNER)
        engine = attach(device)
        await net.apply(device, redirected())
        assert (way(FAR), way(FAR, UID), way("198.19.5.9")) == (device, "eth0", "other")
        os.close(engine)
        await net.delete_device(device)
        assert way(FAR) == "other"
    await net.close()


@isolated
async def test_wg_quick_after(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    engine = attach(device)
    await net.apply(device, redirected())
    other_vpn(*WG_QUICK)
    assert (way(FAR), way(FAR, UID), way(NEIGHBOUR), way(FAR6)) == ("other", "other", "eth0", device)
    os.close(engine)
    await net.close()


@isolated
async def test_tailscale(tmp_path: Path) -> None:
    """Its network is its own; its marked packets leave by the machine's default route."""
    machine()
    marked = "fwmark 0x80000/0xff0000"
    rules = (
        f"5210 {marked} lookup main",
        f"5230 {marked} lookup default",
        f"5250 {marked} unreachable",
        "5270 lookup 52",
    )
    other_vpn("route add 198.19.0.0/16 dev other table 52", *(f"rule add pref {rule}" for rule in rules))
    net = network(tmp_path)
    with unchanged():
        device = await net.create_device("s1", UID, OWNER)
        engine = attach(device)
        await net.apply(device, redirected())
        assert (way(FAR), way(FAR, UID), way("198.19.7.7"), way("198.19.7.7", UID)) == (
            device,
            "eth0",
            "other",
            "other",
        )
        assert "dev eth0" in shell(f"ip route get {FAR} mark 0x80000")
        os.close(engine)
        await net.delete_device(device)
    await net.close()


@isolated
async def test_containers(tmp_path: Path) -> None:
    """What the machine forwards goes like its own; the containers' network stays where it is."""
    machine()
    other_vpn()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    engine = attach(device)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    await net.apply(device, redirected())
    assert f"dev {device}" in shell(f"ip route get {FAR} from 198.19.5.7 iif other")
    assert way("198.19.5.7") == "other"
    os.close(engine)
    await net.close()
