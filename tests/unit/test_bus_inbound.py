"""What is read of what comes from the bus, and what is thrown away."""

import contextlib
import random
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from dbus_fast import Message, MessageFlag, MessageType

from ...policy.limits import MAX_HEADER, MAX_PLAIN_SIGNAL, MAX_SMALL_BODY
from ...supervisor.bus.inbound import Inbound, InboundSocket

LARGEST = 100_000


class Reader:
    """The filter, fed by a socket."""

    def __init__(self) -> None:
        self.skipped: list[tuple[Message, int]] = []
        inbound = Inbound(lambda serial: serial == 7)
        inbound.skipped = lambda call, largest: self.skipped.append((call, largest))
        inbound.heard.add(b":1.5")
        self.refused: list[Message] = []
        inbound.refused = self.refused.append
        self.inbound = inbound
        inbound.allow("a.b", "Import", "ss", LARGEST)
        self.far, near = socket.socketpair()
        self.socket = InboundSocket(near, inbound)

    def pieces(self, data: bytes, sizes: Iterator[int]) -> bytes:
        """What comes through when `data` arrives in pieces of these sizes."""
        came = []
        while data:
            size = next(sizes)
            self.far.sendall(data[:size])
            data = data[size:]
            came.append(self.all())
        return b"".join(came)

    def all(self) -> bytes:
        came = []
        while select.select([self.socket], [], [], 0)[0]:
            with contextlib.suppress(BlockingIOError):
                came.append(self.socket.recv(8192))
        return b"".join(came)

    def close(self) -> None:
        self.far.close()
        self.socket.close()


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()


def message(kind: MessageType, signature: str, body: Sequence[Any], member: str = "Import", **more: Any) -> bytes:
    made = Message(
        path=more.pop("path", "/x"), interface="a.b", member=member, message_type=kind, signature=signature,
        body=list(body), serial=4711, destination=":1.1", **more,
    )  # fmt: skip
    data = bytes(made._marshall(False))
    # As the bus adds it.
    (length,) = struct.unpack_from("<I", data, 12)
    padded = length + -length % 8
    sender = b"\7\1s\0\4\0\0\0:1.5\0"
    fields = data[16 : 16 + padded] + sender
    after = b"\0" * (-len(fields) % 8)
    return data[:12] + struct.pack("<I", len(fields)) + fields + after + data[16 + padded :]


def call(signature: str, body: Sequence[Any], member: str = "Import", **more: Any) -> bytes:
    return message(MessageType.METHOD_CALL, signature, body, member, **more)


def with_field(data: bytes, field: bytes) -> bytes:
    """The same message with one more field of its header, in front."""
    (length,) = struct.unpack_from("<I", data, 12)
    fields = field + b"\0" * (-len(field) % 8) + data[16 : 16 + length]
    after = b"\0" * (-len(fields) % 8)
    return data[:12] + struct.pack("<I", len(fields)) + fields + after + data[16 + length + -length % 8 :]


LONG = "x" * (MAX_SMALL_BODY + 1)
SMALL = [
    call("", []),
    call("ss", ["x", "y"]),
    call("av", [[]], member="Other"),
    call("s", ["x" * (MAX_SMALL_BODY - 8)], member="Other"),
    message(MessageType.SIGNAL, "s", ["x"]),
]
LARGE_WANTED = [
    call("ss", ["x", "y" * (LARGEST - 20)]),
    message(MessageType.METHOD_RETURN, "as", [[LONG] * 3], reply_serial=7),
    message(MessageType.SIGNAL, "us", [1, LONG]),
    call("", [], path="/" + "x" * (MAX_HEADER - 1000)),
]
UNWANTED = [
    call("ss", ["x", "y" * LARGEST]),
    call("s", [LONG]),
    call("ss", ["x", LONG], member="Other"),
    call("ay", [bytes(2_000_000)]),
    message(MessageType.SIGNAL, "as", [[LONG]]),
    message(MessageType.SIGNAL, "s", ["x" * MAX_PLAIN_SIGNAL]),
    message(MessageType.METHOD_RETURN, "s", [LONG], reply_serial=8),
    message(MessageType.ERROR, "s", [LONG], reply_serial=8, error_name="a.b"),
    call("", [], path="/" + "x" * MAX_HEADER),
    with_field(call("", []), b"\xc8\1y\0\1"),
    with_field(call("", []), b"\xc8\1s\0\3\0\0\0\7\1s\0"),
    with_field(call("", []), b"\x0b\2ay\0\0\0\0\2\0\0\0\1\2"),
    with_field(call("ss", ["x", LONG]), b"\x0a\1t\0\0\0\0\0\1\1\1\1\1\1\1\1"),
]


