"""Nothing is left on a machine of a session with all there is, whichever process is killed (`world` looks)."""

import os
import signal

import pytest

from ..lab.network import CABLE
from ..support.sessions import FAILED, kill, kill_with_sessions
from .world import FAR, FAR6, World

PUSHES = (
    *("redirect-gateway def1 ipv6 block-local", "route 192.0.2.2 255.255.255.255 net_gateway"),
    *("dhcp-option DNS 198.18.0.1", "dhcp-option DOMAIN corp.example"),
)


@pytest.mark.parametrize("who", ["engine", "worker", "service", "service with sessions"])
def test_a_process_that_is_killed(world: World, who: str) -> None:
    resolved = world.lab.resolved()
    world.server(*PUSHES)
    world.start()
    session = world.session()
    session.connect()
    assert world.way(FAR) == world.way(FAR6) == "tunnel"
    assert "198.18.0.1" in resolved.ctl("dns", "tun0")
    if who == "service":
        os.kill(world.service.pid, signal.SIGKILL)
        world.start()
        world.service.process.wait_line("Took over 1 session")
        assert world.way(FAR) == world.way(FAR6) == "tunnel"
        session.call("Disconnect")
    elif who == "service with sessions":
        kill_with_sessions(world.service.process)
        world.start()
    else:
        kill(session.engine if who == "engine" else session.worker)
        session.wait(FAILED)
    world.wait_way(FAR, CABLE)
    world.wait_way(FAR6, CABLE)
