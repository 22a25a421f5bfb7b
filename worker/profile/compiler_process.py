"""Compile a profile in a process of its own, which ends with that.

What compiling leaves behind in a Python process, half a megabyte, would otherwise stay with each session for its life.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...policy.profile.pkcs11 import ListedProvider
from .overrides import compile_with_overrides
from .values import CompiledProfile, ProfileRefused


class _Refusal(msgspec.Struct, tag=True):
    reason: str


class _Compiled(msgspec.Struct, tag=True):
    profile: CompiledProfile


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(_Refusal | _Compiled)


class CompilerProcess:
    """The process that compiles one profile, beside this one."""

    def __init__(
        self, profile: bytes, overrides: Mapping[str, bool | str], providers: Sequence[ListedProvider]
    ) -> None:
        """Start it; arguments as those of `overrides.compile_with_overrides`.  Raises OSError."""
        self._pipe, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._pipe)
            _compile_into(write_end, profile, overrides, providers)
        os.close(write_end)

    def result(self) -> CompiledProfile:
        """Wait for the compiled profile.  Raises ProfileRefused, also when the process has died."""
        with open(self._pipe, "rb") as pipe:
            answer = pipe.read()
        try:
            result: _Refusal | _Compiled = _decoder.decode(answer)
        except msgspec.DecodeError:
            raise ProfileRefused("the process that compiles the profile crashed") from None
        if isinstance(result, _Refusal):
            raise ProfileRefused(result.reason)
        return result.profile

    def reap(self) -> None:
        """Wait for its end, which takes a millisecond after the result."""
        os.waitpid(self._pid, 0)


def _compile_into(
    pipe: int, profile: bytes, overrides: Mapping[str, bool | str], providers: Sequence[ListedProvider]
) -> None:
    try:
        try:
            result: _Compiled | _Refusal = _Compiled(compile_with_overrides(profile, overrides, providers))
        except ProfileRefused as error:
            result = _Refusal(str(error))
        with open(pipe, "wb") as file:
            file.write(_encoder.encode(result))
    finally:
        os._exit(0)
