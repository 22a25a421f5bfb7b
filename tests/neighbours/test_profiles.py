"""Bob stores, reads and changes profiles, as many and as large as he can."""

import threading

import psutil
from dbus_fast import Message, MessageFlag, MessageType, Variant

from ...policy.limits import MAX_CALLS_PER_SENDER
from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS, SESSIONS_PATH, BusError
from ..support.silent_client import SilentClient
from .neighbours import PATIENCE, Neighbours, imported, importing, large_profile

MEMORY = 150_000_000  # bytes that the service may have more, whatever is sent to it


def test_all_that_he_may_store(neighbours: Neighbours) -> None:
    """On either place; there is room for alice, and for him again once he has removed one."""
    bob = neighbours.bob()
    text = large_profile(neighbours.lab)
    for persistent, where, most in ((False, "in memory", 16), (True, "on disk", 64)):
        paths = []
        while (reply := bob.call(importing("work", text, persistent=persistent))).message_type is not MessageType.ERROR:
            paths.append(reply.body[0])
            assert len(paths) * len(text) < most * 2**20, "he may store what he likes"
        assert f"Your configuration profiles {where} take " in reply.body[0] and "remove one first" in reply.body[0]
        alice = neighbours.lab.connection("alice")
        alice.call(
            alice.import_profile("large", text, persistent=persistent), CONFIGURATION, "AddTag", "s", "while he is full"
        )
        bob.call(Message(CONFIGURATION, paths[0], CONFIGURATION, "Remove"))
        imported(bob, neighbours.lab.profile())


def test_one_session_of_a_profile_for_one(neighbours: Neighbours) -> None:
    """Bob starts one with a profile of alice's at the moment in which she does."""
    alice, bob = neighbours.lab.connection("alice"), neighbours.lab.connection("bob")
    for _ in range(3):
        profile = alice.import_profile("once", neighbours.lab.profile(), single_use=True)
        alice.set(profile, "public_access", "b", True)
        started = []
        calls = [(one, one.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)) for one in (alice, bob)]
        for one, call in calls:
            try:
                started.append((one, one.finish_call(call)[0]))
            except BusError as error:
                assert "for one session only" in str(error) or "No configuration profile" in str(error)
        ((one, session),) = started
        one.session(session, "Disconnect")


def test_large_profiles_that_are_refused(neighbours: Neighbours) -> None:
    """More of them than fit into memory, on eight connections, while alice imports and starts one."""
    bobs = neighbours.bobs(8)
    refused = "client\n" * 10_001 + "#" + "x" * 4_000_000
    process = psutil.Process(neighbours.service.pid)
    before = process.memory_info().rss
    highest = [before]
    replies: list[Message] = []

    def flood(bob: SilentClient) -> None:
        calls = [importing("work", refused) for _ in range(12)]
        bob.send(*calls)
        replies.extend(bob.replies(calls))
        highest.append(process.memory_info().rss)

    threads = [threading.Thread(target=flood, args=[bob]) for bob in bobs]
    for thread in threads:
        thread.start()
    alice = neighbours.lab.connection("alice")
    while any(thread.is_alive() for thread in threads):
        body = ("beside him", neighbours.lab.profile(), True, False)
        profile = alice.call(CONFIGURATION_PATH, CONFIGURATION, "Import", "ssbb", *body, deadline=PATIENCE)
        session = alice.call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile, deadline=PATIENCE)
        alice.call(session, SESSIONS, "Disconnect", deadline=PATIENCE)
        highest.append(process.memory_info().rss)
    for thread in threads:
        thread.join()
    assert len(replies) == 96 and all(reply.message_type is MessageType.ERROR for reply in replies)
    print(f"{(max(highest) - before) / 1e6:.0f} MB more")
    assert max(highest) - before < MEMORY


def test_large_profiles_and_calls_with_their_serial_numbers(neighbours: Neighbours) -> None:
    """Calls that are refused, since too many wait, do not count as the large ones before them."""
    bobs = neighbours.bobs(40)
    for bob in bobs:
        neighbours.answer(bob)
    process = psutil.Process(neighbours.service.pid)
    highest = before = process.memory_info().rss
    silent = MessageFlag.NO_REPLY_EXPECTED
    refused = importing("work", "client\n" * 10_001 + "#" + "x" * 4_000_000)
    refused.flags = silent
    waiting = Message(SESSIONS, SESSIONS_PATH, SESSIONS, "FetchAvailableSessions", flags=silent)
    one_more = Message(SESSIONS, SESSIONS_PATH, SESSIONS, "FetchAvailableSessions")
    for bob in bobs:
        for serial in range(5001, 5005):
            bob.send_as(serial, refused)
        bob.send_as(6000, *[waiting] * MAX_CALLS_PER_SENDER)
        for serial in range(5001, 5005):
            bob.send_as(serial, one_more)
        highest = max(highest, process.memory_info().rss)
    neighbours.check_alice()
    highest = max(highest, process.memory_info().rss)
    print(f"{(highest - before) / 1e6:.0f} MB more")
    assert highest - before < MEMORY


def test_changes_of_a_large_profile(neighbours: Neighbours) -> None:
    """Thousands of them; each is made, and costs no more than one of a small profile."""
    bob = neighbours.bob()
    path = imported(bob, large_profile(neighbours.lab))
    process = psutil.Process(neighbours.service.pid)
    written = process.io_counters().write_chars
    for number in range(1000):
        body = ["proxy-username", Variant("s", str(number))]
        change = Message(CONFIGURATION, path, CONFIGURATION, "SetOverride", signature="sv", body=body)
        assert bob.call(change).message_type is MessageType.METHOD_RETURN
    assert process.io_counters().write_chars - written < 10_000_000
