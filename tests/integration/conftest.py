"""Fixtures of the tests on real processes."""

from collections.abc import Iterator

import pytest

from openvpn3_sessionmgr.tests.lab.lab import Lab
from openvpn3_sessionmgr.tests.lab.pki import Pki
from openvpn3_sessionmgr.tests.support.configuration_service import Configuration
from openvpn3_sessionmgr.tests.support.sessions import UserSession, begin


@pytest.fixture
def lab(pki: Pki) -> Iterator[Lab]:
    """Two machines and a cable.  The test fails if something is left in them at its end."""
    with Lab(pki) as made:
        yield made


@pytest.fixture
def configuration(lab: Lab) -> Configuration:
    """The configuration service by itself, without a session manager."""
    return Configuration(lab)


@pytest.fixture
def session(lab: Lab) -> UserSession:
    """Alice's session, not connected, with a server and the service."""
    lab.server()
    lab.supervisor()
    return begin(lab)
