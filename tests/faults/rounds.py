"""One round: alice's session comes to a point of its life, something fails, and what became of it is judged."""

import contextlib
import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator

from ..lab.connection import SESSIONS, SESSIONS_PATH, BusError
from ..lab.processes import LabError
from ..support.sessions import CFG_OK, CONNECTED, CONNECTING, FAILED, RECONNECTING
from .kinds import FAULTS, Fault, Victim
from .points import POINTS, Point
from .world import PATIENCE, World

_TRIPS = 30  # of a call to the bus and back, at most, between the point and the fault
_CREATED, _DESTROYED = 1, 2
_TWICE = (CFG_OK, CONNECTING, RECONNECTING)  # as OpenVPN 3 Linux tells them


def each() -> Iterator[tuple[Point, Fault, int]]:
    """Each fault at each point."""
    for fault in FAULTS:
        for point in POINTS:
            yield point, fault, 0


def at_random(seed: int, count: int) -> Iterator[tuple[Point, Fault, int]]:
    """So many rounds, with some round trips on the bus before the fault."""
    chance = random.Random(seed)
    for _ in range(count):
        yield chance.choice(POINTS), chance.choice(FAULTS), chance.randrange(_TRIPS)


def run(world: World, point: Point, fault: Fault, trips: int = 0) -> list[str]:
    """What went wrong in a round."""
    world.wrong.clear()
    since = len(world.root.signals())
    try:
        try:
            victim = point.reach(world)
            for _ in range(trips):
                world.root.owner_of(SESSIONS)
            fault.hit(world)
        finally:
            for mend in reversed(world.mends) if not fault.fails else ():
                mend()
        fault.then(world)
        _judge(world, point, fault, victim)
    except (BusError, LabError, AssertionError) as error:
        world.wrong.append(f"alice: {type(error).__name__}: {error}")
    finally:
        for mend in reversed(world.mends) if fault.fails else ():
            mend()
        world.mends.clear()
    _clear(world)
    world.see_bob()
    world.wrong += world.settled(world.usual)
    if not fault.ends_connections:
        # Of what is told in the moment of its death, the next one cannot know.
        world.wrong += _announced(world, since)
    return list(world.wrong)


def _judge(world: World, point: Point, fault: Fault, victim: Victim) -> None:
    session = victim.session
    if fault.ends_connections:
        session.user = world.alice
        if session.path and not victim.call:
            session.call("LogForward", "b", True)  # this connection is to hear of it, too
    if victim.call:
        if not fault.ends_connections:
            point.go_on(victim)  # whichever way it goes
    elif fault.fails and point.has_worker:
        _, _, text = session.wait(FAILED, deadline=PATIENCE)
        assert re.fullmatch(fault.fails, text), text
    else:
        seen = session.seen
        if session.get("status")[1] != CONNECTED:
            point.go_on(victim)
            if session.get("status")[1] != CONNECTED:
                session.wait(CONNECTED, seen, PATIENCE)


def _clear(world: World) -> None:
    """End what alice has, then what has lasted, and remove her profiles."""
    with contextlib.suppress(LabError):
        for path in world.alice.session(SESSIONS_PATH, "FetchAvailableSessions"):
            with contextlib.suppress(BusError):
                world.alice.session(path, "Disconnect")
    while world.at_last:
        world.at_last.pop()()
    with contextlib.suppress(LabError):
        world.remove_profiles(world.alice)


def _announced(world: World, since: int) -> list[str]:
    """What was told of sessions more than once, or never."""
    world.root.owner_of(SESSIONS)  # what was sent before has come
    events = Counter(
        (str(one.arguments[0]), int(one.arguments[1]))
        for one in world.root.signals(since)
        if one.member == "SessionManagerEvent"
    )
    paths = {path for path, _ in events}
    found = [
        f"{path}: created {events[path, _CREATED]}, destroyed {events[path, _DESTROYED]} times"
        for path in sorted(paths)
        if (events[path, _CREATED], events[path, _DESTROYED]) != (1, 1)
    ]
    for path in sorted(paths):
        told = itertools.pairwise(world.alice.statuses(path))
        twice = [now for before, now in told if before == now and now[1] not in _TWICE]
        found += [f"{path}: {one} twice, one after the other" for one in twice]
    return found
