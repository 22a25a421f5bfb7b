"""What a session has counted: asked for when somebody looks, and nobody does anything for it otherwise."""

import signal

import pytest

from ...lab.connection import SESSIONS
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.flow import flowing
from ...support.service_life import field
from ...support.sessions import FAILED, UserSession, begin, kill, until

PROPERTIES = "org.freedesktop.DBus.Properties"
MUCH = 50_000
PATIENCE = 60.0  # seconds


@pytest.mark.parametrize("how", ["Get", "GetAll"])
def test_what_is_read_first_is_as_it_is_now(lab: Lab, session: UserSession, how: str) -> None:
    session.connect()
    assert lab.echo(TUNNEL_ADDRESS, b"x" * MUCH) == b"x" * MUCH
    counted = session.get("statistics") if how == "Get" else session.user.get_all(session.path)["statistics"]
    for name in ("BYTES_IN", "BYTES_OUT", "TUN_BYTES_IN", "TUN_BYTES_OUT"):
        assert counted[name] > MUCH, name
    session.call("Disconnect")


def test_a_worker_sleeps_while_there_is_traffic(lab: Lab, session: UserSession) -> None:
    session.connect()
    with flowing(lab, TUNNEL_ADDRESS) as flow:
        session.get("statistics")
        pid = session.worker.pid
        slept = field(pid, "voluntary_ctxt_switches")
        flow.wait_for(500)  # which takes seconds
        assert field(pid, "voluntary_ctxt_switches") == slept
    session.call("Disconnect")


def test_a_stuck_engine_holds_up_nobody_who_reads(lab: Lab) -> None:
    lab.server()
    lab.supervisor(f"--stopped-grace={PATIENCE:g}")
    session = begin(lab)
    session.connect()
    before = session.get("statistics")
    engine = session.engine
    kill(engine, signal.SIGSTOP)
    try:
        for _ in range(100):
            while_stopped = session.get("statistics")
        assert while_stopped["BYTES_IN"] == before["BYTES_IN"]
        assert session.user.get_all(session.path)["statistics"] == session.get("statistics")
    finally:
        kill(engine, signal.SIGCONT)
    assert lab.echo(TUNNEL_ADDRESS, b"x" * MUCH) == b"x" * MUCH
    until(lambda: session.get("statistics")["BYTES_IN"] > before["BYTES_IN"] + MUCH)
    session.call("Disconnect")


def test_a_session_that_ends_while_it_is_read(lab: Lab) -> None:
    """Whoever waits for its engine is answered all the same."""
    lab.server()
    lab.supervisor(f"--stopped-grace={PATIENCE:g}")
    session = begin(lab)
    session.connect()
    before = session.get("statistics")
    kill(session.engine, signal.SIGSTOP)
    reading = session.user.start_call(session.path, PROPERTIES, "Get", "ss", SESSIONS, "statistics", to=SESSIONS)
    kill(session.worker)
    [counted] = session.user.finish_call(reading)
    session.wait(FAILED)
    for now in (counted, session.get("statistics")):
        assert all(now[name] >= before[name] for name in before)
    session.call("Disconnect")
