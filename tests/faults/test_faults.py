"""A few rounds, as each `make test` can afford; `make faults` has all."""

import secrets

from ..lab.lab import Lab
from ..lab.pki import Pki
from . import rounds
from .run import faults_of
from .world import World

ROUNDS = 20


def test_nobody_notices(pki: Pki) -> None:
    seed = secrets.randbelow(1_000_000)
    print(f"seed {seed}")
    with Lab(pki) as lab, World(lab) as world:
        assert faults_of(world, rounds.at_random(seed, ROUNDS)) == []
        world.end_flow()
        assert world.wrong == []
