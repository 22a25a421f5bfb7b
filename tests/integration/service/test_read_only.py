"""The runtime directory becomes read-only while sessions are up, and the service is killed then."""

import signal

import pytest

from ...lab.connection import CONFIGURATION, SESSIONS_PATH, BusError
from ...lab.lab import Lab
from ...lab.network import CABLE
from ...lab.service import Service
from ...lab.surroundings import BOB
from ...support.adoption import kill
from ...support.service_life import make_read_only, wait_until
from ...support.sessions import CONNECTED, UserSession, begin, wait_gone


def read_only(lab: Lab, service: Service) -> None:
    """Make the runtime directory read-only for this instance, for good."""
    make_read_only(service.pid, lab.service_directory / "runtime")


def test_who_has_lost_access_does_not_get_it_back(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session, bob = begin(lab), lab.connection("bob")
    session.connect()
    session.call("AccessGrant", "u", BOB.uid)
    assert bob.session(SESSIONS_PATH, "FetchAvailableSessions") == [session.path]
    worker = session.worker
    read_only(lab, service)
    session.call("AccessRevoke", "u", BOB.uid)
    service.process.wait_line("would not go on without this service: it cannot be noted on disk: Read-only file system")
    kill(service)
    service = lab.supervisor()
    service.process.wait_line(f"Ended worker {worker.pid} of an earlier instance")
    assert bob.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    with pytest.raises(BusError):
        bob.get(session.path, "status")
    wait_gone([worker])
    assert lab.client_side.devices() == {CABLE}


def test_a_session_that_has_ended_does_not_come_back(lab: Lab) -> None:
    """Though it was to be started again when it failed."""
    lab.server()
    service = lab.supervisor()
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "automatic-restart", ["s", "on-failure"])
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    session.connect()
    read_only(lab, service)
    session.call("Disconnect")
    kill(service)
    lab.supervisor()
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    assert [one.name for one in (lab.service_directory / "runtime" / "sessions").iterdir()] == ["records"]


def test_what_has_become_writable_is_used_again(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    ended, goes_on = begin(lab, "ended"), begin(lab, "goes on", "bob")
    ended.connect()
    goes_on.connect()
    writable = make_read_only(service.pid, lab.service_directory / "runtime")
    ended.call("Disconnect")
    goes_on.user.set(goes_on.path, "log_verbosity", "u", 5)
    writable()
    goes_on.user.set(goes_on.path, "log_verbosity", "u", 4)
    sessions = lab.service_directory / "runtime" / "sessions"
    name = goes_on.path.rpartition("/")[2]
    wait_until(lambda: {one.name for one in sessions.iterdir()} == {"records", f"{name}.session", f"{name}.sock"})
    service.process.signal(signal.SIGKILL)
    service.process.wait()
    lab.supervisor().process.wait_line("Took over 1 session")
    assert goes_on.get("status")[1] == CONNECTED
    assert goes_on.get("log_verbosity") == 4
