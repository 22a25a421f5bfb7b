"""Bob uses up what there is a bounded number of; alice, and root, keep their part."""

from dbus_fast import Message, MessageType

from ...policy.dbus_numbers import StatusMinor
from ...policy.limits import DEFAULT_SESSIONS_PER_USER
from ..lab.connection import CONFIGURATION, SESSIONS, SESSIONS_PATH
from ..lab.surroundings import BOB
from ..support.silent_client import SilentClient
from .neighbours import PATIENCE, Neighbours


def new_tunnel(client: SilentClient, profile: str) -> Message:
    call = Message(SESSIONS, SESSIONS_PATH, SESSIONS, "NewTunnel", signature="o", body=[profile])
    return client.call(call)


def log_forward(client: SilentClient, session: str) -> Message:
    return client.call(Message(SESSIONS, session, SESSIONS, "LogForward", signature="b", body=[True]))


def shared_by_alice(neighbours: Neighbours, name: str) -> str:
    """A profile of hers that bob may use; sessions of it are hers."""
    alice = neighbours.session.user
    path = alice.import_profile(name, neighbours.lab.profile())
    alice.set(path, "transfer_owner_session", "b", True, CONFIGURATION)
    alice.call(path, CONFIGURATION, "AccessGrant", "u", BOB.uid)
    return path


def test_sessions_of_her_profiles(neighbours: Neighbours) -> None:
    """Whoever starts a session is charged for it, whoever owns it then, and starts none that is there already."""
    alice, bob = neighbours.session.user, neighbours.bob()
    shared = [shared_by_alice(neighbours, f"shared {number}") for number in range(DEFAULT_SESSIONS_PER_USER + 1)]
    assert new_tunnel(bob, shared[0]).message_type is MessageType.METHOD_RETURN
    refused = new_tunnel(bob, shared[0])
    assert refused.error_name is not None and "is already running" in refused.body[0]
    for path in shared[1:-1]:
        reply = new_tunnel(bob, path)
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    refused = new_tunnel(bob, shared[-1])
    assert refused.error_name is not None and f"You have {DEFAULT_SESSIONS_PER_USER} sessions" in refused.body[0]
    before = set(alice.session(SESSIONS_PATH, "FetchAvailableSessions"))
    own = alice.new_tunnel(shared[-1])
    # Given to him, a session is still charged to whom it was before.
    neighbours.lab.watcher.session(SESSIONS_PATH, "TransferOwnership", "ou", own, BOB.uid)
    for path in before - {neighbours.session.path}:
        alice.session(path, "Disconnect")
    for path in shared[:DEFAULT_SESSIONS_PER_USER]:
        reply = new_tunnel(bob, path)
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    for path in set(alice.session(SESSIONS_PATH, "FetchAvailableSessions")) - {neighbours.session.path}:
        alice.session(path, "Disconnect")
    for path in set(bob.call(Message(SESSIONS, SESSIONS_PATH, SESSIONS, "FetchAvailableSessions")).body[0]):
        bob.call(Message(SESSIONS, path, SESSIONS, "Disconnect"))


def test_watchers_of_her_session(neighbours: Neighbours) -> None:
    """She hears of her session, and root does of what it uses, however many connections of a guest's use it."""
    session, root = neighbours.session, neighbours.lab.connection("root")
    session.call("AccessGrant", "u", BOB.uid)
    root.session(session.path, "Ready")
    for bob in neighbours.bobs(80):
        reply = bob.call(Message(SESSIONS, session.path, SESSIONS, "Ready"))
        assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    before, roots_before = session.seen, len(root.signals())
    session.call("Pause", "s", "lunch")
    session.wait(StatusMinor.CONN_PAUSED, before, PATIENCE)
    root.wait_status(session.path, StatusMinor.CONN_PAUSED, PATIENCE, since=roots_before)
    before = session.seen
    session.call("Resume")
    session.wait(StatusMinor.CONN_CONNECTED, before, PATIENCE)
    neighbours.forget_statuses()


def test_log_forwards_of_her_session(neighbours: Neighbours) -> None:
    """There is a place for her log, and for root, however many of a guest's connections have one."""
    session, root = neighbours.session, neighbours.lab.connection("root")
    session.call("AccessGrant", "u", BOB.uid)
    replies = [log_forward(bob, session.path) for bob in neighbours.bobs(20)]
    refused = [reply for reply in replies if reply.message_type is MessageType.ERROR]
    assert refused and all("of yours" in reply.body[0] for reply in refused)
    for user in (session.user, root):
        user.session(session.path, "LogForward", "b", True)
    session.call("AccessRevoke", "u", BOB.uid)
    for user in (session.user, root):
        user.session(session.path, "LogForward", "b", False)
    neighbours.forget_statuses()
