"""Messages and packets: whatever is not a declared message of the right direction is refused."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...ipc import helpers, messages
from ...ipc.channel import BadFrame, Channel, ChannelClosed, channel_pair
from ...ipc.codec import decode_to_supervisor, decode_to_worker, encode
from ...policy.causes import Cause
from ...policy.dbus_numbers import InputGroup, LogCategory
from ...policy.limits import MAX_ADDRESSES, MAX_FRAME, MAX_ROUTES
from ...policy.network import MAX_METRIC, Address, NetworkSettings, Route, check
from ...policy.profile.pkcs11 import MAX_PROVIDERS, ListedProvider
from ...policy.reports import About
from ...policy.sandbox.layers import Layer
from ..support.descriptors import kernel_refuses_descriptors

SETTINGS = NetworkSettings(1500, (Address("198.18.0.2", 24),), (Route("203.0.113.0/24", 5),), "198.51.100.1")
PROVIDER = ListedProvider("card", "/usr/lib/card.so", "it is not there")

EXAMPLES: list[messages.ToWorker | messages.ToSupervisor] = [
    messages.SupervisorHello(1, 0),
    messages.SupervisorSnapshot(
        "work of alice", "tun0", 120.0, 1.0, (("persist-tun", True),), (PROVIDER,), True, False
    ),
    messages.Connect(1),
    messages.Pause(1, "lunch"),
    messages.Resume(1),
    messages.Restart(1),
    messages.Disconnect(),
    messages.Resolved("vpn.example", ("198.51.100.1",), ""),
    messages.Way(True, False),
    messages.SetLogLevel(6),
    messages.LogCredit(10),
    messages.Ping(),
    messages.Count(),
    messages.UserAnswer(InputGroup.USER_PASSWORD, "username", memoryview(b"alice")),
    messages.InputNeeded(0, InputGroup.USER_PASSWORD, (messages.InputSlot("username", "User", False),), "a", "s"),
    messages.UrlNeeded(1, "https://login.example/"),
    messages.WorkerHello(1, 0),
    messages.WorkerSnapshot("running", 3),
    messages.KeptProfile(),
    messages.Confined((Layer.SECCOMP, Layer.MDWE), False),
    messages.Accepted(3),
    messages.Refused("no", Cause.PROFILE),
    messages.Connecting(1),
    messages.Connected(1, "udp", "198.51.100.1", 1194, "vpn.example"),
    messages.Reconnecting(1, "ping-restart"),
    messages.AttemptFailed(1, "tls-error", "no answer", Cause.NO_ANSWER),
    messages.Paused(1),
    messages.AuthenticationFailed("no", Cause.CREDENTIALS_REFUSED),
    messages.Failed("no", Cause.UNKNOWN),
    messages.EngineDied("no", Cause.ENGINE_DIED),
    messages.Ended("done"),
    messages.ApplyNetwork(SETTINGS),
    messages.ClearNetwork(),
    messages.Reopening(),
    messages.Notices(About.PROFILE, ("float is ignored: not needed",)),
    messages.Servers(("198.51.100.1", "2001:db8::1")),
    messages.Resolve("vpn.example"),
    messages.Negotiated(1, "TLSv1.3 TLS_AES_256_GCM_SHA384", "AES-256-GCM", ("198.18.0.1",)),
    messages.Traffic(1, 2),
    messages.Pong(),
    messages.LogLine(LogCategory.INFO, "hello"),
]

Message = messages.ToWorker | messages.ToSupervisor

HELPER_DECODERS = (
    helpers.decode_to_resolver,
    helpers.decode_lookup_result,
    helpers.decode_from_resolver,
    helpers.unpack_spawn,
    helpers.unpack_spawned,
)


def test_the_largest_settings_that_are_allowed_fit_a_frame() -> None:
    address = Address("2001:db8:1234:5678:9abc:def0:1234:5678", 128, "2001:db8:1234:5678:9abc:def0:1234:5679")
    routes = tuple(
        Route(f"2001:db8:1234:5678:9abc:def0:1234:{0x1000 + i:x}/128", MAX_METRIC) for i in range(MAX_ROUTES)
    )
    settings = NetworkSettings(1500, (address,) * MAX_ADDRESSES, routes, "192.0.2.1")
    check(settings)
    assert decode_to_supervisor(encode(messages.ApplyNetwork(settings)), 0) == messages.ApplyNetwork(settings)


def test_there_is_an_example_of_every_message() -> None:
    assert {type(example) for example in EXAMPLES} == {*messages.TO_WORKER, *messages.TO_SUPERVISOR}


def plain(message: msgspec.Struct) -> tuple[type, dict[str, object]]:
    """What a message says; a memoryview from some releases of msgspec is equal to no other."""
    fields = msgspec.structs.asdict(message)
    return type(message), {name: bytes(one) if isinstance(one, memoryview) else one for name, one in fields.items()}


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_as_it_was_and_only_in_its_direction(
    message: messages.ToWorker | messages.ToSupervisor,
) -> None:
    to_worker = isinstance(message, messages.ToWorker)
    right, wrong = (decode_to_worker, decode_to_supervisor) if to_worker else (decode_to_supervisor, decode_to_worker)
    descriptors = messages.DESCRIPTORS.get(type(message), 0)
    frame = encode(message)
    assert plain(right(frame, descriptors)) == plain(message)
    with pytest.raises(BadFrame):
        wrong(frame, descriptors)
    with pytest.raises(BadFrame, match="descriptors"):
        right(frame, descriptors + 1)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_missing_extra_and_mistyped_fields_are_refused(message: Message) -> None:
    decode = decode_to_worker if isinstance(message, messages.ToWorker) else decode_to_supervisor
    descriptors = messages.DESCRIPTORS.get(type(message), 0)
    fields = msgspec.msgpack.decode(encode(message))
    broken = [{**fields, "extra": 1}]
    for name in fields:
        optional = name == "error"  # the only field with a default
        broken += [] if optional else [{key: value for key, value in fields.items() if key != name}]
        broken += [{**fields, name: [{}]}]
    for wrong in broken:
        with pytest.raises(BadFrame):
            decode(msgspec.msgpack.encode(wrong), descriptors)


@given(st.binary(max_size=200))
def test_random_bytes_are_a_message_or_refused(frame: bytes) -> None:
    for decode in (decode_to_worker, decode_to_supervisor):
        try:
            decode(frame, 0)
        except BadFrame:
            pass
    for helper_decode in HELPER_DECODERS:
        try:
            helper_decode(frame)
        except BadFrame:
            pass


def test_a_frame_is_bounded_both_ways() -> None:
    with pytest.raises(ValueError, match="exceeds a frame"):
        encode(messages.Failed("x" * MAX_FRAME, Cause.UNKNOWN))
    with pytest.raises(BadFrame, match="exceed a frame"):
        decode_to_supervisor(b"\0" * (MAX_FRAME + 1), 0)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.frozensets(st.integers(0, MAX_PROVIDERS - 1)),
    st.integers(-(2**31), 2**31 - 1),
)
def test_spawn_requests_and_answers_come_back(serial: int, uid: int, providers: frozenset[int], pid: int) -> None:
    assert helpers.unpack_spawn(helpers.pack_spawn(serial, uid, providers)) == (serial, uid, providers)
    assert helpers.unpack_spawned(helpers.pack_spawned(serial, pid)) == (serial, pid)


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    left, right = channel_pair()
    yield left, right
    left.close()
    right.close()


def test_a_descriptor_arrives_close_on_exec(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    with Path(os.devnull).open() as file:
        left.send(b"take this", [file.fileno()])
    packet = right.receive()
    received = packet.take()
    try:
        assert not os.get_inheritable(received)
    finally:
        os.close(received)
        packet.close()


def _descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_what_is_read_into_a_buffer_is_overwritten_there(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    buffer = bytearray(MAX_FRAME + 1)
    message = messages.UserAnswer(InputGroup.USER_PASSWORD, "password", memoryview(b"secret-7d10"))
    left.send(encode(message))
    packet = right.receive_into(memoryview(buffer))
    assert plain(decode_to_worker(packet.data, 0)) == plain(message)
    assert b"secret-7d10" in buffer
    packet.close()
    assert buffer == bytes(len(buffer))
    left.close()
    with pytest.raises(ChannelClosed):
        right.receive_into(memoryview(buffer))


def test_an_end_that_wants_no_descriptors_gets_none_or_counts_them(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    right.refuse_descriptors()
    before = _descriptors()
    if kernel_refuses_descriptors():
        with pytest.raises(PermissionError):
            left.send(b"flood", [0] * 20)
        return
    left.send(b"flood", [0] * 20)
    packet = right.receive()
    assert len(packet.descriptors) == 20
    packet.close()
    assert _descriptors() == before


def test_the_end_is_told_apart_from_silence(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    right.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        right.receive()
    left.close()
    with pytest.raises(ChannelClosed):
        right.receive()
    with pytest.raises(ChannelClosed):
        right.send(b"anybody?")


def test_a_packet_beyond_a_frame_is_refused_not_cut(pair: tuple[Channel, Channel]) -> None:
    left, right = pair
    left.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * MAX_FRAME)
    left.send(encode(messages.Connect(1)) + b"\0" * MAX_FRAME)
    with pytest.raises(BadFrame, match="exceed a frame"):
        decode_to_worker(right.receive().data, 0)
