"""The only way for a test to be skipped."""

from typing import NoReturn

import pytest

from ..lab import skips


def cannot_run_here(reason: str) -> NoReturn:
    """Skip the running test because this machine lacks what it needs."""
    pytest.skip(skips.CANNOT_RUN + reason)
