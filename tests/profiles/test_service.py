"""What the running service makes of each sample profile, and real tunnels of those that have a server."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...ctl.services import INSPECTION
from ...policy.dbus_numbers import StatusMinor
from ..lab.connection import BusClient, BusError
from ..lab.lab import Lab
from ..lab.openvpn import TUNNEL_ADDRESS
from ..lab.pki import Pki
from .cases import EACH, EACH_WITH_SERVER
from .corpus import Sample, names, reasons
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


@EACH
def test_verdict(alice: BusClient, sample: Sample, papers: Papers, tmp_path: Path) -> None:
    profile = sample.read(tmp_path, papers)
    # The bus carries no NUL, so such a text comes no further than to ovpnctl.
    refusal = reasons(profile.verdict().refused if "\0" in profile.text else profile.refused)
    notices = list[str]()
    if not refusal:
        try:
            path = alice.new_tunnel(alice.import_profile(sample.name, profile.text, single_use=True))
        except BusError as refused:
            refusal = refused.text
        else:
            notices, questions = alice.get(path, "notices", INSPECTION), asked(alice, path)
            alice.session(path, "Disconnect")
            assert sorted(questions) == sorted(sample.asks)
    if sample.noticed:
        [added] = [one for one in notices if sample.noticed in one]
        notices.remove(added)
    difference = sample.difference(refusal, notices)
    assert not difference, difference


@EACH_WITH_SERVER
def test_connects(served: Lab, alice: BusClient, sample: Sample, papers: Papers, tmp_path: Path) -> None:
    text = sample.read(tmp_path, papers).text
    with far_side(served, sample, papers):
        path = alice.new_tunnel(alice.import_profile(sample.name, text, single_use=True))
        try:
            minor, said = connect(alice, path, sample.answers, deadline=60)
            if sample.fails:
                assert re.search(sample.fails, said), said
                return
            assert minor == StatusMinor.CONN_CONNECTED, said
            assert served.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
        finally:
            with contextlib.suppress(BusError):  # one that failed has ended
                alice.session(path, "Disconnect")
