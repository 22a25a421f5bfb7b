"""Which layers confine the sessions: what the administrator wants, and what this machine has.

What it has is tried, in a process that ends with it: containers forbid what their kernel can do.
"""

import os
import traceback
from collections.abc import Mapping
from typing import NoReturn

import msgspec

from ...ipc.helpers import Filters
from ...policy.exit_status import ExitStatus
from ...policy.sandbox.layers import ALL, LAYERS, Layer, contradiction, split
from ..errors import StartError

STRICT, AVAILABLE = "strict", "available"


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
            else "it is not wanted"
            for layer in Layer
            if layer not in self.layers
        }

    def describe(self) -> list[str]:
        """One line for the log for each layer that is off."""
        return [f"Sandbox without {layer} ({LAYERS[layer].does}): {why}" for layer, why in self.off.items()]


class Tried(msgspec.Struct):
    """What a machine was found to lack, with reasons, and the filters of seccomp."""

    missing: dict[Layer, str]
    filters: Filters


class Trial:
    """A process that tries what of some layers there is, and builds the filters for those, beside this one."""

    def __init__(self, layers: frozenset[Layer], session_uids: range, provider_groups: int | None = None) -> None:
        """Start it, as root; `provider_groups` is as in system_calls.spawner.  Raises OSError."""
        self._pipe, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._pipe)
            _try_all(write_end, layers, session_uids, provider_groups)
        os.close(write_end)

    def result(self) -> Tried:
        """Wait for what it has found.  Raises StartError."""
        with os.fdopen(self._pipe, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(self._pid, 0)
        try:
            return msgspec.msgpack.decode(answer, type=Tried)
        except msgspec.DecodeError as error:
            raise StartError(
                "The process that tries what can confine sessions has died", ExitStatus.CONFINEMENT
            ) from error


def candidates(wanted: str | frozenset[Layer]) -> frozenset[Layer]:
    """The layers to look for where `wanted` is STRICT, AVAILABLE, or exactly these."""
    return wanted if isinstance(wanted, frozenset) else ALL


def choose(wanted: str | frozenset[Layer], missing: Mapping[Layer, str], tried: Tried) -> Sandbox:
    """Choose from the candidates; `missing` is what was known to be missing before the others were tried, with reasons.

    Raises StartError naming each layer that is missing.
    """
    layers = candidates(wanted)
    missing = {layer: why for layer, why in ({**missing, **tried.missing}).items() if layer in layers}
    if missing and wanted != AVAILABLE:
        rows = "; ".join(f"{layer}, which needs {LAYERS[layer].needs} ({why})" for layer, why in missing.items())
        raise StartError(
            f"These layers of the sandbox cannot be had here: {rows}. With --sandbox available the service starts "
            "without them",
            ExitStatus.CANNOT_START,
        )
    layers -= missing.keys()
    if reason := contradiction(layers):
        raise StartError(f"The sandbox cannot be made: {reason}", ExitStatus.CANNOT_START)
    return Sandbox(layers, missing, tried.filters)


def parse(text: str) -> str | frozenset[Layer]:
    """The value of --sandbox.  Raises ValueError saying what it may be."""
    if text in (STRICT, AVAILABLE):
        return text
    try:
        chosen = split(text)
    except ValueError as error:
        raise ValueError(f"{error}; there are {', '.join(Layer)}") from None
    if reason := contradiction(chosen):
        raise ValueError(reason)
    return chosen


def _try_all(pipe: int, layers: frozenset[Layer], session_uids: range, provider_groups: int | None) -> NoReturn:
    """Write down what there is, as Tried, and end this process."""
    try:
        from .trial import probe  # with what it imports, 5 MB that the service itself does not need

        with os.fdopen(pipe, "wb") as file:
            file.write(msgspec.msgpack.encode(probe(layers, session_uids, provider_groups)))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
