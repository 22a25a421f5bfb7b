"""A local user who sends anything at all: the real service goes on, and another user's session notices nothing."""

import asyncio
import os
import re
import signal
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from dbus_fast import Message, MessageFlag, MessageType, Variant

from ....policy.dbus_numbers import SessionEvent, StatusMinor
from ....policy.limits import DEFAULT_SESSIONS_PER_USER, MAX_PROFILE, MAX_UNREAD
from ....supervisor.bus.connection import BusConnection
from ...lab import bus
from ...lab.connection import (
    CONFIGURATION,
    CONFIGURATION_PATH,
    LOG_PATH,
    SESSIONS,
    SESSIONS_PATH,
    BusError,
    Signal,
)
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.processes import DEADLINE
from ...lab.surroundings import ALICE
from ...support.bus_fixture import PROPERTIES, Client, patient_client, run
from ...support.calls import INTERFACES, CallMaker
from ...support.sessions import CONNECTED, PAUSED, UserSession, begin

CALLS = 2000
FLOOD = 5000
# Import stores what it is given, up to the user's quota, and the random texts are no secrets of a session.
WITHOUT = ("Import",)
_WINDOW = 50  # calls under way at once; the bus allows a connection 128


@pytest.fixture
def bystander(lab: Lab) -> Iterator[UserSession]:
    """Bob's session; whatever alice does, it stays as it is, and the service has no fault."""
    lab.server(pushes=())
    service = lab.supervisor()
    session = begin(lab, "quiet", "bob")
    session.connect()
    told = session.seen
    yield session
    assert session.get("status") == [2, CONNECTED, ""]
    assert session.user.statuses(session.path, told) == []
    for trouble in ("Internal error", "failed:\n", "Traceback"):
        assert trouble not in service.log, service.log[service.log.index(trouble) - 500 :][:3000]


def socket_of(user: Client) -> int:
    """The descriptor of a connection, to write what no message is."""
    assert user.bus._sock is not None
    return user.bus._sock.fileno()


async def answered(user: Client, call: Message) -> Message:
    reply = await user.bus.call(call)
    assert reply is not None
    assert reply.message_type in (MessageType.METHOD_RETURN, MessageType.ERROR)
    return reply


def test_any_call(lab: Lab, bystander: UserSession) -> None:
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    own = alice.new_tunnel(profile)
    paths = [SESSIONS_PATH, CONFIGURATION_PATH, LOG_PATH, own, bystander.path, profile, bystander.profile]

    async def test() -> None:
        maker = CallMaker(1, INTERFACES, paths, WITHOUT)
        kinds: list[MessageType] = []
        async with patient_client(lab.bus.address, ALICE.uid) as user:
            for _ in range(CALLS // _WINDOW):
                replies = await asyncio.gather(*(answered(user, maker.call()) for _ in range(_WINDOW)))
                kinds += [reply.message_type for reply in replies]
        # Not everything is refused: the calls reach what is behind the checks.
        assert CALLS / 100 < kinds.count(MessageType.METHOD_RETURN) < CALLS

    run(test())


def latencies(bystander: UserSession, count: int) -> list[float]:
    """Times of a property read by bob, in milliseconds."""
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        assert bystander.get("status") == [2, CONNECTED, ""]
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def test_thousands_of_calls_whose_replies_nobody_awaits(lab: Lab, bystander: UserSession) -> None:
    alice = lab.connection("alice")
    own = alice.new_tunnel(alice.import_profile("work", lab.profile(more=["auth-user-pass"])))
    quiet = latencies(bystander, 100)

    def flood(user: Client) -> None:
        for number in range(FLOOD):
            member, signature, body = (
                ("UserInputProvide", "uuus", [1, 1, number % 7, "x"])
                if number % 2
                else ("UserInputQueueCheck", "uu", [1, 1])
            )
            user.bus.send(
                Message(
                    SESSIONS, own, SESSIONS, member,
                    flags=MessageFlag.NO_REPLY_EXPECTED, signature=signature, body=body,
                )
            )  # fmt: skip

    async def test() -> list[float]:
        async with patient_client(lab.bus.address, ALICE.uid) as user:
            flood(user)
            meanwhile = await asyncio.to_thread(latencies, bystander, 100)
            assert (await user.call("FetchAvailableSessions", interface=SESSIONS, path=SESSIONS_PATH, to=SESSIONS)).body
        return meanwhile

    disturbed = run(test())
    print(f"bob's Get: median {statistics.median(quiet):.2f} ms, in the flood {statistics.median(disturbed):.2f} ms")


def test_a_flood_of_sessions_ends_at_the_quota(lab: Lab, bystander: UserSession) -> None:
    connections = [lab.connection("alice") for _ in range(4)]
    alice = connections[0]
    profiles = [
        alice.import_profile(f"profile {number}", lab.profile()) for number in range(DEFAULT_SESSIONS_PER_USER + 10)
    ]
    calls = []
    for number, profile in enumerate(profiles):
        connection = connections[number % len(connections)]
        calls.append((connection, connection.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)))
    made, refusals = [], []
    for connection, call in calls:
        try:
            made += connection.finish_call(call, 60)
        except BusError as error:
            refusals.append(error.text)
    assert len(made) == DEFAULT_SESSIONS_PER_USER
    assert len(refusals) == 10
    assert all(
        f"You have {DEFAULT_SESSIONS_PER_USER} sessions already; disconnect one first" in one for one in refusals
    )
    # Another user has room; and so has she, after one is gone, its device included.
    other = begin(lab, "another", "bob")
    other.connect()
    alice.session(made[0], "Disconnect")
    alice.new_tunnel(profiles[-1])


