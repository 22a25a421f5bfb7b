"""What an instance that was killed left behind is undone by the next one, and nothing else is."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

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

    foreign = tmp_path / "journal" / f"{mine}-{socket.if_nametoindex(mine)}.device"
    foreign.write_text(json.dumps({
        "name": mine, "index": socket.if_nametoindex(mine), "namespace": "another boot", "uid": UID, "session": "s",
    }))  # fmt: skip
    net = network(tmp_path)
    assert await net.recover() == []
    assert addresses(mine) == {"198.18.0.2/24"}
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_recovery_tolerates_damaged_files(tmp_path: Path) -> None:
    earlier = network(tmp_path)
    device = await earlier.create_device("s1", UID, OWNER)
    whole = tmp_path / "journal" / journal(tmp_path)[0]
    damaged = {
        "empty.device": b"",
        "truncated.device": whole.read_bytes()[:20],
        "garbage.device": os.urandom(100),
        "array.device": b"[]",
        "renamed.device": whole.read_bytes(),
        "unfinished.device.tmp": whole.read_bytes()[:20],
    }
    for name, content in damaged.items():
        (tmp_path / "journal" / name).write_bytes(content)
    net = network(tmp_path)
    assert await net.recover() == [device]
    assert journal(tmp_path) == []
    net._log.close(5)
    logged = (tmp_path / "log").read_text()
    for name in set(damaged) - {"unfinished.device.tmp"}:
        assert f"Network Configuration WARNING: {name} is not readable and was removed: " in logged
    await net.close()
