"""Fixtures of the tests that watch, from outside, what goes through tunnels and what past them."""

from collections.abc import Iterator

import pytest

from openvpn3_sessionmgr.tests.lab.lab import Lab
from openvpn3_sessionmgr.tests.lab.pki import Pki
from openvpn3_sessionmgr.tests.network.world import World


@pytest.fixture(scope="session")
def pki() -> Pki:
    """Certificates, made once a run."""
    return Pki()


@pytest.fixture
def lab(pki: Pki) -> Iterator[Lab]:
    """Two machines and a cable.  The test fails if something is left in them at its end."""
    with Lab(pki) as made:
        yield made


@pytest.fixture
def world(lab: Lab) -> Iterator[World]:
    """The lab with two gateways and hosts beyond; in the end the client's machine routes as it did before."""
    with World(lab) as made:
        yield made
