"""What becomes of redirected traffic while its session is not connected, on the real kernel."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ....kernel.netlink.netlink_socket import NetlinkSocket
from ....policy.configuration.options import Setting, combined
from ....policy.network import NetworkSettings
from ....policy.redirect import Redirect
from ....supervisor.network import dumps, requests
from ....supervisor.network.apply import Network
from ....supervisor.network.default_route.rules import Numbers
from ...support.isolated import OWNER, UID, V4, attach, isolated, journal, network, settings, shell
from ...support.redirected import BOTH, FAR, FAR6, IPV4, NEIGHBOUR, machine, redirected, unchanged, way

GATEWAY = "198.51.100.1"


def closed(redirect: Redirect = BOTH, last: int = 2) -> NetworkSettings:
    return redirected(msgspec.structs.replace(redirect, while_not_connected="closed"), last=last)


@contextlib.contextmanager
def never_past(*addresses: str) -> Iterator[None]:
    """After no request to the kernel does it send to these by the machine's own device."""
    own, found = int(shell("ip -o link show eth0").partition(":")[0]), list[str]()
    request = requests.request

    def watched(link: NetlinkSocket, what: str, *arguments: Any) -> None:
        request(link, what, *arguments)
        with NetlinkSocket() as link:
            for address in addresses:
                by = dumps.way_to(link, ip_address(address), OWNER)
                if by is not None and by.device == own:
                    found.append(f"{address} after {what}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "request", watched)
        yield
    assert not found


async def ended(net: Network, device: str) -> None:
    """The session of a device ends, as far as the network knows."""
    net.let_go("s1")
    await net.clear(device)
    await net.delete_device(device)


@isolated
async def test_nothing_leaves_from_the_first_connection_to_the_end_of_the_session(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    with unchanged():
        device = await net.create_device("s1", UID, OWNER)
        assert (way(FAR), way(FAR6)) == ("eth0", "eth0")
        engine = attach(device)
        await net.apply(device, closed())
        with never_past(FAR, FAR6):
            assert (way(FAR), way(FAR6), way(FAR, UID)) == (device, device, "eth0")
            # It reconnects with its device and without, and is paused.
            await net.apply(device, closed())
            for keep in (True, False):
                await net.clear(device, keep=keep)
                assert (way(FAR), way(FAR6), way(FAR, UID), way(NEIGHBOUR)) == ("", "", "eth0", "eth0")
                await net.apply(device, closed())
                assert (way(FAR), way(FAR6)) == (device, device)
            # Its server redirects something else.
            for networks in (("0.0.0.0/1", "128.0.0.0/1", "::/0"), ("0.0.0.0/0", "::/1", "8000::/1"), BOTH.networks):
                await net.apply(device, closed(Redirect(networks)))
                await net.clear(device, keep=True)
                await net.apply(device, closed(Redirect(networks)))
            await net.apply(device, closed(Redirect(BOTH.networks, block_ipv6=True)))
            assert (way(FAR), way(FAR6)) == (device, "")
            await net.apply(device, msgspec.structs.replace(settings(V4), redirect=closed().redirect))
            assert (way(FAR), way(FAR6)) == (device, "")
            await net.apply(device, closed())
            # The engine dies; then another worker comes, with another device.
            os.close(engine)
            while way(FAR):
                await asyncio.sleep(0.01)
            await net.clear(device)
            await net.delete_device(device)
            assert (way(FAR), way(FAR6)) == ("", "")
            device = await net.create_device("s1", UID + 1, OWNER)
            engine = attach(device)
            await net.apply(device, closed())
            assert (way(FAR), way(FAR6)) == (device, device)
            shell(f"ip link del {device}")
            assert (way(FAR), way(FAR6)) == ("", "")
        os.close(engine)
        await ended(net, device)
        assert (way(FAR), way(FAR6)) == ("eth0", "eth0")
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_a_part_of_the_default_route(tmp_path: Path) -> None:
    """What the session does not redirect goes on as without a tunnel."""
    machine()
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    await net.apply(device, closed(IPV4))
    await net.clear(device)
    assert (way(FAR), way(FAR6)) == ("", "eth0")
    await net.apply(device, closed(Redirect(("128.0.0.0/1",))))
    await net.clear(device)
    assert (way(FAR), way("64.0.0.1")) == ("", "eth0")
    await ended(net, device)
    await net.close()


@isolated
async def test_networks_of_the_machine(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    with unchanged():
        device = await net.create_device("s1", UID, OWNER)
        engine = attach(device)
        await net.apply(device, closed(Redirect(("0.0.0.0/0",), block_local=True)))
        with never_past(NEIGHBOUR, FAR):
            assert way(NEIGHBOUR) == device
            await net.clear(device)
            assert (way(NEIGHBOUR), way(FAR), way(GATEWAY), way(NEIGHBOUR, UID)) == ("", "", "eth0", "eth0")
        os.close(engine)
        await ended(net, device)
    await net.close()


@isolated
async def test_the_administrator_chooses(tmp_path: Path) -> None:
    machine()
    for word, chosen, expected in (
        ("open", "default", "eth0"),
        ("open", "closed", ""),
        ("closed", "default", ""),
        ("closed", "open", "eth0"),
        ("always-open", "closed", "eth0"),
        ("always-closed", "open", ""),
    ):
        net = network(tmp_path, while_not_connected=word)
        device = await net.create_device("s1", UID, OWNER)
        wanted = Redirect(BOTH.networks, while_not_connected=chosen)  # type: ignore[arg-type]
        await net.apply(device, redirected(wanted))
        await net.clear(device)
        assert (way(FAR), way(FAR6)) == (expected, expected), (word, chosen)
        await ended(net, device)
        assert way(FAR) == "eth0"
        await net.close()


@isolated
async def test_the_administrator_chooses_anew(tmp_path: Path) -> None:
    """For sessions that ask for it later."""
    machine()
    net = network(tmp_path)
    for word, expected in (("closed", ""), ("open", "eth0")):
        await net.change(combined({}, {"while-not-connected": Setting(word, "")}))
        device = await net.create_device("s1", UID, OWNER)
        await net.apply(device, redirected(BOTH))
        await net.clear(device)
        assert (way(FAR), way(FAR6)) == (expected, expected)
        await ended(net, device)
    await net.close()


@isolated
async def test_another_session_of_the_user_has_it_meanwhile(tmp_path: Path) -> None:
    machine()
    net = network(tmp_path)
    with unchanged():
        first, second = [await net.create_device(f"s{number}", UID + number, OWNER) for number in (1, 2)]
        engines = [attach(device) for device in (first, second)]
        await net.apply(first, closed())
        await net.apply(second, redirected(last=3))
        with never_past(FAR, FAR6):
            assert way(FAR) == first
            await net.clear(first)
            assert (way(FAR), way(FAR6)) == (second, second)
            assert (await net.look(second)).pending == []
            os.close(engines[1])
            await net.delete_device(second)
            assert (way(FAR), way(FAR6)) == ("", "")
        os.close(engines[0])
        await ended(net, first)
    await net.close()


@isolated
async def test_an_instance_that_was_killed_stays_closed_until_the_next(tmp_path: Path) -> None:
    machine()
    with unchanged():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:

            async def apply() -> None:
                net = network(tmp_path)
                device = await net.create_device("s1", UID, OWNER)
                engine = attach(device)
                await net.apply(device, closed(Redirect(BOTH.networks, block_local=True)))
                os.set_inheritable(engine, True)
                os.write(writer, b"x")
                await asyncio.Event().wait()

            asyncio._set_running_loop(None)  # the parent's
            asyncio.run(apply())
        assert os.read(reader, 1)
        with never_past(FAR, FAR6, NEIGHBOUR):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            while way(FAR):
                await asyncio.sleep(0.01)
        net = network(tmp_path, numbers=Numbers(7000, 8000))
        assert await net.recover() == ["tun0"]
    await net.close()


@isolated
async def test_a_device_is_prepared_once(tmp_path: Path) -> None:
    """With each such request the kernel may skip its IPv6 routes for a while (rule_requests.ignore_when_dead)."""
    machine()
    net, prepared, request = network(tmp_path), list[str](), requests.request

    def noting(link: NetlinkSocket, what: str, *arguments: Any) -> None:
        prepared.extend([what] if "prepare" in what else [])
        request(link, what, *arguments)

    device = await net.create_device("s1", UID, OWNER)
    engine = attach(device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(requests, "request", noting)
        for _ in range(3):
            await net.apply(device, closed())
    assert len(prepared) == 1
    os.close(engine)
    await ended(net, device)
    await net.close()