@pytest.mark.parametrize("data", SMALL + LARGE_WANTED)
def test_what_is_read(reader: Reader, data: bytes) -> None:
    assert reader.pieces(data * 2, iter([50_000] * 1000)) == data * 2
    assert not reader.skipped


@pytest.mark.parametrize("data", UNWANTED)
def test_what_is_not(reader: Reader, data: bytes) -> None:
    assert reader.pieces(SMALL[0] + data + SMALL[1], iter([50_000] * 1000)) == SMALL[0] + SMALL[1]


def test_a_call_that_is_skipped_is_told(reader: Reader) -> None:
    assert not reader.pieces(call("s", [LONG], flags=MessageFlag.NO_REPLY_EXPECTED), iter([50_000] * 10))
    assert not reader.pieces(call("ss", ["", "x" * LARGEST]), iter([50_000] * 10))
    [(first, small), (second, largest)] = reader.skipped
    assert (small, largest) == (MAX_SMALL_BODY, LARGEST)
    assert first.flags is MessageFlag.NO_REPLY_EXPECTED
    assert second.flags is MessageFlag.NONE
    assert (second.sender, second.serial, second.path, second.interface, second.member, second.destination) == (
        ":1.5", 4711, "/x", "a.b", "Import", ":1.1",
    )  # fmt: skip


def with_field_before_sender(data: bytes, field: bytes) -> bytes:
    """The message with one more field, a multiple of eight bytes, before that of the sender."""
    (length,) = struct.unpack_from("<I", data, 12)
    at = data.rindex(b"\7\1s\0")
    return data[:12] + struct.pack("<I", length + len(field)) + data[16:at] + field + data[at:]


def test_messages_whose_sender_is_behind_what_is_not_known_are_not_read(reader: Reader) -> None:
    admitted = list[str]()

    def admit(sender: str, serial: int, size: int) -> bool:
        admitted.append(sender)
        return True

    reader.inbound.admits = admit
    for field in (b"\x63\1y\0\1\0\0\0", b"\x63\2ay\0\0\0\0" + bytes(8)):
        large = with_field_before_sender(call("ss", ["x", "y" * (LARGEST - 100)]), field)
        assert not reader.pieces(large, iter([50_000] * 10))
        assert not reader.pieces(with_field_before_sender(SMALL[0], field), iter([50_000]))
    assert not admitted


def test_a_field_that_contains_a_sender_is_not_taken_for_it(reader: Reader) -> None:
    reader.inbound.heard.remove(b":1.5")
    reader.inbound.heard.add(b":1.4")
    pretended = b"\x63\2ay\0" + bytes(3) + b"\x10\0\0\0" + bytes(4) + b"\7\1s\0\4\0\0\0:1.4" + bytes(4)
    signal = with_field_before_sender(message(MessageType.SIGNAL, "s", ["x"]), pretended)
    assert not reader.pieces(signal, iter([50_000]))


@pytest.mark.parametrize("seed", range(30))
def test_however_it_is_cut(reader: Reader, seed: int) -> None:
    chance = random.Random(seed)
    wanted = SMALL + LARGE_WANTED
    chosen = [chance.choice(wanted + UNWANTED) for _ in range(30)]
    largest = chance.choice([20, 300, 10_000, 60_000])
    if largest < 1000:
        chosen = [one for one in chosen if len(one) < 10_000]
    came = reader.pieces(b"".join(chosen), iter(lambda: chance.randint(1, largest), 0))
    assert came == b"".join(one for one in chosen if one in wanted)


def test_the_end(reader: Reader) -> None:
    reader.far.sendall(UNWANTED[1][:-1])
    assert not reader.all()
    reader.far.close()
    assert reader.socket.recv(8192) == b""


def test_signals_of_others_are_not_read(reader: Reader) -> None:
    signals = [message(MessageType.SIGNAL, "s", [text]) for text in ("x", LONG)]
    reader.inbound.heard.clear()
    for _ in range(2):
        for size in (50_000, 30):
            came = reader.pieces(SMALL[0] + b"".join(signals) + SMALL[1], iter([size] * 10_000))
            assert came == SMALL[0] + SMALL[1]


def test_calls_of_those_of_whom_too_many_wait_are_not_read(reader: Reader) -> None:
    silent = call("s", ["x"], flags=MessageFlag.NO_REPLY_EXPECTED)
    data = SMALL[0] + silent + SMALL[1]
    reader.inbound.full.add(b":1.55")
    assert reader.pieces(data, iter([50_000] * 10)) == data
    reader.inbound.full.add(b":1.5")
    for size in (50_000, 30):
        assert not reader.pieces(data, iter([size] * 1000))
    assert [(one.sender, one.serial) for one in reader.refused] == [(":1.5", 4711)] * 4
    reader.inbound.full.clear()
    assert reader.pieces(data, iter([50_000] * 10)) == data
