"""File descriptors that come with messages: whose they are, and that all others are closed."""

import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbus_fast import Message, MessageType

from ...policy.limits import MAX_DESCRIPTORS_PER_USER
from ...supervisor.bus.errors import CallRejected
from ...supervisor.bus.inbound import Inbound, InboundSocket
from ..support.sessions import until

_OPEN = Path("/proc/self/fd")


def call(serial: int, *numbers: int, sender: str = ":1.5", count: int | None = None) -> bytes:
    """A call with these numbers of descriptors, as the bus passes it on."""
    made = Message(sender, "/", "a.b", "Take", signature="h" * len(numbers), body=list(numbers), serial=serial)
    made.unix_fds = [0] * (len(numbers) if count is None else count)
    return bytes(made._marshall(True)).replace(b"\6\1s\0", b"\7\1s\0")  # dbus-fast writes a destination, and no sender


class Reader:
    """The near end of a bus, which knows the user of one connection."""

    def __init__(self) -> None:
        self.inbound = Inbound(lambda serial: False)
        self.descriptors = self.inbound.descriptors
        self.descriptors.user_of = {":1.5": 1000, ":1.6": 1001}.get
        self.far, near = socket.socketpair()
        near.setblocking(False)
        self.near = InboundSocket(near, self.inbound)
        self.pipes = [os.pipe() for _ in range(4)]

    def send(self, data: bytes, *pipes: int) -> None:
        """The bus sends this, and the reading ends of these pipes with the first byte."""
        socket.send_fds(self.far, [data], [self.pipes[one][0] for one in pipes])

    def read(self) -> bytes:
        got = b""
        while select.select([self.near.link], [], [], 0)[0]:
            try:
                got += self.near.recv(8192)
            except BlockingIOError:
                continue
        return got

    def taken(self, serial: int, *numbers: int, sender: str = ":1.5") -> list[int]:
        """The pipes that a call gets."""
        made = Message("a.b", "/", "a.b", "Take", signature="h" * len(numbers), body=list(numbers), serial=serial)
        made.sender = sender
        found = []
        for one in self.descriptors.take(made):
            assert isinstance(one, int)
            inode = os.fstat(one).st_ino
            found += [number for number, (end, _) in enumerate(self.pipes) if os.fstat(end).st_ino == inode]
            os.close(one)
        return found


@pytest.fixture
def reader() -> Iterator[Reader]:
    """In the end, no descriptor is open that was not before."""
    before = set(_OPEN.iterdir())
    made = Reader()
    yield made
    made.far.close()
    made.near.close()
    for pipe in made.pipes:
        os.close(pipe[0])
        os.close(pipe[1])
    until(lambda: set(_OPEN.iterdir()) <= before)


def test_each_call_has_its_own(reader: Reader) -> None:
    first, plain, second = call(1, 0), call(2), call(3, 1, 0, sender=":1.6")
    reader.send(first, 0)
    reader.send(plain)
    reader.send(second, 1, 2)
    assert reader.read() == first + plain + second
    assert reader.taken(3, 1, 0, sender=":1.6") == [2, 1]
    assert reader.taken(1, 0) == [0]


def test_a_header_that_comes_in_pieces(reader: Reader) -> None:
    first, second = call(1, 0), call(2, 0, sender=":1.6")
    reader.send(first[:20], 0)
    reader.read()
    reader.send(first[20:])
    reader.send(second, 1)
    reader.read()
    assert reader.taken(1, 0) == [0]
    assert reader.taken(2, 0, sender=":1.6") == [1]


@pytest.mark.parametrize("sender", [":1.5", ":1.7"])
def test_what_is_nobodys_is_closed(reader: Reader, sender: str) -> None:
    """Of a signal, of a user who is not known, of a number that did not come, of a call that did not take it."""
    reader.send(call(1, 0, sender=sender), 0)
    reader.send(call(2, 3, sender=sender, count=1), 1)
    reader.send(b"l\4" + call(3, 0, sender=sender)[2:], 2)
    reader.read()
    with pytest.raises(CallRejected):
        reader.taken(2, 3, sender=sender)
    left = Message("a.b", "/", "a.b", "Take", serial=1)
    left.sender = sender
    reader.descriptors.done(left)
    with pytest.raises(CallRejected):
        reader.taken(1, 0, sender=sender)


def test_one_user_has_few(reader: Reader) -> None:
    for serial in range(1, MAX_DESCRIPTORS_PER_USER + 2):
        reader.send(call(serial, 0), 0)
    reader.send(call(99, 0, sender=":1.6"), 1)
    reader.read()
    with pytest.raises(CallRejected):
        reader.taken(MAX_DESCRIPTORS_PER_USER + 1, 0)
    assert reader.taken(99, 0, sender=":1.6") == [1]
    for serial in range(1, MAX_DESCRIPTORS_PER_USER + 1):
        assert reader.taken(serial, 0) == [0]


def test_no_descriptor_twice(reader: Reader) -> None:
    reader.send(call(1, 0, 0, count=1), 0)
    reader.read()
    with pytest.raises(CallRejected):
        reader.taken(1, 0, 0)


def reply(serial: int) -> bytes:
    """A reply with a descriptor to this call of ours."""
    made = Message(":1.5", "/", "a.b", "c", MessageType.METHOD_RETURN, reply_serial=serial, signature="h", body=[0])
    made.serial, made.unix_fds = 9, [0]
    return bytes(made._marshall(True)).replace(b"\6\1s\0", b"\7\1s\0")


def test_a_reply_that_is_to_have_one(reader: Reader) -> None:
    with reader.descriptors.of_reply(3) as found:
        for serial in (2, 3, 4):
            reader.send(reply(serial), serial - 2)
        assert reader.read() == b"".join(map(reply, (2, 3, 4)))
        assert [os.fstat(one).st_ino for one in found] == [os.fstat(reader.pipes[1][0]).st_ino]
    reader.send(reply(3), 1)  # too late
    assert reader.read() == reply(3)
    assert not reader.descriptors
