"""Judging a profile in a process of its own, which ends with it.

What judging leaves behind in a Python process, half a megabyte, would otherwise stay with each session for its life.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..policy.pkcs11 import ListedProvider
from .overrides import judge_with
from .profile import Judgement, ProfileRefused


class _Refusal(msgspec.Struct, tag=True):
    reason: str


class _Verdict(msgspec.Struct, tag=True):
    judgement: Judgement


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(_Refusal | _Verdict)


def judge_apart(profile: bytes, overrides: Mapping[str, bool | str], providers: Sequence[ListedProvider]) -> Judgement:
    """As `overrides.judge_with`; raises ProfileRefused also when the other process dies, OSError if there is none."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        _judge_into(write_end, profile, overrides, providers)
    os.close(write_end)
    with open(read_end, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    try:
        verdict: _Refusal | _Verdict = _decoder.decode(answer)
    except msgspec.DecodeError:
        raise ProfileRefused("the profile made the process fail that judges it") from None
    if isinstance(verdict, _Refusal):
        raise ProfileRefused(verdict.reason)
    return verdict.judgement


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
