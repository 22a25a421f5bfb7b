"""Fixtures of the tests in which bob does what he likes, and alice is not to notice."""

import shutil
from collections.abc import Iterator

import pytest

from openvpn3_sessionmgr.tests.lab.lab import Lab
from openvpn3_sessionmgr.tests.lab.pki import Pki
from openvpn3_sessionmgr.tests.neighbours.neighbours import Neighbours
from openvpn3_sessionmgr.tests.support.skipping import cannot_run_here


@pytest.fixture(scope="session")
def pki() -> Pki:
    """Certificates, made once a run."""
    return Pki()


@pytest.fixture
def lab(pki: Pki) -> Iterator[Lab]:
    """Two machines and a cable.  The test fails if something is left in them at its end."""
    with Lab(pki) as made:
        yield made


@pytest.fixture(params=["dbus-daemon", "dbus-broker"])
def neighbours(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Neighbours]:
    """Alice's connected session, on each kind of bus; she keeps it, and is answered."""
    if shutil.which(request.param) is None:
        cannot_run_here(f"{request.param} is not installed")
    lab.bus_program = request.param
    made = Neighbours(lab)
    yield made
    made.check_alice()
    made.close()
