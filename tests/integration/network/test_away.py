"""Devices in users' network namespaces, on the real kernel; each test in namespaces of its own."""

import asyncio
import os
import socket
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from ....kernel import process
from ....supervisor.errors import InvalidValue, SystemFailure
from ....supervisor.network.handed import DeviceGone, HandedNamespace
from ...support.isolated import OWNER, UID, V4, addresses, attach, isolated, link, network, settings, shell
from ...support.user_namespace import UserNamespace
from ...support.waiting import until


@isolated
async def test_there_and_back(tmp_path: Path) -> None:
    """Its engine goes on with it; it is no removal, and what was set before can be set again."""
    net = network(tmp_path)
    removed = list[str]()
    net.on_removal = lambda session, device: removed.append(device)
    with UserNamespace(OWNER) as user:
        space = HandedNamespace(os.dup(user.handed), OWNER)
        device = await net.create_device("s1", UID, OWNER)
        engine = attach(device)
        assert user.run("ip link add taken index 2 type veth peer name far index 9") == ""
        for _ in range(2):
            await net.apply(device, settings(V4))
            await net.clear(device)
            await net.away.move(device, space)
            assert link(device) is None
            user.run(f"ip address add 198.18.0.2/24 dev {device}")
            user.run(f"ip link set {device} up")
            assert user.run("bash -c echo>/dev/udp/198.18.0.3/9") == ""
            while os.read(engine, 2000)[12:20] != bytes([198, 18, 0, 2, 198, 18, 0, 3]):
                pass  # what the kernel sends by itself
            await net.away.bring_back(device)
            assert addresses(device) == set()
        await net.apply(device, settings(V4))
        assert addresses(device) == {"198.18.0.2/32"}
        space.close()
        os.close(engine)
        await net.delete_device(device)
    await net.look(device)
    assert removed == []
    assert link(device) is None
    await net.close()


@isolated
async def test_its_name_is_not_used_meanwhile(tmp_path: Path) -> None:
    net = network(tmp_path)
    with UserNamespace(OWNER) as user:
        space = HandedNamespace(os.dup(user.handed), OWNER)
        device = await net.create_device("s1", UID, OWNER)
        await net.away.move(device, space)
        second = await net.create_device("s2", UID + 1, OWNER)
        assert second != device
        await net.away.bring_back(device)
        for one in (device, second):
            await net.delete_device(one)
        space.close()
    await net.close()


@pytest.mark.parametrize(
    "act",
    [
        "ip link del {0}",
        "ip link set {0} name other",
        "ip link add other type veth peer name far; ip link del {0}; ip link set other name {0}",
        "ip link property add dev {0} altname eth7",
        "ip link set {0} group 7",
    ],
)
def test_what_its_user_does_with_it(tmp_path: Path, act: str) -> None:
    """The device is gone, and nothing else comes to this machine in its place."""

    @isolated
    async def test(place: Path) -> None:
        net = network(place)
        with UserNamespace(OWNER) as user:
            space = HandedNamespace(os.dup(user.handed), OWNER)
            device = await net.create_device("s1", UID, OWNER)
            await net.away.move(device, space)
            before = shell("ip -o link")
            for command in act.format(device).split("; "):
                assert user.run(command) == ""
            with pytest.raises(DeviceGone):
                await net.away.bring_back(device)
            assert shell("ip -o link") == before
            await net.delete_device(device)
            space.close()
        await net.close()

    test(tmp_path)


@isolated
async def test_another_device_has_its_name_there(tmp_path: Path) -> None:
    """It stays, and can be used."""
    net = network(tmp_path)
    with UserNamespace(OWNER) as user:
        space = HandedNamespace(os.dup(user.handed), OWNER)
        device = await net.create_device("s1", UID, OWNER)
        assert user.run(f"ip link add {device} type veth peer name far") == ""
        with pytest.raises(SystemFailure, match="cannot move the device"):
            await net.away.move(device, space)
        assert device not in net.away
        await net.apply(device, settings(V4))
        space.close()
        await net.delete_device(device)
    await net.close()


@isolated
async def test_a_move_that_is_given_up(tmp_path: Path) -> None:
    net = network(tmp_path)
    with UserNamespace(OWNER) as user:
        space = HandedNamespace(os.dup(user.handed), OWNER)
        device = await net.create_device("s1", UID, OWNER)
        for rounds in range(4):
            moving = asyncio.create_task(net.away.move(device, space))
            for _ in range(rounds):
                await asyncio.sleep(0)
            moving.cancel()
            await asyncio.wait([moving])
            await asyncio.gather(net.away.bring_back(device), net.away.bring_back(device))
            assert link(device) is not None
        space.close()
        await net.delete_device(device)
    await net.close()


def _sockets() -> dict[str, int]:
    """What is no socket in a user's network namespace, by why not."""
    with tempfile.TemporaryFile() as file, socket.socket(socket.AF_UNIX) as local, socket.socket() as other:
        generic = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        machines = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        found = {"no socket:": file.fileno(), "no socket for": local.fileno(), "for network devices": other.fileno()}
        found |= {"NETLINK_ROUTE": generic.fileno(), "machine's": machines.fileno()}
        kept = {text: os.dup(one) for text, one in found.items()}
        generic.close()
        machines.close()
        return kept


def _is_closed(descriptor: int) -> bool:
    return not os.path.lexists(f"/proc/self/fd/{descriptor}")


def _socket_elsewhere() -> int:
    """A socket in a new network namespace of this machine's."""
    process.unshare(process.CLONE_NEWNET)  # of this thread
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE).detach()


@isolated
async def test_root_may_have_any_of_the_machines(tmp_path: Path) -> None:
    """But for the service's own; others may not."""
    with ThreadPoolExecutor(1) as thread:
        handed = thread.submit(_socket_elsewhere).result()
    with pytest.raises(InvalidValue, match="machine's"):
        HandedNamespace(os.dup(handed), OWNER)
    net = network(tmp_path)
    space = HandedNamespace(handed, 0)
    device = await net.create_device("s1", UID, 0)
    await net.away.move(device, space)
    assert link(device) is None
    await net.away.bring_back(device)
    await net.delete_device(device)
    space.close()
    await net.close()


@isolated
async def test_only_a_namespace_of_its_users(tmp_path: Path) -> None:
    """Every other descriptor is refused, and closed."""
    for text, handed in _sockets().items():
        with pytest.raises(InvalidValue, match=text):
            HandedNamespace(handed, 0 if text == "machine's" else OWNER)
        await until(partial(_is_closed, handed))
    space = os.open("/proc/self/ns/net", os.O_RDONLY)
    with pytest.raises(InvalidValue, match="no socket:"):
        HandedNamespace(space, OWNER)
    with UserNamespace(OWNER) as user:
        for uid in (0, OWNER + 1):
            with pytest.raises(InvalidValue, match="belongs to another user"):
                HandedNamespace(os.dup(user.handed), uid)
