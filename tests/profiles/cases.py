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
    *("clouds/azure-unfilled", "installers/placeholder-in-angle-brackets"),
    *("broken/certificate-cut-off", "broken/key-in-place-of-certificate"),
}
EACH = _each(samples())
EACH_WITH_SERVER = _each([sample for sample in samples() if sample.server is not None])
