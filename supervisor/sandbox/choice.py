"""Which layers confine the sessions: those that the administrator wants, if the trial (trial.py) has found them."""

from collections.abc import Mapping

import msgspec

from ...ipc.helpers import Filters
from ...policy.exit_status import ExitStatus
from ...policy.sandbox.layers import ALL, AVAILABLE, LAYERS, Layer, unmet_dependency
from ..errors import StartError


class Sandbox(msgspec.Struct, frozen=True):
    """The layers that are on, why others are not, and the filters of seccomp."""

    layers: frozenset[Layer]
    missing: Mapping[Layer, str]
    filters: Filters

    @property
    def off(self) -> dict[Layer, str]:
        """The layers that are off, each with the reason."""
        return {
            layer: f"it needs {LAYERS[layer].needs}; {self.missing[layer]}"
            if layer in self.missing
            else "--sandbox leaves it out"
            for layer in Layer
            if layer not in self.layers
        }

    def describe(self) -> list[str]:
        """One line for the log for each layer that is off."""
        return [f"Sandbox without {layer} ({LAYERS[layer].does}): {why}" for layer, why in self.off.items()]


class TrialResult(msgspec.Struct):
    """What a trial has found: the layers that are not available, with reasons, and the filters of seccomp."""

    missing: dict[Layer, str]
    filters: Filters


def candidates(wanted: str | frozenset[Layer]) -> frozenset[Layer]:
    """The layers to look for where `wanted` is STRICT, AVAILABLE, or exactly these."""
    return wanted if isinstance(wanted, frozenset) else ALL


def choose(wanted: str | frozenset[Layer], missing: Mapping[Layer, str], tried: TrialResult) -> Sandbox:
    """Choose from the candidates; `missing` are layers that were missing before the others were tried, with reasons.

    Raises StartError naming each layer that is missing.
    """
    layers = candidates(wanted)
    missing = {layer: why for layer, why in ({**missing, **tried.missing}).items() if layer in layers}
    if missing and wanted != AVAILABLE:
        rows = "; ".join(f"{layer}, which needs {LAYERS[layer].needs} ({why})" for layer, why in missing.items())
        raise StartError(
            f"These layers of the sandbox are not available here: {rows}. With --sandbox available the service starts "
            "without them",
            ExitStatus.CANNOT_START,
        )
    layers -= missing.keys()
    if reason := unmet_dependency(layers):
        raise StartError(f"This sandbox is not possible: {reason}", ExitStatus.CANNOT_START)
    return Sandbox(layers, missing, tried.filters)