def test_callers_that_leave_in_the_middle(lab: Lab, bystander: UserSession) -> None:
    alice = lab.connection("alice")
    profiles = [alice.import_profile(f"profile {number}", lab.profile()) for number in range(10)]
    before = len(alice.signals())

    async def test() -> None:
        for profile in profiles:
            async with patient_client(lab.bus.address, ALICE.uid) as user:
                # Of somebody whom the service does not know yet, it could not tell any more who that was.
                await user.call("FetchAvailableSessions", interface=SESSIONS, path=SESSIONS_PATH, to=SESSIONS)
                call = Message(SESSIONS, SESSIONS_PATH, SESSIONS, "NewTunnel", signature="o", body=[profile])
                waiting = asyncio.ensure_future(user.bus.call(call))
                await user.bus_call("GetId")  # the bus has the call
                waiting.cancel()

    run(test())
    # What they asked for was done; it is theirs, and can be ended by any connection of theirs.
    created = set[str]()

    def all_created(one: Signal) -> bool:
        if one.member == "SessionManagerEvent" and one.arguments[1] == SessionEvent.CREATED:
            created.add(one.arguments[0])
        return len(created) == len(profiles)

    alice.wait_signal(all_created, since=before, what="sessions")
    assert set(alice.session(SESSIONS_PATH, "FetchAvailableSessions")) == created
    for path in created:
        alice.session(path, "Disconnect")


_TEXT = b"a text that is none \xff\xfe\xc0\x80"


# Path ("own": her session's), interface, member, signature, arguments, and what the error says.
_NO_PLACE: list[tuple[str, str, str, str, list[Any], str]] = [
    ("/nowhere", SESSIONS, "Pause", "s", ["x"], "Object does not exist"),
    (f"{SESSIONS_PATH}/nowhere", SESSIONS, "Disconnect", "", [], "Object does not exist"),
    (f"{SESSIONS_PATH}/nowhere", PROPERTIES, "GetAll", "s", [SESSIONS], "Object does not exist"),
    (SESSIONS_PATH, SESSIONS, "NewTunnel", "o", ["/nowhere"], "Access denied|profile"),
    (SESSIONS_PATH, SESSIONS, "NewTunnel", "ay", [_TEXT], "does not match expected type"),
    ("own", SESSIONS, "Pause", "ay", [_TEXT], "does not match expected type"),
    ("own", SESSIONS, "Pause", "", [], "does not match expected type"),
    ("own", SESSIONS, "Pause", "ss", ["x", "y"], "does not match expected type"),
    ("own", SESSIONS, "UserInputProvide", "uuuay", [1, 1, 0, _TEXT], "does not match expected type"),
    ("own", SESSIONS, "UserInputProvide", "(uuus)", [[1, 1, 0, "x"]], "does not match expected type"),
    (
        "own",
        PROPERTIES,
        "Set",
        "ssv",
        [SESSIONS, "log_verbosity", Variant("ay", _TEXT)],
        "Expected type “u” but got “ay”",
    ),
    (
        "own",
        PROPERTIES,
        "Set",
        "ssv",
        [SESSIONS, "public_access", Variant("a{say}", {"x": _TEXT})],
        "Expected type “b” but got",
    ),
    ("own", PROPERTIES, "Get", "say", [SESSIONS, _TEXT], "does not match expected type"),
    ("own", SESSIONS, "Nonsense", "ay", [_TEXT], "Rejected send message"),
    ("own", "no.such.Interface", "Pause", "s", ["x"], "Rejected send message"),
]


