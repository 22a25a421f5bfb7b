"""What an instance that was killed left behind is undone by the next one, and nothing else is."""

import asyncio
import os
import signal
import socket
from pathlib import Path

from ....supervisor.network.journal import DeviceJournal, Entry
from ....supervisor.record_file import RECORD_PLACE, RecordFile
from ...support.isolated import (
    MANY_ROUTES,
    OWNER,
    ROUTE,
    ROUTE6,
    UID,
    V4,
    V6,
    addresses,
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


def supervisor_in_a_child(directory: Path) -> int:
    """A process that makes a device and starts to set a thousand routes; its pid."""
    child = os.fork()
    if child == 0:

        async def apply() -> None:
            net = network(directory)
            device = await net.create_device("s1", UID, OWNER)
            await net.apply(device, settings(V4, V6, routes=MANY_ROUTES))

        asyncio._set_running_loop(None)  # the parent's
        asyncio.run(apply())
        os._exit(0)
    return child


@isolated
async def test_a_killed_supervisor_leaves_nothing_after_recovery(tmp_path: Path) -> None:
    with route_events() as events:
        child = supervisor_in_a_child(tmp_path)
        while socket.inet_aton("10.0.7.0") not in events.recv(65536):
            pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert 0 < len(routes("tun0")) < 1000

    net = network(tmp_path)
    assert await net.recover() == ["tun0"]
    assert link("tun0") is None
    assert journal(tmp_path) == []
    assert await net.recover() == []
    await net.close()


@isolated
async def test_recovery_clears_at_once_what_an_engine_still_holds(tmp_path: Path) -> None:
    earlier = network(tmp_path)
    device = await earlier.create_device("s1", UID, OWNER)
    await earlier.apply(device, settings(V4, V6, routes=(ROUTE, ROUTE6)))
    engine = attach(device)
    net = network(tmp_path)
    assert await net.recover() == [device]
    assert addresses(device) == set()
    assert routes(device) == {}
    os.close(engine)
    await net.close()
    assert link(device) is None
    assert journal(tmp_path) == []


@isolated
async def test_recovery_leaves_alone_what_others_made(tmp_path: Path) -> None:
    earlier = network(tmp_path)
    mine, gone = [await earlier.create_device("s", UID, OWNER) for _ in range(2)]
    for device in (mine, gone):
        shell(f"ip link del {device}")
    shell(f"ip tuntap add dev {mine} mode tun user {UID}")
    shell(f"ip link set {mine} up")
    shell(f"ip addr add 198.18.0.2/24 dev {mine}")

    DeviceJournal(tmp_path / "journal").write(Entry(mine, socket.if_nametoindex(mine), "another boot", UID, "s"))
    net = network(tmp_path)
    assert await net.recover() == []
    assert addresses(mine) == {"198.18.0.2/24"}
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_recovery_tolerates_damaged_records(tmp_path: Path) -> None:
    earlier = network(tmp_path)
    device = await earlier.create_device("s1", UID, OWNER)
    file = tmp_path / "journal" / "records"
    records = RecordFile(file)
    for damaged in (b"[]", b"{", os.urandom(100)):
        records.add(damaged)
    with file.open("r+b") as raw:
        raw.seek(records.add(b"cut off") * RECORD_PLACE + 8)
        raw.write(bytes(100))
    net = network(tmp_path)
    assert await net.recover() == [device]
    assert journal(tmp_path) == []
    net._log.close(5)
    logged = (tmp_path / "log").read_text()
    for what in ("Input data was truncated", "Expected `object`, got `array`", "it is not whole"):
        assert f"WARNING: The record of a device is not readable and was removed: {what}" in logged
    await net.close()
