"""Fixtures of the tests on what the administrator decides."""

from collections.abc import Iterator

import pytest

from openvpn3_sessionmgr.tests.lab.surroundings import members


@pytest.fixture(autouse=True)
def groups() -> Iterator[None]:
    """The groups, which all tests of a run share, are as before in the end."""
    yield
    members()
