"""Judging a profile in a process of its own, which ends with it.

What judging leaves behind in a Python process, half a megabyte, would otherwise stay with each session for its life.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ...policy.profile.pkcs11 import ListedProvider
from .overrides import judge_with
from .profile import Judgement, ProfileRefused


class _Refusal(msgspec.Struct, tag=True):
    reason: str


class _Verdict(msgspec.Struct, tag=True):
    judgement: Judgement


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(_Refusal | _Verdict)


class Judge:
    """The process that judges one profile, beside this one."""

    def __init__(
        self, profile: bytes, overrides: Mapping[str, bool | str], providers: Sequence[ListedProvider]
    ) -> None:
        """Start it; arguments as those of `overrides.judge_with`.  Raises OSError."""
        self._pipe, write_end = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._pipe)
            _judge_into(write_end, profile, overrides, providers)
        os.close(write_end)

    def verdict(self) -> Judgement:
        """Wait for its verdict.  Raises ProfileRefused, also when it has died."""
        with open(self._pipe, "rb") as pipe:
            answer = pipe.read()
        try:
            verdict: _Refusal | _Verdict = _decoder.decode(answer)
        except msgspec.DecodeError:
            raise ProfileRefused("the profile made the process fail that judges it") from None
        if isinstance(verdict, _Refusal):
            raise ProfileRefused(verdict.reason)
        return verdict.judgement

    def reap(self) -> None:
        """Wait for its end, which takes a millisecond after the verdict."""
        os.waitpid(self._pid, 0)


def _judge_into(
    pipe: int, profile: bytes, overrides: Mapping[str, bool | str], providers: Sequence[ListedProvider]
) -> None:
    try:
        try:
            verdict: _Verdict | _Refusal = _Verdict(judge_with(profile, overrides, providers))
        except ProfileRefused as error:
            verdict = _Refusal(str(error))
        with open(pipe, "wb") as file:
            file.write(_encoder.encode(verdict))
    finally:
        os._exit(0)
