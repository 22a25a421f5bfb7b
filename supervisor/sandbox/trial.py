"""Trying which layers this machine has, in a process of its own: containers forbid what their kernel can do."""

import os
import traceback
from typing import NoReturn

import msgspec

from ...policy.exit_status import ExitStatus
from ...policy.sandbox.layers import Layer
from ..errors import StartError
from .choice import TrialResult


class Trial:
    """A process that tries some layers and builds the filters for those that it finds, beside this one."""

    def __init__(self, layers: frozenset[Layer], session_uids: range, provider_groups: int | None = None) -> None:
        """Start it, as root; `provider_groups` is as in system_calls.spawner.  Raises OSError."""
        self._pipe, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._pipe)
            _try_all(write_end, layers, session_uids, provider_groups)
        os.close(write_end)

    def result(self) -> TrialResult:
        """Wait for its end; what it has found.  Raises StartError."""
        with os.fdopen(self._pipe, "rb") as pipe:
            answer = pipe.read()
        os.waitpid(self._pid, 0)
        try:
            return msgspec.msgpack.decode(answer, type=TrialResult)
        except msgspec.DecodeError as error:
            raise StartError(
                "The process that tries the layers of the sandbox ended early", ExitStatus.CONFINEMENT
            ) from error


def _try_all(pipe: int, layers: frozenset[Layer], session_uids: range, provider_groups: int | None) -> NoReturn:
    """Write what is found to `pipe`, as TrialResult, and end this process."""
    try:
        from .probe import probe  # with what it imports, 5 MB that the service itself does not need

        with os.fdopen(pipe, "wb") as file:
            file.write(msgspec.msgpack.encode(probe(layers, session_uids, provider_groups)))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
