"""Setting up networks takes CAP_NET_ADMIN and an openable /dev/net/tun, no more; what is missing is named."""

import os
from pathlib import Path

import prctl
import pytest

from ....supervisor.errors import SystemFailure
from ....supervisor.network import tun
from ...support.isolated import (
    OWNER,
    ROUTE,
    ROUTE6,
    UID,
    V4,
    V6,
    drop_to_nobody,
    isolated,
    journal,
    link,
    network,
    routes,
    settings,
    shell,
)


@isolated
async def test_cap_net_admin_is_enough(tmp_path: Path) -> None:
    node = tmp_path / "tun"
    os.mknod(node, 0o20666, Path("/dev/net/tun").stat().st_rdev)
    node.chmod(0o666)
    shell(f"mount --bind {node} /dev/net/tun")
    state = Path("/var/tmp")  # entered by everybody, unlike pytest's directories
    shell("mount -t tmpfs -o mode=1777 none /var/tmp")
    drop_to_nobody(prctl.CAP_NET_ADMIN)

    net = network(state)
    assert await net.recover() == []
    device = await net.create_device("s1", UID, OWNER)
    assert await net.apply(device, settings(V4, V6, routes=(ROUTE, ROUTE6))) == []
    assert routes(device) == {"203.0.113.0/24": 0, "2001:db8:1::/48": 55}
    await net.clear(device)
    await net.delete_device(device)
    assert link(device) is None
    assert journal(state) == []
    await net.close()


@isolated
async def test_what_is_missing_is_named(tmp_path: Path) -> None:
    shell("mount -t tmpfs -o mode=1777 none /var/tmp")
    net = network(Path("/var/tmp"))
    shell("mount --bind /dev/null /dev/net/tun")
    with pytest.raises(SystemFailure, match="cannot make a tun device: "):
        await net.create_device("s1", UID, OWNER)
    shell("umount /dev/net/tun")
    node = Path("/var/tmp/tun")
    os.mknod(node, 0o20666, Path("/dev/net/tun").stat().st_rdev)
    node.chmod(0o600)
    shell(f"mount --bind {node} /dev/net/tun")
    child = os.fork()
    if child == 0:
        drop_to_nobody()
        with pytest.raises(SystemFailure, match=r"cannot open /dev/net/tun: .*chmod 0666 /dev/net/tun"):
            tun.create(UID, (), lambda name, index: None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    node.chmod(0o666)
    child = os.fork()
    if child == 0:
        drop_to_nobody()
        with pytest.raises(SystemFailure, match="cannot make a tun device: CAP_NET_ADMIN is missing"):
            tun.create(UID, (), lambda name, index: None)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert journal(Path("/var/tmp")) == []
