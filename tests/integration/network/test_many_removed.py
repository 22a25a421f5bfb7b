"""Many devices that are removed at once, on the real kernel; each test in namespaces of its own."""

import asyncio
import os
import secrets
from pathlib import Path

import pytest

from ....kernel.netlink.netlink_socket import NetlinkSocket
from ....policy.network import Address
from ....supervisor.errors import SystemFailure
from ....supervisor.network import device_group, dumps, tun
from ....supervisor.record_file import RecordFile
from ...support.isolated import OWNER, UID, addresses, attach, isolated, link, network, settings, shell

MANY = 40


def present() -> set[str]:
    with dumps.questions() as asked:
        return {one.name for one in dumps.links(asked)}


@isolated
async def test_sessions_that_end_together(tmp_path: Path) -> None:
    """With all that is set on them, whether or not it was undone before; what a process has open goes later."""
    net = network(tmp_path)
    before = present()
    devices = [await net.create_device(f"s{number}", UID + number, OWNER) for number in range(MANY)]
    for number, device in enumerate(devices):
        if number % 3:
            await net.apply(device, settings(Address(f"198.18.0.{number + 1}", 24)))
    await net.clear(devices[1])
    shell(f"ip link set {devices[5]} group 7")
    engine = attach(devices[2])
    await asyncio.gather(*map(net.delete_device, devices))
    assert present() == {*before, devices[2]}
    assert addresses(devices[2]) == set()
    left = link(devices[2])
    assert left is not None and "UP" not in left["flags"]
    os.close(engine)
    again = await net.create_device("s", UID, OWNER)
    await net.apply(again, settings(Address("198.18.0.5", 24)))  # another has had it before
    await net.delete_device(again)
    await net.close()
    assert present() == before
    records = RecordFile(tmp_path / "records")
    assert records.read() == {}
    records.close()


def made(number: int) -> dict[int, str]:
    names = dict(tun.create(UID, (), lambda name, index: None) for _ in range(number))
    return {index: name for name, index in names.items()}


@isolated
async def test_by_one_request(tmp_path: Path) -> None:
    """Those that nobody has open, and that are what they were; a device that is no longer there is none."""
    ours = made(MANY)
    opened, renamed, gone, *rest = ours
    engine = attach(ours[opened])
    shell(f"ip link set {ours[renamed]} name other")
    shell(f"ip link delete {ours[gone]}")
    assert device_group.remove(ours) == {*rest}
    assert {ours[opened], "other"} <= present()
    assert not {ours[index] for index in rest} & present()
    os.close(engine)
    assert device_group.remove(dict.fromkeys((opened,), ours[opened])) == {opened}
    assert device_group.remove(ours) == set()


def test_a_group_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter([0, 77, 78])
    monkeypatch.setattr(secrets, "randbits", lambda _: next(numbers))

    @isolated
    async def test(_: Path) -> None:
        shell("ip tuntap add mode tun name theirs")
        shell("ip link set theirs group 77")
        ours = made(2)
        assert device_group.remove(ours) == set(ours)
        assert "theirs" in present()

    test(tmp_path)


def test_a_device_of_others_that_joins_the_group_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is removed then, and what was ours is in the group that it was in."""
    first: list[int] = []

    @isolated
    async def test(_: Path) -> None:
        shell("ip tuntap add mode tun name theirs")
        ours = made(2)
        shell(f"ip link set {next(iter(ours.values()))} group 7")
        request = NetlinkSocket.request

        def joined(asking: NetlinkSocket, kind: int, body: bytes, flags: int = 0) -> None:
            request(asking, kind, body, flags)
            if not first:
                first.append(1)
                with dumps.questions() as asked:
                    [group] = {one.group for one in dumps.links(asked)} - {0, 7}
                shell(f"ip link set theirs group {group}")

        monkeypatch.setattr(NetlinkSocket, "request", joined)
        with pytest.raises(SystemFailure, match="somebody else uses one of them, or its group"):
            device_group.remove(ours)
        with dumps.questions() as asked:
            groups = [one.group for one in dumps.links(asked) if one.index in ours]
        assert sorted(groups) == [0, 7]
        assert "theirs" in present()

    test(tmp_path)
