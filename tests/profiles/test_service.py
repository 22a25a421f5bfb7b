"""What the running service makes of each sample profile, and real tunnels of those that have a server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ...ctl.exits import CommandError
from ...ctl.profile_file import read_profile
from ...policy.dbus_numbers import StatusMinor
from ..lab.connection import BusClient, BusError
from ..lab.lab import Lab
from ..lab.openvpn import TUNNEL_ADDRESS
from ..lab.pki import Pki
from .cases import EACH, EACH_WITH_SERVER
from .corpus import Sample, names
from .journey import asked, connect, far_side
from .papers import Papers


@pytest.fixture(scope="module")
def papers(pki: Pki) -> Papers:
    """What the samples name."""
    return Papers(pki)


@pytest.fixture(scope="module")
def served(pki: Pki) -> Iterator[Lab]:
    """A lab with the service, and a name server that knows all servers."""
    with Lab(pki) as made:
        made.dns(names())
        made.supervisor()
        yield made


@pytest.fixture(scope="module")
def alice(served: Lab) -> BusClient:
    """Who has all these profiles."""
    return served.connection("alice")


def imported(alice: BusClient, sample: Sample, papers: Papers, directory: Path) -> str:
    """The object of a sample's profile.  Raises CommandError or BusError."""
    text = read_profile(str(sample.store(directory, papers)))
    return alice.import_profile(sample.name, text, single_use=True)


@EACH
def test_verdict(alice: BusClient, sample: Sample, papers: Papers, tmp_path: Path) -> None:
    try:
        profile = imported(alice, sample, papers, tmp_path)
        path = alice.new_tunnel(profile)
    except (CommandError, BusError) as refused:
        difference = sample.difference(str(refused))
        assert not difference, difference
        return
    questions = asked(alice, path)
    alice.session(path, "Disconnect")
    assert not sample.refused, "a session is there"
    assert sorted(questions) == sorted(sample.asks)


@EACH_WITH_SERVER
def test_connects(served: Lab, alice: BusClient, sample: Sample, papers: Papers, tmp_path: Path) -> None:
    with far_side(served, sample, papers):
        path = alice.new_tunnel(imported(alice, sample, papers, tmp_path))
        try:
            minor, text = connect(alice, path, sample.answers, deadline=60)
            assert minor == StatusMinor.CONN_CONNECTED, text
            assert served.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
        finally:
            alice.session(path, "Disconnect")
