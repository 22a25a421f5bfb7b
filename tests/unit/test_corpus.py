"""What becomes of each sample profile: read as `ovpnctl` does, and compiled as a worker does."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ...ctl.__main__ import cli
from ...ctl.exits import CommandExit
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import ProfileRefused
from ..lab.pki import Pki
from ..profiles.cases import EACH
from ..profiles.compatibility import DOCUMENT, cell, here
from ..profiles.corpus import Sample, reasons, samples
from ..profiles.papers import Papers


@pytest.fixture(scope="module")
def papers(pki: Pki) -> Papers:
    """What the samples name."""
    return Papers(pki)


@EACH
def test_verdict(sample: Sample, papers: Papers, tmp_path: Path) -> None:
    profile = sample.read(tmp_path, papers)
    refusal, warnings = reasons(profile.refused), tuple[str, ...]()
    if not refusal:
        try:
            warnings = compile_profile(profile.text).warnings
        except ProfileRefused as refused:
            refusal = str(refused)
    difference = sample.difference(refusal, warnings)
    assert not difference, difference


@EACH
def test_check(sample: Sample, papers: Papers, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["check", str(sample.store(tmp_path, papers)), "--json"])
    found = json.loads(done.output)
    assert (done.exit_code == CommandExit.OK) is found["usable"]
    refused = "; ".join(f"{one['option']} (line {one['line']}): {one['reason']}" for one in found["refused"])
    difference = sample.difference(refused, [one["option"] for one in found["ignored"]])
    assert not difference or (sample.on_this_machine and found["usable"]), difference


def test_the_document_has_them_all() -> None:
    """What it says of other programs is measured (`make compatibility`); what it says of this one, tests hold."""
    rows = [line.split(" | ") for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    said = {(row[0].removeprefix("| "), row[1]): row[2] for row in rows if len(row) == 5}
    del said["profile", "what it is"]
    expected = {(sample.name, cell(sample.what)): cell(here(sample)) for sample in samples()}
    assert said.keys() == expected.keys()
    assert [name for name, end in expected.items() if not said[name].startswith(end)] == []
