"""Which layers confine the sessions: what the administrator wants, and what this machine has.

What it has is tried, in a process that ends with it: containers forbid what their kernel can do.
"""

import os
import traceback
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from ..ipc.exitcodes import Exit
from ..ipc.helpers import Filters
from ..policy.layers import ALL, LAYERS, Layer, contradiction, split
from .errors import StartError

STRICT, AVAILABLE = "strict", "available"


@dataclass(frozen=True)
class Sandbox:
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


def choose(
    wanted: str | frozenset[Layer],
    missing: Mapping[Layer, str],
    session_uids: range,
    provider_groups: int | None = None,
) -> Sandbox:
    """Find out what there is, and choose; `missing` is what is known to be missing, with reasons.

    `wanted` is STRICT, AVAILABLE, or exactly these layers; `provider_groups` is as in system_calls.spawner.
    Raises StartError naming each layer that is missing.
    """
    layers = wanted if isinstance(wanted, frozenset) else ALL
    tried = _try_apart(layers - missing.keys(), session_uids, provider_groups)
    missing = {layer: why for layer, why in ({**missing, **tried.missing}).items() if layer in layers}
    if missing and wanted != AVAILABLE:
        rows = "; ".join(f"{layer}, which needs {LAYERS[layer].needs} ({why})" for layer, why in missing.items())
        raise StartError(
            f"These layers of the sandbox cannot be had here: {rows}. With --sandbox available the service starts "
            "without them",
            Exit.CANNOT_START,
        )
    layers -= missing.keys()
    if reason := contradiction(layers):
        raise StartError(f"The sandbox cannot be made: {reason}", Exit.CANNOT_START)
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


def _try_apart(layers: frozenset[Layer], session_uids: range, provider_groups: int | None) -> Tried:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            from .probe import probe  # with what it imports, 5 MB that the service itself does not need

            with os.fdopen(write_end, "wb") as pipe:
                pipe.write(msgspec.msgpack.encode(probe(layers, session_uids, provider_groups)))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    try:
        return msgspec.msgpack.decode(answer, type=Tried)
    except msgspec.DecodeError as error:
        raise StartError("The process that tries what can confine sessions has died", Exit.CONFINEMENT) from error
