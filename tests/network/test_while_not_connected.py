"""What becomes of the machine's traffic while a session that redirects it is not connected; counted on the cables."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..lab.connection import CONFIGURATION
from ..lab.network import CABLE
from ..lab.openvpn import PORT
from ..lab.processes import Process
from ..support.sessions import (
    CONNECTED,
    FAILED,
    PAUSED,
    RECONNECTING,
    UserSession,
    kill,
    kill_with_sessions,
)
from .world import FAR, FAR6, SERVERS, World

BOTH = "redirect-gateway def1 ipv6"
MARKER = b"talks-all-the-time"
TALKER = """
import itertools, socket, sys, time
one, other = (socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6))
for number in itertools.count(1):
    for sender, address in ((one, sys.argv[1]), (other, sys.argv[2])):
        try:
            sender.sendto(sys.argv[3].encode(), (address, 9))
        except OSError:
            pass
    if number % 50 == 0:
        print("has talked", flush=True)
    time.sleep(0.002)
"""


class Talker:
    """A program of alice's that sends to hosts far away without a pause."""

    def __init__(self, world: World) -> None:
        command = ["python3", "-c", TALKER, FAR, FAR6, MARKER.decode()]
        self.process: Process = world.lab.client_side.start("talker", command, "alice")

    def a_while(self) -> None:
        """Wait until it has sent more."""
        for _ in range(2):
            self.process.wait_line("has talked", since=len(self.process.lines))


@contextmanager
def talking(world: World) -> Iterator[Talker]:
    talker = Talker(world)
    try:
        yield talker
    finally:
        talker.process.stop()


def session(world: World, *more: str, word: str = "closed", restart: bool = False) -> UserSession:
    """A session of alice's with this setting."""
    alice = world.lab.connection("alice")
    profile = alice.import_profile("work", world.lab.profile(remotes=[f"{SERVERS[0]} {PORT}"], more=more))
    alice.set_setting(profile, "while-not-connected", word)
    if restart:
        alice.call(profile, CONFIGURATION, "SetOverride", "sv", "automatic-restart", ["s", "on-failure"])
    return UserSession(alice, profile, alice.new_tunnel(profile))


@pytest.mark.parametrize("more", [(), ("persist-tun",)], ids=["device anew", "device kept"])
def test_closed_lets_nothing_out_until_disconnect(world: World, more: tuple[str, ...]) -> None:
    world.server(f"{BOTH} block-local")
    world.start()
    hers = session(world, *more, restart=True)
    hers.connect()
    with talking(world) as talker, world.watched() as seen:
        talker.a_while()
        for member, arguments in (("Restart", ()), ("Pause", ("s", "lunch")), ("Resume", ())):
            before = hers.seen
            hers.call(member, *arguments)
            hers.wait(PAUSED if member == "Pause" else CONNECTED, before)
            talker.a_while()
            assert world.way(FAR) == world.way(FAR6) == ("" if member == "Pause" else "tunnel")
        for victim in ("engine", "worker"):
            before = hers.seen
            kill(hers.engine if victim == "engine" else hers.worker)
            hers.wait(RECONNECTING, before)
            talker.a_while()
            hers.wait(CONNECTED, before, deadline=60)
            talker.a_while()
        assert world.way(FAR) == world.way(FAR6) == "tunnel"
        assert seen(MARKER) == ""
        hers.call("Disconnect")
        talker.a_while()
        assert seen(MARKER) == CABLE
    assert (world.way(FAR), world.way(FAR6)) == (CABLE, CABLE)


def test_a_session_that_failed_has_nothing_closed(world: World) -> None:
    world.server(BOTH)
    world.start("--while-not-connected", "closed")
    hers = session(world, word="default")
    hers.connect()
    assert world.way(FAR) == "tunnel"
    kill(hers.worker)
    hers.wait(FAILED)
    world.wait_way(FAR, CABLE)
    world.wait_way(FAR6, CABLE)


def test_disconnect_while_another_worker_is_awaited(world: World) -> None:
    world.server(BOTH)
    world.start("--while-not-connected", "always-closed")
    hers = session(world, word="open", restart=True)
    hers.connect()
    before = hers.seen
    kill(hers.engine)
    hers.wait(RECONNECTING, before)
    assert world.way(FAR) == world.way(FAR6) == ""
    hers.call("Disconnect")
    world.wait_way(FAR, CABLE)


def test_the_service_is_killed_with_its_sessions(world: World) -> None:
    """Its next start opens what was closed."""
    world.server(BOTH)
    world.start()
    hers = session(world)
    hers.connect()
    with talking(world) as talker, world.watched() as seen:
        kill_with_sessions(world.service.process)
        talker.a_while()
        assert seen(MARKER) == ""
    world.start()
    world.service.process.wait_line("Removed the default route of an earlier instance")
    world.check_unchanged()
    assert (world.way(FAR), world.way(FAR6)) == (CABLE, CABLE)
