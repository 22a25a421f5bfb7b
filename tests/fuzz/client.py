"""What a client sends, to begin with: calls with right and wrong arguments, small and large, and other messages."""

import contextlib
import random
import struct

from dbus_fast import InvalidMessageError, Message, MessageType

from ...policy.limits import MAX_SMALL_BODY
from ...supervisor.bus.configuration_api import CONFIGURATION
from ...supervisor.bus.configuration_api import ROOT_PATH as CONFIGURATION_PATH
from ...supervisor.bus.manager_api import BUS_NAME
from ..support.calls import INTERFACES, CallMaker
from .dispatch import PATHS, SESSION_PATHS

_SIZES = (190, 500, 1300, MAX_SMALL_BODY, 200_000)  # large enough for small limits, or for those that hold
_FIELDS = {1: "o", 2: "s", 3: "s", 6: "s", 8: "g"}  # of a call's header


def some_messages(seed: int, count: int) -> bytes:
    """So many of them at most, one after the other; the same for the same seed."""
    maker = CallMaker(seed, INTERFACES, PATHS, without=())
    choose = maker.random
    made = bytearray()
    for serial in range(1, count + 1):
        message = _large_call(choose) if choose.random() < 0.2 else maker.call()
        if choose.random() < 0.1:
            message = _no_call(choose, message)
        message.serial = serial
        if choose.random() < 0.1 and message.message_type is MessageType.METHOD_CALL:
            made += _in_big_endian(message, b"\x63\1y\0\1" if choose.random() < 0.3 else b"")
            continue
        with contextlib.suppress(InvalidMessageError):  # it would be larger than may be
            made += message._marshall(False)
    return bytes(made)


def _large_call(choose: random.Random) -> Message:
    """One of a method whose arguments may be large."""
    text = "#" * choose.choice(_SIZES)
    if choose.random() < 0.5:
        persistent = choose.random() < 0.5
        return Message(
            CONFIGURATION.name,
            CONFIGURATION_PATH,
            CONFIGURATION.name,
            "Import",
            signature="ssbb",
            body=["large", text, False, persistent],
        )
    path = choose.choice(list(SESSION_PATHS.values()))
    return Message(BUS_NAME, path, BUS_NAME, "UserInputProvide", signature="uuus", body=[1, 1, 0, text])


def _no_call(choose: random.Random, call: Message) -> Message:
    """A signal or reply with the arguments of `call`."""
    kind = choose.choice((MessageType.SIGNAL, MessageType.METHOD_RETURN, MessageType.ERROR))
    signal = kind is MessageType.SIGNAL
    return Message(
        call.destination,
        call.path if signal else None,
        BUS_NAME if signal else None,
        call.member if signal else None,
        message_type=kind,
        error_name=BUS_NAME if kind is MessageType.ERROR else None,
        reply_serial=0 if signal else choose.randrange(1, 4),
        signature=call.signature,
        body=call.body,
    )


def _in_big_endian(call: Message, last: bytes) -> bytes:
    """The call as a machine of the other byte order sends it, but for its body: that is a text or nothing.

    `last` is a header field that comes last.
    """
    text = next((one for one in call.body if isinstance(one, str)), None)
    values = (call.path, call.interface, call.member, call.destination, "" if text is None else "s")
    fields = b""
    for (code, kind), value in zip(_FIELDS.items(), values, strict=True):
        if value:
            fields += bytes(-len(fields) % 8) + bytes([code, 1]) + kind.encode() + b"\0" + _text(value, kind)
    fields += bytes(-len(fields) % 8) + last
    body = b"" if text is None else _text(text, "s")
    head = b"B" + bytes([MessageType.METHOD_CALL.value, call.flags.value, 1])
    return head + struct.pack(">III", len(body), call.serial, len(fields)) + fields + bytes(-len(fields) % 8) + body


def _text(value: str, kind: str) -> bytes:
    data = value.encode()
    return struct.pack(">B" if kind == "g" else ">I", len(data)) + data + b"\0"
