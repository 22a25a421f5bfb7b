"""A service that is killed, and the override automatic-restart."""

import pytest

from ...lab.connection import CONFIGURATION, SESSIONS, SESSIONS_PATH, BusError
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.adoption import kill, replaced, taken_over
from ...support.sessions import (
    CONNECTED,
    FAILED,
    PAUSED,
    RECONNECTING,
    UserSession,
    begin,
    processes_of_sessions,
    wait_gone,
)


def restarting(lab: Lab, **overrides: str) -> UserSession:
    """Alice's session of a profile with the override and these, connected."""
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    for name, value in {"automatic_restart": "on-failure", **overrides}.items():
        alice.call(profile, CONFIGURATION, "SetOverride", "sv", name.replace("_", "-"), ["s", value])
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    session.connect()
    return session


def test_a_worker_gives_the_profile_back(lab: Lab) -> None:
    """Nobody else has it any more when it dies."""
    lab.server()
    service = lab.supervisor()
    session = restarting(lab)
    session.user.call(session.profile, CONFIGURATION, "Remove")
    for _ in range(2):
        service = replaced(lab, service)
        worker, since = session.worker, session.seen
        worker.kill()
        session.wait(RECONNECTING, since)
        session.wait(CONNECTED, since, deadline=30)
        assert session.worker != worker
    assert lab.echo(TUNNEL_ADDRESS, b"still") == b"still"


def test_a_secret_override_is_taken_from_the_profile(lab: Lab) -> None:
    """It is in no file about the session; of a profile that is not there any more no worker is started."""
    lab.server()
    service = lab.supervisor()
    session = restarting(lab, proxy_password="open barley", tls_version_min="tls_1_2")
    [kept] = (lab.service_directory / "runtime" / "sessions").glob("*.session")
    assert "barley" not in kept.read_text() and "tls_1_2" in kept.read_text()
    service = replaced(lab, service)
    assert "barley" not in kept.read_text() and "proxy-password" in kept.read_text()
    since = session.seen
    session.worker.kill()
    session.wait(RECONNECTING, since)
    session.wait(CONNECTED, since, deadline=30)
    session.user.call(session.profile, CONFIGURATION, "Remove")
    replaced(lab, service)
    assert session.get("status")[1] == CONNECTED
    since = session.seen
    session.worker.kill()
    session.wait(FAILED, since)


def test_a_worker_dies_while_nobody_looks(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = restarting(lab)
    worker, since = session.worker, session.seen
    kill(service)
    worker.kill()
    wait_gone([worker])
    taken_over(lab)
    _, _, text = session.wait(RECONNECTING, since)
    assert text == "The session's worker ended while there was no service: try 1 of 10 in 3 s"
    session.wait(CONNECTED, since, deadline=30)
    assert lab.echo(TUNNEL_ADDRESS, b"still") == b"still"


def test_while_it_waits_for_another_worker(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = restarting(lab)
    worker, since = session.worker, session.seen
    worker.kill()
    status = list(session.wait(RECONNECTING, since))
    service = replaced(lab, service)
    assert session.get("status") == status
    session.wait(CONNECTED, since, deadline=30)
    session.worker.kill()
    session.wait(RECONNECTING, session.seen)
    session.call("Pause", "s", "lunch")
    replaced(lab, service)
    assert session.get("status")[1] == PAUSED
    session.call("Resume")
    session.wait(CONNECTED, session.seen, deadline=30)
    assert lab.echo(TUNNEL_ADDRESS, b"still") == b"still"


def test_one_that_gave_up_while_nobody_looked(lab: Lab) -> None:
    """Why is told by the worker, which has waited for somebody to tell."""
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    engine, since = session.engine, session.seen
    kill(service)
    engine.kill()
    wait_gone([engine])
    lab.supervisor()
    _, _, text = session.wait(FAILED, since)
    assert text.startswith("The engine was killed by SIGKILL")
    wait_gone(processes_of_sessions())


def test_one_that_was_being_started(lab: Lab) -> None:
    service = lab.supervisor("--stopped-grace=0")
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    call = alice.start_call(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", profile)
    while not processes_of_sessions():
        pass
    kill(service)
    with pytest.raises(BusError):
        alice.finish_call(call)
    taken_over(lab, sessions=0)
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    wait_gone(processes_of_sessions())
    alice.new_tunnel(profile)
