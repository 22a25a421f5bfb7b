"""Fixtures of the tests with hostile programs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from openvpn3_sessionmgr.tests.lab.pki import Pki


@pytest.fixture(scope="session")
def pki() -> Pki:
    """Certificates, made once a run."""
    return Pki()


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """A directory for programs that every user can execute."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as made:
        Path(made).chmod(0o755)
        yield Path(made)
