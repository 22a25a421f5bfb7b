"""Engines and workers that are stopped, or spin: their sessions do not stay connected for ever."""

import signal
from collections.abc import Iterator

import psutil
import pytest

from ....policy.dbus_numbers import StatusMinor
from ...lab.connection import CONFIGURATION, BusError
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.service_life import started, wait_ready, wait_until, with_limits
from ...support.sessions import CONNECTED, FAILED, RECONNECTING, UserSession, begin, kill, wait_gone
from ...support.spinning import make_spin

PATIENCE = 60.0  # seconds
MARKER = b"through the tunnel"
STOPPED = "is stopped (SIGSTOP), and is killed"
SILENT = "does not answer within 3 s, and is killed"


@pytest.fixture
def bystander(lab: Lab) -> Iterator[UserSession]:
    """Bob's session, beside the one that is stuck; nothing happens to it."""
    lab.server(pushes=())
    made = begin(lab, "quiet", "bob")
    made.connect()
    before = made.seen
    yield made
    assert made.get("status") == [2, CONNECTED, ""]
    assert made.user.statuses(made.path, before) == []


@pytest.fixture
def service(lab: Lab) -> None:
    lab.supervisor()


def victim(session: UserSession, name: str) -> psutil.Process:
    return session.worker if name == "worker" else session.engine


def named(name: str) -> str:
    return "The session's worker" if name == "worker" else "The engine"


@pytest.mark.parametrize("name", ["engine", "worker"])
def test_a_stopped_process_fails_its_session(lab: Lab, service: None, bystander: UserSession, name: str) -> None:
    session = begin(lab)
    session.connect()
    both = [session.worker, session.engine]
    before = session.seen
    kill(victim(session, name), signal.SIGSTOP)
    _, _, text = session.wait(FAILED, before, PATIENCE)
    assert text == f"{named(name)} {STOPPED}"
    wait_gone(both)
    session.call("Disconnect")


@pytest.mark.parametrize("name", ["engine", "worker"])
def test_a_session_that_is_wanted_again_gets_other_processes(
    lab: Lab, service: None, bystander: UserSession, name: str
) -> None:
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "automatic-restart", ["s", "on-failure"])
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    session.connect()
    before = session.seen
    both = [session.worker, session.engine]
    kill(victim(session, name), signal.SIGSTOP)
    _, _, text = session.wait(RECONNECTING, before, PATIENCE)
    assert text == f"{named(name)} {STOPPED}: try 1 of 10 in 3 s"
    session.wait(CONNECTED, before, PATIENCE)
    wait_gone(both)
    session.call("Disconnect")


@pytest.mark.parametrize("name", ["engine", "worker"])
def test_one_that_goes_on_in_time_is_left_alone(lab: Lab, name: str) -> None:
    lab.server()
    lab.supervisor(f"--stopped-grace={PATIENCE:g}")
    session = begin(lab)
    session.connect()
    before = session.seen
    process = victim(session, name)
    for _ in range(3):
        kill(process, signal.SIGSTOP)
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED)
        kill(process, signal.SIGCONT)
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    session.call("Pause", "s", "")
    session.wait(StatusMinor.CONN_PAUSED, before)
    session.call("Disconnect")


def test_what_is_stopped_before_connect_fails_too(lab: Lab, service: None) -> None:
    session = begin(lab)
    kill(session.engine, signal.SIGSTOP)
    _, _, text = session.wait(FAILED, deadline=PATIENCE)
    assert text == f"The engine {STOPPED}"
    session.call("Disconnect")


@pytest.mark.parametrize("name", ["engine", "worker"])
def test_one_that_spins_is_asked_and_then_ended(lab: Lab, name: str) -> None:
    limits = with_limits(lab.directory, ANSWER_DEADLINE=3.0)
    with started(lab, "--look-interval=1", through=limits):
        wait_ready(lab)
        lab.server(pushes=())
        bystander = begin(lab, "quiet", "bob")
        bystander.connect()
        since = bystander.seen
        session = begin(lab)
        session.connect()
        both = [session.worker, session.engine]
        before = session.seen
        make_spin(victim(session, name).pid)
        _, _, text = session.wait(FAILED, before, PATIENCE)
        assert text == f"{named(name)} {SILENT}"
        wait_gone(both)
        assert bystander.user.statuses(bystander.path, since) == []
        session.call("Disconnect")
        with pytest.raises(BusError):
            session.get("status")
