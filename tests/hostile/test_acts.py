"""Each act of a hostile engine and of a hostile worker, with no layer of the sandbox, with each alone, and with all."""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...policy.sandbox.layers import Layer, join
from ..lab.lab import Lab
from ..lab.pki import Pki
from ..support.skipping import cannot_run_here
from .acts import ACTS, Act, Where, stopped_in_engine, stopped_in_worker
from .victims import HAS_CONTROLLERS, HAS_PUPPETS, Trials, Victims

ALONE = [str(layer) for layer in Layer if layer is not Layer.CGROUP or HAS_CONTROLLERS]
TOGETHER = sorted({join(enough) for act in ACTS for enough in act.stopped_by if len(enough) > 1})
SELECTIONS = ["none", *ALONE, *TOGETHER, "available"]
FILTERED = [str(Layer.SECCOMP), "available"]


@pytest.fixture(scope="module")
def trials(pki: Pki, program: Path) -> Iterator[Trials]:
    """A lab for all services of this file."""
    with Lab(pki) as lab, Victims(lab, program) as victims:
        yield Trials(lab, program, victims)


def check(trials: Trials, act: Act, number: int, *, stopped: bool) -> None:
    """Compare an outcome with what is expected."""
    without = trials.outcomes("none").engine[act.name]
    if without in (errno.ENOSYS, errno.EAFNOSUPPORT):
        cannot_run_here(f"this kernel has nothing to {act.what} with")
    outcome = errno.errorcode.get(number, str(number)) if number else "it came off"
    assert (number != 0) is stopped, f"{act.what}: {outcome}"


@pytest.mark.parametrize("layers", SELECTIONS)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
def test_in_the_engine(trials: Trials, act: Act, layers: str) -> None:
    """It comes off, unless something that is on stops it."""
    outcomes = trials.outcomes(layers)
    check(trials, act, outcomes.engine[act.name], stopped=stopped_in_engine(act, outcomes.layers))


@pytest.mark.parametrize(
    ("act", "layers"),
    [
        (act, layers)
        for act in (ACTS if HAS_PUPPETS else ())
        for layers in {Where.ANYWHERE: SELECTIONS, Where.FOR_GOOD: FILTERED, Where.ENGINE_ONLY: []}[act.where]
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_in_the_worker(trials: Trials, act: Act, layers: str) -> None:
    """The same; what a worker may not come back from is tried only where it has its filter."""
    outcomes = trials.outcomes(layers)
    check(trials, act, outcomes.worker[act.name], stopped=stopped_in_worker(act, outcomes.layers))


def test_the_table_has_all_acts(trials: Trials) -> None:
    """Those of the program, in the same order."""
    assert list(trials.outcomes("none").engine) == [act.name for act in ACTS]


def test_what_cannot_be_tried() -> None:
    """Counts as one that is skipped, in place of all those that are not there then."""
    if not HAS_PUPPETS:
        cannot_run_here("acts in a worker: calls can be made in another process on x86-64 only")
    if not HAS_CONTROLLERS:
        cannot_run_here("the layer cgroup: cgroup v2 has no controllers memory and pids here")
