"""Marks of what answers who connected from outside, on the real kernel; packets are in network/test_from_outside.py."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from ....supervisor.network import nf_tables as nft
from ...support.isolated import OWNER, UID, attach, isolated, journal, network, shell
from ...support.redirected import FAR, FAR6, machine, redirected, state, unchanged, way

CHAINS = ("forwarded answers", "forwarded questions", "own answers")


def strict(value: int) -> None:
    Path("/proc/sys/net/ipv4/conf/eth0/rp_filter").write_text(f"{value}\n")


def looks_at_marks() -> bool:
    return Path("/proc/sys/net/ipv4/conf/eth0/src_valid_mark").read_text() == "1\n"


@isolated
async def test_they_are_there_while_any_session_redirects(tmp_path: Path) -> None:
    machine()
    strict(1)
    net = network(tmp_path)
    with unchanged():
        before = shell("nft list ruleset")
        devices = [await net.create_device(f"s{number}", UID + number, 0) for number in (0, 1)]
        engines = [attach(device) for device in devices]
        for number, device in enumerate(devices):
            assert all(chain not in shell("nft list ruleset") for chain in CHAINS) or number
            await net.apply(device, redirected(last=2 + number))
            assert all(chain in shell("nft list ruleset") for chain in CHAINS)
            assert "fwmark 0x10000000/0x10000000 lookup main" in shell("ip rule")
            assert "fwmark 0x10000000/0x10000000 lookup main" in shell("ip -6 rule")
            assert looks_at_marks()
            for version in ("-4", "-6"):
                there = shell(f"ip {version} route get {FAR if version == '-4' else FAR6} uid {OWNER} mark 0x10000000")
                assert "dev eth0" in there
        for engine, device in zip(engines, devices, strict=True):
            os.close(engine)
            await net.delete_device(device)
        assert shell("nft list ruleset") == before
        assert not looks_at_marks()
    assert journal(tmp_path) == []
    await net.close()


@isolated
async def test_a_setting_that_somebody_else_has_made_stays(tmp_path: Path) -> None:
    machine()
    strict(1)
    Path("/proc/sys/net/ipv4/conf/eth0/src_valid_mark").write_text("1\n")
    net = network(tmp_path)
    device = await net.create_device("s1", UID, OWNER)
    await net.apply(device, redirected())
    await net.delete_device(device)
    assert looks_at_marks()
    await net.close()


@isolated
async def test_where_connections_cannot_be_tracked_the_rest_works(tmp_path: Path) -> None:
    machine()
    strict(1)
    net = network(tmp_path)
    with unchanged(), pytest.MonkeyPatch.context() as patch:
        # The kernel's answer is the same as to an expression whose module is missing.
        patch.setattr(nft, "load_connection", lambda _: nft._expression("not-there", b""))
        device = await net.create_device("s1", UID, OWNER)
        engine = attach(device)
        assert await net.apply(device, redirected()) == []
        assert way(FAR) == way(FAR6) == device
        assert "fwmark" not in state()
        assert not looks_at_marks()
        os.close(engine)
        await net.delete_device(device)
    await net.close()
    [line] = [line for line in (tmp_path / "log").read_text().splitlines() if "cannot be tracked" in line]
    assert "only root's services answer" in line


@isolated
async def test_an_instance_that_was_killed_leaves_nothing(tmp_path: Path) -> None:
    machine()
    strict(1)
    with unchanged():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:

            async def apply() -> None:
                net = network(tmp_path)
                device = await net.create_device("s1", UID, OWNER)
                await net.apply(device, redirected())
                os.write(writer, b"x")
                await asyncio.Event().wait()

            asyncio._set_running_loop(None)  # the parent's
            asyncio.run(apply())
        assert os.read(reader, 1)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert looks_at_marks()
        assert "own answers" in shell("nft list ruleset")
        net = network(tmp_path)
        assert await net.recover() == ["tun0"]
        assert not looks_at_marks()
        assert shell("nft list ruleset") == ""
    assert journal(tmp_path) == []
    await net.close()
