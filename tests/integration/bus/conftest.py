"""A bus for the tests of the bus layer."""

from collections.abc import Iterator

import pytest

from openvpn3_sessionmgr.tests.support.bus_fixture import PrivateBus, private_bus


@pytest.fixture
def bus() -> Iterator[PrivateBus]:
    """A dbus-daemon of its own that lets everybody do everything."""
    with private_bus() as made:
        yield made