def test_what_has_no_place(lab: Lab, bystander: UserSession) -> None:
    """Unknown paths, wrong signatures, bytes that are no text: each gets an error that says so."""
    own = begin(lab)
    before = own.get("status")

    async def test() -> None:
        async with patient_client(lab.bus.address, ALICE.uid) as user:
            for path, interface, member, signature, body, said in _NO_PLACE:
                at = own.path if path == "own" else path
                reply = await answered(user, Message(SESSIONS, at, interface, member, signature=signature, body=body))
                assert reply.message_type is MessageType.ERROR, (member, body)
                assert re.search(said, reply.body[0]), (member, body, reply.body)

    run(test())
    assert own.get("status") == before
    own.call("Disconnect")


def test_a_text_that_is_none_costs_its_sender_the_bus(lab: Lab, bystander: UserSession) -> None:
    """Such a message the bus does not deliver; the sender's session goes on without it."""
    own = begin(lab)

    async def test() -> None:
        async with patient_client(lab.bus.address, ALICE.uid) as user:
            await user.bus_call("GetId")
            call = Message(SESSIONS, own.path, SESSIONS, "Pause", signature="s", body=["MARK"], serial=4711)
            os.write(socket_of(user), bytes(call._marshall(False)).replace(b"MARK", b"\xff\xfe\xc0\x80"))
            assert isinstance(user.bus, BusConnection)
            assert await asyncio.wait_for(user.bus.lost, DEADLINE)

    run(test())
    own.connect()
    own.call("Disconnect")


def test_messages_of_unknown_types(lab: Lab, bystander: UserSession) -> None:
    """The policy files keep them off: dbus-fast would give up the bus (the specification has them ignored)."""
    own = begin(lab)

    async def test() -> None:
        async with patient_client(lab.bus.address, ALICE.uid) as user:
            await user.bus_call("GetId")
            for kind in (5, 11, 255):
                for interface, member in ((SESSIONS, "Ready"), (None, "Ready"), ("org.freedesktop.DBus.Peer", "Ping")):
                    call = Message(SESSIONS, own.path, interface, member, serial=4711)
                    data = bytearray(call._marshall(False))
                    data[1] = kind  # Message Format, in the specification
                    os.write(socket_of(user), data)
            await user.bus_call("GetId")  # it was none of the bus' business

    run(test())
    own.connect()
    own.call("Disconnect")


