"""What becomes of each sample profile: read as `ovpnctl` does, and compiled as a worker does."""

import json
import re
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from click.testing import CliRunner

from ...ctl.__main__ import cli
from ...ctl.exits import CommandExit
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import ProfileRefused
from ..lab.pki import Pki
from ..profiles.cases import EACH
from ..profiles.compatibility import DOCUMENT, cell, here, rows_of
from ..profiles.corpus import Sample, reasons, samples
from ..profiles.papers import Papers

# Beside what is no host's: loopback, masks, "all".
FOR_DOCUMENTATION = [
    ip_network(one)
    for one in (
        *("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15"),
        *("127.0.0.1/32", "255.255.255.0/24", "0.0.0.0/32"),
    )
]


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
    refused, warned = (
        "; ".join(f"{one['option']} (line {one['line']}): {one['reason']}" for one in found[kind])
        for kind in ("refused", "warnings")
    )
    difference = sample.difference(refused, [one["option"] for one in found["ignored"]])
    assert re.search(sample.warned, warned), warned
    assert not difference or (sample.on_this_machine and found["usable"]), difference


@EACH
def test_no_real_host_is_named(sample: Sample) -> None:
    text = "\n".join([sample.text, *sample.files.values()])
    for address in map(ip_address, re.findall(r"\b\d+(?:\.\d+){3}\b", text)):
        assert any(address in network for network in FOR_DOCUMENTATION), address
    for host in re.findall(r"^\W*remote\W+([^\s'\"]*[a-z][^\s'\"]*)", text, re.MULTILINE):
        assert host.endswith((".example", ".example.org", ".test")) or "." not in host or ":" in host, host


def test_the_document_has_them_all() -> None:
    """What it says of other programs is measured (`make compatibility`); what it says of this one, tests hold."""
    said = rows_of(DOCUMENT.read_text())
    assert said.keys() == {sample.label for sample in samples()}
    for sample in samples():
        what, end, *_ = said[sample.label]
        assert what == cell(sample.what) and end.startswith(cell(here(sample))), sample.label
