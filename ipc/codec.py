"""Encoding messages between supervisor and worker: msgpack, decoded strictly against the declared types."""

from typing import Any, Union

import msgspec

from ..policy.limits import MAX_FRAME
from . import messages
from .channel import BadFrame

_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[messages.TO_WORKER])  # noqa: UP007
_to_supervisor: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[messages.TO_SUPERVISOR])  # noqa: UP007


def encode(message: messages.ToWorker | messages.ToSupervisor) -> bytes:
    """One message as the bytes of one frame.

    Raises ValueError if it exceeds MAX_FRAME.
    """
    frame = _encoder.encode(message)
    if len(frame) > MAX_FRAME:
        raise ValueError(f"{type(message).__name__} of {len(frame)} bytes exceeds a frame of {MAX_FRAME}")
    return frame


def decode_to_worker(frame: bytes | memoryview, descriptors: int) -> messages.ToWorker:
    """The message in a frame from the supervisor.  Raises BadFrame."""
    message = _decode(_to_worker, frame, descriptors)
    assert isinstance(message, messages.ToWorker)
    return message


def decode_to_supervisor(frame: bytes | memoryview, descriptors: int) -> messages.ToSupervisor:
    """The message in a frame from a worker.  Raises BadFrame."""
    message = _decode(_to_supervisor, frame, descriptors)
    assert isinstance(message, messages.ToSupervisor)
    return message


def _decode(decoder: "msgspec.msgpack.Decoder[Any]", frame: bytes | memoryview, descriptors: int) -> object:
    if len(frame) > MAX_FRAME:
        raise BadFrame(f"{len(frame)} bytes exceed a frame of {MAX_FRAME}")
    try:
        message = decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFrame(f"{len(frame)} bytes are not a message: {error}") from None
    expected = messages.DESCRIPTORS.get(type(message), 0)
    if descriptors != expected:
        raise BadFrame(f"{type(message).__name__} came with {descriptors} descriptors instead of {expected}")
    return message
