"""Which release's clients are used, and what this project's service does not do for them yet."""

import pytest

from openvpn3_sessionmgr.tests.lab.incumbent_tree import RELEASES, Release
from openvpn3_sessionmgr.tests.support.skipping import cannot_run_here


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave these out of a run of all tests: they are asked for by name."""
    return None if any("tests/frontends" in argument for argument in config.args) else True


@pytest.fixture(params=RELEASES, ids=lambda release: f"v{release.version}")
def release(request: pytest.FixtureRequest) -> Release:
    """The release whose clients are used."""
    chosen: Release = request.param
    if not chosen.tree.exists():
        cannot_run_here(f"{chosen.tree} is missing; `make incumbent-trees` makes it")
    return chosen
