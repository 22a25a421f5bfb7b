"""Nothing is left on a machine of a session with all there is, whichever process is killed (`world` looks)."""

import os
import signal

import pytest

from ..lab.network import CABLE
from ..support.sessions import FAILED, kill, processes_of_sessions, wait_gone
from .world import FAR, FAR6, World

PUSHES = (
    *("redirect-gateway def1 ipv6 block-local", "route 192.0.2.2 255.255.255.255 net_gateway"),
    *("dhcp-option DNS 198.18.0.1", "dhcp-option DOMAIN corp.example"),
)


@pytest.mark.parametrize("who", ["engine", "worker", "service"])
def test_a_process_that_is_killed(world: World, who: str) -> None:
    resolved = world.lab.resolved()
    world.server(*PUSHES)
    world.start()
    session = world.session()
    session.connect()
    assert world.way(FAR) == world.way(FAR6) == "tunnel"
    assert "198.18.0.1" in resolved.ctl("dns", "tun0")
    if who == "service":
        processes = processes_of_sessions()
        os.kill(world.service.pid, signal.SIGKILL)
        wait_gone(processes)
        world.start()
    else:
        kill(session.engine if who == "engine" else session.worker)
        session.wait(FAILED)
    world.wait_way(FAR, CABLE)
    world.wait_way(FAR6, CABLE)
