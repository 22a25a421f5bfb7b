"""A short siege, as each `make test` can afford; `make siege` is the long one."""

import secrets

from ..lab.lab import Lab
from ..lab.pki import Pki
from .siege import Plan, Siege


def test_alice_notices_nothing(pki: Pki) -> None:
    seed = secrets.randbelow(1_000_000)
    plan = Plan(seed=seed, seconds=12, warm_up=4, a_round=12, connections=300, users=1)
    print(f"seed {plan.seed}")
    with Lab(pki) as lab:
        assert Siege(lab, plan, print).run() == []
