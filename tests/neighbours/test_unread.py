"""Bob calls and does not read what comes back."""

import threading

from dbus_fast import Message, MessageType, Variant

from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS
from ..support.silent_client import SilentClient
from .neighbours import LIMITS_EXCEEDED, PROPERTIES, Neighbours, imported, large_profile

INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"


def finish(neighbours: Neighbours, bobs: list[SilentClient]) -> None:
    """Alice notices nothing; bob is answered where he has read, and what he calls is done when the others have left."""
    neighbours.check_alice()
    reader, *others = bobs
    reply = neighbours.answer(reader)
    assert reply.message_type is MessageType.METHOD_RETURN or reply.error_name == LIMITS_EXCEEDED, reply.body
    for bob in others:
        bob.close()
    for client in (neighbours.bob(), reader):
        while (reply := neighbours.answer(client)).error_name == LIMITS_EXCEEDED:
            assert "are waiting already" in reply.body[0]  # which are run, though their senders have left
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body


def test_introspection_of_her_session(neighbours: Neighbours) -> None:
    bobs = neighbours.bobs(120)
    for bob in bobs:
        bob.send(*(Message(SESSIONS, neighbours.session.path, INTROSPECTABLE, "Introspect") for _ in range(126)))
    finish(neighbours, bobs)


def test_a_large_profile_of_his_own(neighbours: Neighbours) -> None:
    bobs = neighbours.bobs(4)
    path = imported(bobs[0], large_profile(neighbours.lab))
    for bob in bobs:
        bob.send(*(Message(CONFIGURATION, path, CONFIGURATION, "Fetch") for _ in range(10)))
    finish(neighbours, bobs)


def test_64_mib_for_each_of_two(neighbours: Neighbours) -> None:
    bobs = neighbours.bobs(2)
    path = imported(bobs[0], large_profile(neighbours.lab))
    for bob in bobs:
        bob.send(*(Message(CONFIGURATION, path, CONFIGURATION, "Fetch") for _ in range(17)))
    finish(neighbours, bobs)


def test_long_lists(neighbours: Neighbours) -> None:
    bobs = neighbours.bobs(40)
    text = neighbours.lab.profile()
    for number in range(490):
        imported(bobs[0], text, f"profile {number}")
    call = (CONFIGURATION, CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs")
    for bob in bobs:
        bob.send(*(Message(*call) for _ in range(120)))
    finish(neighbours, bobs)


def test_much_that_is_read(neighbours: Neighbours) -> None:
    """Each is answered, if not at once: with LimitsExceeded he may try again."""
    bobs = neighbours.bobs(40)
    path = imported(bobs[0], large_profile(neighbours.lab))
    done = []

    def fetch(bob: SilentClient) -> None:
        while True:
            reply = bob.call(Message(CONFIGURATION, path, CONFIGURATION, "FetchJSON"))
            if reply.message_type is MessageType.METHOD_RETURN:
                assert len(reply.body[0]) > 4_000_000
                done.append(bob)
                return
            assert reply.error_name == LIMITS_EXCEEDED

    threads = [threading.Thread(target=fetch, args=[bob]) for bob in bobs]
    for thread in threads:
        thread.start()
    neighbours.check_alice()
    for thread in threads:
        thread.join(60)
    assert len(done) == len(bobs)
    finish(neighbours, bobs)


def test_events_that_he_makes(neighbours: Neighbours) -> None:
    """Signals to everybody, which one of his connections asks for and does not read."""
    listener, bob = neighbours.bobs(2)
    listener.match("type='signal'")
    path = imported(bob, neighbours.lab.profile())
    refused = False
    for _ in range(60):
        calls = [
            Message(CONFIGURATION, path, PROPERTIES, "Set", signature="ssv",
                    body=[CONFIGURATION, "dco", Variant("b", bool(number % 2))])
            for number in range(100)
        ]  # fmt: skip
        bob.send(*calls)
        refused = any(reply.error_name == LIMITS_EXCEEDED for reply in bob.replies(calls))
        if refused:
            break
    finish(neighbours, [bob, listener])
