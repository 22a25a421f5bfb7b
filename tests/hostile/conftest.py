"""Fixtures of the tests with hostile programs."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from openvpn3_sessionmgr.tests.hostile.victims import build


@pytest.fixture(scope="session")
def program() -> Iterator[Path]:
    """The hostile program, which every user can execute."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as made:
        Path(made).chmod(0o755)
        yield build(Path(made))
