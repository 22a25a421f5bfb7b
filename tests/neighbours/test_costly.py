"""Bob sends messages that cost much more to read than their size."""

import psutil
import pytest
from dbus_fast import Message, MessageFlag, MessageType

from ..lab.connection import SESSIONS, SESSIONS_PATH
from .neighbours import LIMITS_EXCEEDED, Neighbours, importing

_CALL = (SESSIONS, SESSIONS_PATH, SESSIONS, "FetchAvailableSessions")
_SIZE = 31_000_000
# Signature, and what an array of it repeats.
SMALL_VALUES = {"av": b"\1y\0\5", "ay": b"\5", "au": b"\5\0\0\0", "aau": b"\0\0\0\0"}
# Fields of a header that D-Bus does not know: their codes, types and values.
UNKNOWN_FIELDS = {"y": b"\xc8\1y\0\7", "s": b"\xc8\1s\0\3\0\0\0\7\1s\0", "ay": b"\xc8\2ay\0\0\0\0\2\0\0\0\1\2"}
CPU = 1.0  # seconds for all of them; read, each costs more
MEMORY = 40_000_000  # bytes


def used(neighbours: Neighbours) -> tuple[float, int]:
    process = psutil.Process(neighbours.service.pid)
    times = process.cpu_times()
    return times.user + times.system, process.memory_info().rss


@pytest.mark.parametrize("kind", [MessageType.METHOD_CALL, MessageType.SIGNAL])
def test_many_small_values(neighbours: Neighbours, kind: MessageType) -> None:
    bob = neighbours.bob()
    owner = neighbours.lab.watcher.owner_of(SESSIONS)
    neighbours.answer(bob)
    cpu, memory = used(neighbours)
    for signature, value in SMALL_VALUES.items():
        message = Message(owner, SESSIONS_PATH, SESSIONS, "Ready", kind, signature=signature, body=[[]])
        if signature == "ay":
            message.body = [b""]
        if kind is MessageType.METHOD_CALL:
            message.interface, message.member, message.destination = SESSIONS, "NewTunnel", SESSIONS
        bob.send_with(message, value * (_SIZE // len(value)))
        if kind is MessageType.METHOD_CALL:
            [reply] = bob.replies([message])
            assert (reply.error_name, reply.body) == (
                LIMITS_EXCEEDED,
                ["The arguments of NewTunnel are larger than 4 KiB"],
            )
    neighbours.check_alice()
    assert neighbours.answer(bob).message_type is MessageType.METHOD_RETURN
    cpu_after, memory_after = used(neighbours)
    print(f"{cpu_after - cpu:.2f} s, {(memory_after - memory) / 1e6:.1f} MB")
    assert cpu_after - cpu < CPU
    assert memory_after - memory < MEMORY


def test_fields_that_nobody_knows(neighbours: Neighbours) -> None:
    """In headers of calls, small and large: dbus-broker passes them on."""
    for field in UNKNOWN_FIELDS.values():
        bob = neighbours.bob()
        for size in (1, 5000):
            bob.send_with_field(importing("work", "x" * size), field)
        assert neighbours.answer(bob).message_type is MessageType.METHOD_RETURN
        neighbours.check_alice()


def test_a_few_of_his_calls_are_not_lost_in_many(neighbours: Neighbours) -> None:
    """Of his connections one has thousands of calls waiting, and another is answered in turn."""
    bob, other = neighbours.bobs(2)
    calls = [Message(SESSIONS, SESSIONS_PATH, SESSIONS, "FetchAvailableSessions") for _ in range(100)]
    for _ in range(5):
        for _ in range(20):
            bob.send(*(Message(*_CALL, flags=MessageFlag.NO_REPLY_EXPECTED) for _ in range(500)))
        assert neighbours.answer(other).message_type is MessageType.METHOD_RETURN
        neighbours.check_alice()
    bob.send(*calls)
    assert len(bob.replies(calls)) == len(calls)
