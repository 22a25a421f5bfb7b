"""Bob makes the service write to its log."""

import re

from dbus_fast import Message, MessageType, Variant

from ..lab.connection import LOG_PATH, SESSIONS
from ..lab.surroundings import ALICE, BOB
from ..support.silent_client import SilentClient
from .neighbours import PATIENCE, PROPERTIES, Neighbours

_SAID = "Data channel offload is not used"
_LEFT_OUT = re.compile(r"(\d+) log lines of user (\d+) were left out")
_COUNT = 2000
_AT_MOST = 600  # of them are written, however slow this machine is


def set_dco(client: SilentClient, path: str, count: int) -> None:
    body = [SESSIONS, "dco", Variant("b", True)]
    for _ in range(count // 100):
        calls = [Message(SESSIONS, path, PROPERTIES, "Set", signature="ssv", body=body) for _ in range(100)]
        client.send(*calls)
        for reply in client.replies(calls):
            assert reply.message_type is MessageType.METHOD_RETURN, reply.body


def written(neighbours: Neighbours, session: str) -> int:
    number = session.rpartition("/")[2]
    return sum(_SAID in line and number in line for line in neighbours.service.log.splitlines())


def wait_left_out(neighbours: Neighbours, count: int) -> None:
    """Until the log says that so many lines of bob's were left out."""
    process, since = neighbours.service.process, 0
    while left_out(neighbours).get(BOB.uid, 0) < count:
        process.wait_line(_LEFT_OUT.pattern, PATIENCE, since)
        since = len(process.lines)


def left_out(neighbours: Neighbours) -> dict[int, int]:
    """How many lines the log says were left out, for each user."""
    found: dict[int, int] = {}
    for count, uid in _LEFT_OUT.findall(neighbours.service.log):
        found[int(uid)] = found.get(int(uid), 0) + int(count)
    return found


def test_lines_of_his_calls(neighbours: Neighbours) -> None:
    """What is too much is counted, for him; what is said of her session, and of the service, is written."""
    neighbours.lab.connection("root").set(LOG_PATH, "log_level", "u", 3)
    owner = neighbours.lab.connection("bob")
    profile = owner.import_profile("bob's", neighbours.lab.profile())
    session = owner.new_tunnel(profile)
    before = written(neighbours, session)
    set_dco(neighbours.bob(), session, _COUNT)
    hers = neighbours.lab.connection("alice")
    other = hers.new_tunnel(hers.import_profile("second", neighbours.lab.profile()))
    hers.set(other, "dco", "b", True)
    wait_left_out(neighbours, _COUNT - written(neighbours, session) + before)
    assert written(neighbours, session) - before < _AT_MOST
    assert written(neighbours, session) - before + left_out(neighbours)[BOB.uid] == _COUNT
    assert written(neighbours, other) == 1
    assert left_out(neighbours).keys() == {BOB.uid}
    hers.session(other, "Disconnect")


def test_lines_he_causes_of_her_session(neighbours: Neighbours) -> None:
    """Whom she lets in uses up lines of their own, not hers."""
    neighbours.lab.connection("root").set(LOG_PATH, "log_level", "u", 3)
    alice = neighbours.session.user
    shared = alice.new_tunnel(alice.import_profile("second", neighbours.lab.profile()))
    alice.session(shared, "AccessGrant", "u", BOB.uid)
    set_dco(neighbours.bob(), shared, _COUNT)
    mine = alice.new_tunnel(alice.import_profile("third", neighbours.lab.profile()))
    alice.set(mine, "dco", "b", True)
    wait_left_out(neighbours, 1)
    assert written(neighbours, mine) == 1
    assert ALICE.uid not in left_out(neighbours)
    for session in (shared, mine):
        alice.session(session, "Disconnect")
