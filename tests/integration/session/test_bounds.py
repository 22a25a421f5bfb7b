"""Bounds on how many there may be, with smaller numbers in place of those of policy/limits.py."""

import time

import pytest

from ....policy.dbus_numbers import StatusMinor
from ...lab.connection import LOG, LOG_PATH, SESSIONS, BusClient, BusError
from ...lab.lab import Lab
from ...lab.processes import DEADLINE
from ...lab.surroundings import SERVICE
from ...support.service_life import started, wait_ready, with_limits
from ...support.sessions import UserSession, begin

MOST = 3


def until_made(user: BusClient, profile: str) -> str:
    """A session, as soon as what is left of one that was ended is gone; its path."""
    deadline = time.monotonic() + DEADLINE
    while True:
        try:
            return user.new_tunnel(profile)
        except BusError:
            assert time.monotonic() < deadline


def test_sessions_of_all_users_together(lab: Lab) -> None:
    with started(lab, through=with_limits(lab.directory, DEFAULT_SESSIONS=MOST, DEFAULT_SESSIONS_PER_USER=MOST)):
        wait_ready(lab)
        sessions = [begin(lab, f"work {number}", user) for number, user in enumerate(("alice", "bob", "alice"))]
        bob = lab.connection("bob")
        profile = bob.import_profile("one more", lab.profile())
        with pytest.raises(BusError, match=f"There are {MOST} sessions already on this machine"):
            bob.new_tunnel(profile)
        sessions.pop(0).call("Disconnect")
        sessions.append(UserSession(bob, profile, until_made(bob, profile)))
        for session in sessions:
            session.call("Disconnect")


def test_connections_that_hear_of_a_session(lab: Lab) -> None:
    """Beyond the bound the one that was there first hears nothing more, until it calls again."""
    with started(lab, through=with_limits(lab.directory, MAX_WATCHERS_PER_USER=MOST)):
        wait_ready(lab)
        session = begin(lab)
        others = [lab.connection("alice") for _ in range(MOST)]
        for other in others[:-1]:
            other.session(session.path, "Ready")
        session.call("Pause", "s", "all hear it")
        for one in (session.user, *others[:-1]):
            one.wait_status(session.path, StatusMinor.CONN_PAUSED)
        others[-1].session(session.path, "Ready")
        before = session.seen
        others[0].session(session.path, "Resume")
        for one in others:
            one.wait_status(session.path, StatusMinor.CONN_RESUMING)
        # The bus delivers in order: what was sent to it has come before the answer.
        session.user.owner_of(SESSIONS)
        assert session.user.statuses(session.path, before) == []
        session.call("Disconnect")
        session.wait(StatusMinor.CONN_DONE, before)


def test_services_that_log_through_this_one(lab: Lab) -> None:
    with started(lab, through=with_limits(lab.directory, MAX_ATTACHED=MOST)):
        wait_ready(lab)
        attached = [lab.connection(SERVICE.name) for _ in range(2)]
        for other, interface in zip((*attached, attached[0]), ("a.b", "a.b", "a.c"), strict=True):
            other.call(LOG_PATH, LOG, "Attach", "s", interface)
        more = lab.connection(SERVICE.name)
        with pytest.raises(BusError, match=f"{MOST} services are attached already"):
            more.call(LOG_PATH, LOG, "Attach", "s", "a.b")
        attached[0].call(LOG_PATH, LOG, "Detach", "s", "a.c")
        more.call(LOG_PATH, LOG, "Attach", "s", "a.b")


@pytest.mark.parametrize(
    ("line", "count", "said"),
    [
        ("remote 203.0.113.{} 1194\n", 9000, "a further remote"),
        ("route 203.0.{}.0 255.255.255.0\n", 8000, "a further route"),
    ],
    ids=["remotes", "routes"],
)
def test_a_profile_with_thousands_of_them_connects(lab: Lab, line: str, count: int, said: str) -> None:
    lab.server(pushes=())
    service = lab.supervisor()
    session = begin(lab, more=[line.format(number % 250 + 1).rstrip() for number in range(count)])
    session.connect()
    service.process.wait_line(f"{said} .* is ignored: 1024 (servers|routes) are the most")
    session.call("Disconnect")
