"""What becomes of each sample profile: read as `ovpnctl` does, and compiled as a worker does."""

from pathlib import Path

import pytest

from ...ctl.exits import CommandError
from ...ctl.profile_file import read_profile
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import ProfileRefused
from ..lab.pki import Pki
from ..profiles.cases import EACH
from ..profiles.corpus import Sample
from ..profiles.papers import Papers


@pytest.fixture(scope="module")
def papers(pki: Pki) -> Papers:
    """What the samples name."""
    return Papers(pki)


@EACH
def test_verdict(sample: Sample, papers: Papers, tmp_path: Path) -> None:
    file = sample.store(tmp_path, papers)
    try:
        compiled = compile_profile(read_profile(str(file)))
    except (CommandError, ProfileRefused) as refused:
        difference = sample.difference(str(refused))
    else:
        difference = sample.difference("", compiled.warnings)
    assert not difference, difference
