"""Tests of each sample, or of those that are connected."""

from collections.abc import Sequence

import pytest

from .corpus import Sample, samples


def _each(chosen: Sequence[Sample]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("sample", chosen, ids=[sample.label for sample in chosen])


EACH = _each(samples())
EACH_WITH_SERVER = _each([sample for sample in samples() if sample.server is not None])
