"""`make faults`: in the laboratory, `python -m openvpn3_sessionmgr.tests.faults.run`.

    python -m openvpn3_sessionmgr.tests.faults.run [--seed N] [--rounds N] [--only TEXT]

Ends with status 1 if anybody noticed what was not theirs, or anything was left.
"""

import argparse
import itertools
import secrets
import sys
import time
from collections.abc import Iterable

from ..lab.lab import Lab
from . import rounds
from .kinds import Fault
from .points import Point
from .world import World

_LINES = 80  # of the service's log, that are shown with what went wrong


def faults_of(world: World, wanted: Iterable[tuple[Point, Fault, int]], *, loud: bool = True) -> list[str]:
    """Run these rounds; what went wrong in each, by its name."""
    wrong = []
    for number, (point, fault, trips) in enumerate(wanted, 1):
        began = time.monotonic()
        found = rounds.run(world, point, fault, trips)
        name = f"{fault.name}, {point.name}" + (f", after {trips} round trips" if trips else "")
        wrong += [f"{name}: {one}" for one in found]
        if loud:
            logged = world.log.read_text(errors="replace").splitlines()[-_LINES:] if found else []
            said = "".join(f"\n    {one}" for one in (*found, *logged))
            print(f"{number:4} {time.monotonic() - began:5.1f} s  {name}{said}", flush=True)
    return wrong


def main() -> int:
    """Run what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(description="Have everything fail, and see whether anybody notices.")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of random rounds (by chance)")
    parser.add_argument("--rounds", type=int, default=200, help="at random (%(default)s)")
    parser.add_argument("--only", default="", help="of the enumerated ones, those with this in their name; none: -")
    options = parser.parse_args()
    print(f"seed {options.seed}, {options.rounds} random rounds", flush=True)
    chosen = [one for one in rounds.each() if options.only in f"{one[1].name}, {one[0].name}"]
    with Lab() as lab, World(lab) as world:
        wrong = faults_of(world, itertools.chain(chosen, rounds.at_random(options.seed, options.rounds)))
        world.wrong.clear()
        world.end_flow()
        wrong += world.wrong
        for text in world.wrong:
            print(text)
    print(f"seed {options.seed}: {len(wrong)} faults that were noticed" if wrong else "nobody noticed anything")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
