"""The points of a session's life at which something may fail."""

from collections.abc import Callable
from dataclasses import dataclass

from ..lab.connection import CONFIGURATION, SESSIONS, SESSIONS_PATH, BusError
from ..lab.processes import LabError
from ..support.sessions import CONNECTING, PAUSED, RECONNECTING, UserSession, begin
from .kinds import Victim
from .world import PATIENCE, World

_REMOTE = "vpn.example 1194"


@dataclass(frozen=True)
class Point:
    """A point: how alice's session comes there, and goes on from there when nothing failed."""

    name: str
    reach: Callable[[World], Victim]
    go_on: Callable[[Victim], None] = lambda victim: None
    has_worker: bool = True  # for certain, as its engine


def _made(world: World) -> Victim:
    return Victim(begin(world.lab, "work", "alice", world.alice, remotes=[_REMOTE]))


def _connected(world: World) -> Victim:
    victim = _made(world)
    victim.session.connect()
    return victim


def _being_made(world: World) -> Victim:
    profile = world.alice.import_profile("work", world.lab.profile(remotes=[_REMOTE]))
    call = world.alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
    return Victim(UserSession(world.alice, profile, ""), call)


def _connecting(world: World) -> Victim:
    victim = _made(world)
    world.server.process.freeze()
    world.mends.append(world.server.process.thaw)
    victim.session.call("Connect")
    victim.session.wait(CONNECTING)
    return victim


def _looking_up(world: World) -> Victim:
    victim = _made(world)
    world.names.freeze()
    world.mends.append(world.names.thaw)
    victim.session.call("Connect")
    victim.session.wait(CONNECTING)
    return victim


def _paused(world: World) -> Victim:
    victim = _connected(world)
    victim.session.call("Pause", "s", "")
    victim.session.wait(PAUSED)
    return victim


def _reconnecting(world: World) -> Victim:
    victim = _connected(world)
    world.server.process.freeze()
    world.mends.append(world.server.process.thaw)
    seen = victim.session.seen
    victim.session.call("Restart")
    victim.session.wait(RECONNECTING, seen)
    return victim


def _waiting_for_another_worker(world: World) -> Victim:
    profile = world.alice.import_profile("work", world.lab.profile(remotes=[_REMOTE]))
    override = ("automatic-restart", ["s", "on-failure"])
    world.alice.call(profile, CONFIGURATION, "SetOverride", "sv", *override)
    victim = Victim(UserSession(world.alice, profile, world.alice.new_tunnel(profile)))
    victim.session.connect()
    seen = victim.session.seen
    victim.session.worker.kill()
    victim.session.wait(RECONNECTING, seen)
    return victim


def _being_ended(world: World) -> Victim:
    victim = _connected(world)
    victim.call = world.alice.start_call(victim.session.path, SESSIONS, "Disconnect")
    return victim


def _connect(victim: Victim) -> None:
    victim.session.call("Connect")


def _resume(victim: Victim) -> None:
    victim.session.call("Resume")


def _finish_making(victim: Victim) -> None:
    """Take the answer, whichever it is; where there is a session, it can be connected."""
    try:
        [victim.session.path] = victim.session.user.finish_call(victim.call, PATIENCE)
    except (BusError, LabError):
        return
    victim.session.call("Connect")


def _finish_ending(victim: Victim) -> None:
    try:
        victim.session.user.finish_call(victim.call, PATIENCE)
    except (BusError, LabError):
        pass
    victim.session.path = ""


POINTS = (
    Point("being made", _being_made, _finish_making, has_worker=False),
    Point("made", _made, _connect),
    Point("looking for its server", _looking_up),
    Point("connecting", _connecting),
    Point("connected", _connected),
    Point("paused", _paused, _resume),
    Point("reconnecting", _reconnecting),
    Point("waiting for another worker", _waiting_for_another_worker, has_worker=False),
    Point("being ended", _being_ended, _finish_ending, has_worker=False),
)
