"""Fixtures of the tests on name servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from openvpn3_sessionmgr.tests.lab.lab import Lab
from openvpn3_sessionmgr.tests.lab.private_etc import PrivateEtc
from openvpn3_sessionmgr.tests.lab.surroundings import RESOLV_CONF, SHARED
from openvpn3_sessionmgr.tests.support.traces import Traces


@pytest.fixture(autouse=True)
def resolv_conf() -> Iterator[None]:
    """The lab's resolv.conf, which all tests of a run share, is as before in the end."""
    before = RESOLV_CONF.read_text()
    yield
    RESOLV_CONF.write_text(before)


@pytest.fixture
def private_etc(tmp_path: Path) -> Iterator[PrivateEtc]:
    """An /etc in which files may be replaced; to be asked for before the lab."""
    with PrivateEtc(SHARED / f"etc-{tmp_path.name}") as made:
        yield made


@pytest.fixture(autouse=True)
def unchanged(request: pytest.FixtureRequest) -> Iterator[None]:
    """In the end the machine's network is as before, and name servers but where the test changes them itself."""
    for earlier in {"private_etc", "package", "kind"} & set(request.fixturenames):
        request.getfixturevalue(earlier)
    lab: Lab = request.getfixturevalue("lab")
    traces = Traces(lab)
    yield
    traces.check(names=request.node.get_closest_marker("changes_names") is None)
