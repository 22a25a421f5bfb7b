"""What becomes of each sample profile: read as `ovpnctl` does, and compiled as a worker does."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ...ctl.__main__ import cli
from ...ctl.exits import CommandError, CommandExit
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


@EACH
def test_check(sample: Sample, papers: Papers, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["check", str(sample.store(tmp_path, papers)), "--json"])
    if isinstance(done.exception, CommandError):
        difference = sample.difference(str(done.exception))
    else:
        found = json.loads(done.output)
        assert (done.exit_code == CommandExit.OK) is found["usable"]
        reasons = [f"{one['option']} (line {one['line']}): {one['reason']}" for one in found["refused"]]
        difference = sample.difference("; ".join(reasons), [one["option"] for one in found["ignored"]])
    assert not difference or (sample.on_this_machine and found["usable"]), difference
