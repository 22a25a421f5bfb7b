"""Bob sends descriptors that take long to close."""

import socket
import struct
from contextlib import ExitStack, suppress

import pytest
from dbus_fast import Message

from ..lab.connection import SESSIONS, SESSIONS_PATH
from .neighbours import Neighbours

_LONG = 3600  # seconds that the kernel may wait for what is unsent
_ON = 1


def unsent() -> tuple[socket.socket, socket.socket]:
    """A connection whose close(2) waits for its other end to read (SO_LINGER, socket(7)); and that end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", _ON, _LONG))
    one.setblocking(False)
    with suppress(BlockingIOError):
        while one.send(bytes(65536)):
            pass
    return one, other


@pytest.mark.parametrize(
    ("interface", "member"), [(f"{SESSIONS}.namespace", "Enter"), (SESSIONS, "FetchAvailableSessions")]
)
def test_sockets_that_linger(neighbours: Neighbours, interface: str, member: str) -> None:
    bob = neighbours.bob()
    neighbours.answer(bob)  # he is known then
    user = neighbours.lab.connection("bob")
    his = user.new_tunnel(user.import_profile("his", neighbours.lab.profile()))
    with ExitStack() as others:
        for afterwards in ("", "never"):
            one, other = unsent()
            others.enter_context(other)
            if member == "Enter":
                call = Message(SESSIONS, his, interface, member, signature="hus", body=[0, 1, afterwards])
            else:
                call = Message(SESSIONS, SESSIONS_PATH, interface, member)
            bob.send_with_descriptors(call, [one.fileno()])
            one.close()
        neighbours.answer(bob)
        neighbours.check_alice()
    user.session(his, "Disconnect")
