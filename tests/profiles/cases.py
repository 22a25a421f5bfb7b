"""Tests of each sample, or of those that are connected."""

from collections.abc import Iterable

import pytest

from .corpus import Sample, samples


def _each(chosen: Iterable[Sample]) -> pytest.MarkDecorator:
    cases = [
        pytest.param(sample, marks=[pytest.mark.xfail(reason="not yet")] if sample.label in NOT_YET else [])
        for sample in chosen
    ]
    return pytest.mark.parametrize("sample", cases, ids=[sample.label for sample in chosen])


NOT_YET = {
    *("commercial/device-by-name", "clouds/azure-unfilled", "installers/placeholder-in-angle-brackets"),
    *("ancient/static-key-embedded", "ancient/static-key-file", "ancient/crl-directory", "broken/empty"),
    *("broken/blank-lines", "broken/html", "broken/html-not-declared", "broken/wireguard", "broken/utf-16"),
    *("broken/utf-16-big-endian", "broken/latin-1-value", "broken/server", "broken/server-by-mode"),
    *("broken/certificate-cut-off", "broken/key-in-place-of-certificate"),
}
EACH = _each(samples())
EACH_WITH_SERVER = _each([sample for sample in samples() if sample.server is not None])