def test_huge_strings(lab: Lab, bystander: UserSession) -> None:
    """Whatever the bus delivers (32 MB, or as much as it is set to) is answered, and nothing of it stays."""
    alice = lab.connection("alice")
    own = begin(lab, connection=alice)
    own.connect()

    def calls_with(text: str) -> list[tuple[str, str, str, str, list[Any], str]]:
        return [
            (own.path, SESSIONS, "Pause", "s", [text], ""),
            (own.path, SESSIONS, "UserInputProvide", "uuus", [1, 1, 0, text], "User input not required"),
            (own.path, PROPERTIES, "Get", "ss", [SESSIONS, text], "No such property"),
            (own.path, PROPERTIES, "Get", "ss", [text, "status"], "No such interface"),
            (
                own.path,
                PROPERTIES,
                "Set",
                "ssv",
                [SESSIONS, "log_verbosity", Variant("s", text)],
                "Expected type “u” but got “s”",
            ),
            (SESSIONS_PATH, SESSIONS, "LookupConfigName", "s", [text], ""),
            (SESSIONS_PATH, SESSIONS, "LookupInterface", "s", [text], "not found"),
            (CONFIGURATION_PATH, CONFIGURATION, "Import", "ssbb", ["work", text, False, False], "larger than 4 MiB"),
            (
                CONFIGURATION_PATH,
                CONFIGURATION,
                "Import",
                "ssbb",
                [text, "client", False, False],
                "longer than 255 bytes",
            ),
            (own.profile, CONFIGURATION, "AddTag", "s", [text], "Tag value too long"),
            (
                own.profile,
                CONFIGURATION,
                "SetOverride",
                "sv",
                ["server-override", Variant("s", text)],
                "not a host name or address",
            ),
        ]

    # What is read, and what is not.
    bounds = {"Import": "4 MiB", "UserInputProvide": "128 KiB"}
    calls = [call for call in calls_with("y" * 4000) if call[4][0] != "work"]
    calls += [(*call[:5], f"larger than {bounds.get(call[2], '4 KiB')}") for call in calls_with("y" * 16_000_000)]
    calls += [call for call in calls_with("y" * (MAX_PROFILE + 1)) if call[4][0] == "work"]

    async def test() -> None:
        async with patient_client(lab.bus.address, ALICE.uid) as user:
            for path, interface, member, signature, body, said in calls:
                to = CONFIGURATION if path.startswith(CONFIGURATION_PATH) else SESSIONS
                reply = await answered(user, Message(to, path, interface, member, signature=signature, body=body))
                if said:
                    assert reply.message_type is MessageType.ERROR and re.search(said, reply.body[0]), member
                else:
                    assert reply.message_type is MessageType.METHOD_RETURN, (member, reply.body)

    run(test())
    own.wait(PAUSED)
    [(_, _, text)] = [said for said in alice.statuses(own.path) if said[1] == StatusMinor.CONN_PAUSING]
    assert len(text) < 5000
    own.call("Disconnect")


def test_a_log_reader_that_never_reads_is_cut_off(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a bus that keeps little for it: what it lost is counted in the log, and nobody else misses anything."""
    small = '<limit name="max_outgoing_bytes">200000</limit></busconfig>'
    monkeypatch.setattr(bus, "_CONFIGURATION", bus._CONFIGURATION.replace("</busconfig>", small))
    lab.server()
    service = lab.supervisor()
    reader, alice = lab.connection("alice"), lab.connection("alice")
    session = begin(lab, connection=alice)
    session.connect()
    for one in (reader, alice):
        one.session(session.path, "LogForward", "b", True)
    assert len(alice.get(session.path, "log_forwards")) == 2
    alice.set(session.path, "log_verbosity", "u", 6)
    os.kill(reader.pid, signal.SIGSTOP)
    try:
        until = time.monotonic() + 6 * DEADLINE
        while "no longer forwarded" not in service.log:
            data = os.urandom(100_000)  # the engine logs each packet
            assert lab.echo(TUNNEL_ADDRESS, data) == data
            assert time.monotonic() < until
        assert len(alice.get(session.path, "log_forwards")) == 1
    finally:
        os.kill(reader.pid, signal.SIGCONT)
    line = service.process.wait_line("no longer forwarded")
    found = re.search(rf"to (:\S+) of user {ALICE.uid}, which does not read: (\d+) lines were lost", line)
    assert found and int(found[2]) >= MAX_UNREAD
    # It may ask anew.
    reader.session(session.path, "LogForward", "b", True)
    assert len(alice.get(session.path, "log_forwards")) == 2
    since = len(reader.signals())
    alice.session(session.path, "Pause", "s", "")
    reader.wait_status(session.path, PAUSED, since=since)
    session.call("Disconnect")


def test_a_log_reader_that_never_reads(lab: Lab, bystander: UserSession) -> None:
    reader = lab.connection("alice")
    session = begin(lab, connection=reader, more=["verb 6"])
    session.call("LogForward", "b", True)
    other = lab.connection("alice")
    os.kill(reader.pid, signal.SIGSTOP)
    try:
        for _ in range(20):
            before = len(other.signals())
            other.session(session.path, "Ready")
            other.session(session.path, "Restart")
            other.wait_status(session.path, CONNECTED, since=before)
    finally:
        os.kill(reader.pid, signal.SIGCONT)
    session.call("Disconnect")
