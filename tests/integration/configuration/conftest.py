"""Users of a configuration service that runs by itself."""

import pytest

from openvpn3_sessionmgr.tests.lab.connection import BusClient
from openvpn3_sessionmgr.tests.lab.lab import Lab
from openvpn3_sessionmgr.tests.support.configuration_service import Configuration


@pytest.fixture
def alice(lab: Lab, configuration: Configuration) -> BusClient:
    """Alice, who owns things."""
    return lab.connection("alice")


@pytest.fixture
def bob(lab: Lab, configuration: Configuration) -> BusClient:
    """Bob, with whom nothing is shared."""
    return lab.connection("bob")


@pytest.fixture
def root(lab: Lab, configuration: Configuration) -> BusClient:
    """The administrator."""
    return lab.connection("root")
