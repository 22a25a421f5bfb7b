"""Sessions that cannot start, fail, or lose a process: each says why, leaves nothing, and disturbs no other."""

import signal

import pytest

from ....policy.dbus_numbers import StatusMajor, StatusMinor
from ...lab.connection import SESSIONS_PATH, BusError
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.sessions import CONNECTED, FAILED, RECONNECTING, begin, kill, processes_of_sessions, wait_gone

MARKER = b"what only the two ends may read " * 100


# NewTunnel that fails: the reason within a second, and no process left when the error arrives.


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        ("", "missing required options"),
        ("client\ndev tun\nremote 198.51.100.1\n", "--ca"),
        ("client\ndev tap\nremote 198.51.100.1\n<ca>\nx\n</ca>\n", "dev"),
        ("client\ndev tun\nremote 198.51.100.1\nca /etc/passwd\n", "ca"),
        ("client\ndev tun\nremote 198.51.100.1\ndata-ciphers NONSENSE\n<ca>\nx\n</ca>\n", "unsupported ciphers"),
    ],
    ids=["empty", "no-ca", "tap", "file", "engine-refuses"],
)
def test_a_profile_that_cannot_be_used_is_refused_with_the_reason(lab: Lab, profile: str, reason: str) -> None:
    lab.supervisor()
    alice = lab.connection("alice")
    path = alice.import_profile("bad", profile)
    with pytest.raises(BusError, match=reason) as error:
        alice.new_tunnel(path)
    assert "GDBus.Error:net.openvpn.gdbuspp" in str(error.value)
    assert processes_of_sessions() == []
    assert lab.client_side.devices() == {"cable"}
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    assert [one for one in alice.signals() if one.member == "SessionManagerEvent"] == []


def test_a_profile_that_cannot_be_read_is_refused_at_import(lab: Lab) -> None:
    lab.supervisor()
    alice = lab.connection("alice")
    with pytest.raises(BusError, match="line 4: '</ca>' is missing"):
        alice.import_profile("bad", "client\ndev tun\nremote 198.51.100.1\n<ca>\nunterminated\n")


def test_a_profile_that_is_not_there_makes_no_process(lab: Lab) -> None:
    lab.supervisor()
    alice = lab.connection("alice")
    with pytest.raises(BusError, match="No configuration profile at /net/openvpn/v3/configuration/nowhere"):
        alice.new_tunnel("/net/openvpn/v3/configuration/nowhere")
    assert processes_of_sessions() == []


def test_a_missing_engine_is_named(lab: Lab) -> None:
    lab.supervisor("--openvpn=/nowhere/openvpn")
    with pytest.raises(BusError, match=r"no openvpn program at /nowhere/openvpn: install openvpn"):
        begin(lab)
    assert processes_of_sessions() == []


def test_an_engine_that_does_nothing_right_is_reported_with_its_words(lab: Lab) -> None:
    lab.supervisor("--openvpn=/bin/false")
    with pytest.raises(BusError, match=r"engine.*exited with 1"):
        begin(lab)
    assert processes_of_sessions() == []


# Connections that fail.


def test_a_server_that_never_answers_fails_the_session_in_time(lab: Lab) -> None:
    lab.supervisor("--connect-timeout=2")
    session = begin(lab)
    session.call("Connect")
    _, _, text = session.wait(FAILED)
    assert text == "No connection within 2 s (waiting for the server): Connection refused by 198.51.100.1"
    # The failure stays readable for a while, then the session goes.
    assert session.get("status") == [2, FAILED, text]
    assert session.user.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == []
    session.user.wait_signal(lambda one: one.member == "SessionManagerEvent" and one.arguments[1] == 2, 15)
    with pytest.raises(BusError, match="No such interface"):
        session.get("status")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("stranger", "VERIFY ERROR: depth=0, error="),
        ("expired_server", "VERIFY ERROR: depth=0, error=certificate has expired"),
        # The server does not tell why it does not answer any more; the engine warned of the reason before.
        ("expired_client", "Your certificate has expired"),
    ],
)
def test_bad_papers_fail_soon_with_the_cause(lab: Lab, fault: str, reason: str) -> None:
    lab.server(identity=lab.pki.expired_server if fault == "expired_server" else None)
    lab.supervisor()
    session = begin(
        lab,
        authority=lab.pki.stranger if fault == "stranger" else None,
        identity=lab.pki.expired_client if fault == "expired_client" else None,
    )
    session.call("Connect")
    _, _, text = session.wait(FAILED, deadline=20)
    assert reason in text
    wait_gone(processes_of_sessions())
    session.call("Disconnect")


def test_a_server_that_goes_away_and_comes_back(lab: Lab) -> None:
    server = lab.server(more=["keepalive 1 3"])
    lab.supervisor()
    session = begin(lab)
    session.connect()
    server.process.freeze()
    session.wait(RECONNECTING)
    before = session.seen
    server.process.thaw()
    session.wait(CONNECTED, before, 30)
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    statistics = session.get("statistics")
    assert isinstance(statistics, dict)
    assert statistics["N_RECONNECT"] >= 1
    assert statistics["KEEPALIVE_TIMEOUT"] >= 1


# Processes that die.


def test_a_killed_worker_takes_its_engine_along_and_nobody_else_notices(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    victim = begin(lab, "victim")
    other = begin(lab, "other", "bob")
    victim.connect()
    other.connect()
    device = str(victim.get("device_name"))
    worker, engine = victim.worker, victim.engine
    kill(worker)
    _, _, text = victim.wait(FAILED)
    assert text == "The session's worker was killed by SIGKILL"
    assert victim.user.statuses(victim.path)[-2][:2] == (StatusMajor.SESSION, StatusMinor.PROC_KILLED)
    wait_gone([worker, engine])
    service.process.wait_line("killed by SIGKILL")
    assert other.minors == [
        StatusMinor.CFG_OK,
        StatusMinor.CFG_OK,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTED,
    ]
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    victim.call("Disconnect")
    again = begin(lab, "again", connection=victim.user)
    again.connect()
    assert again.get("device_name") == device


def test_a_killed_engine_fails_its_session(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    worker, engine = session.worker, session.engine
    kill(engine)
    _, _, text = session.wait(FAILED)
    assert text.startswith("The engine was killed by SIGKILL")
    wait_gone([worker, engine])


@pytest.mark.parametrize("victim", ["worker", "engine"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_worker_or_engine_asked_to_end_means_disconnect(lab: Lab, victim: str, number: signal.Signals) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    worker, engine = session.worker, session.engine
    kill(worker if victim == "worker" else engine, number)
    session.wait(StatusMinor.PROC_STOPPED)
    assert session.minors == [
        StatusMinor.CFG_OK,
        StatusMinor.CFG_OK,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTED,
        StatusMinor.CONN_DISCONNECTING,
        StatusMinor.CONN_DISCONNECTED,
        StatusMinor.CONN_DONE,
        StatusMinor.PROC_STOPPED,
    ]
    wait_gone([worker, engine])
    assert session.user.session(SESSIONS_PATH, "FetchAvailableSessions") == []


def test_a_hangup_of_the_engine_reconnects_still_encrypted(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    with lab.client_side.capture() as cable:
        assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
        before = session.seen
        kill(session.engine, signal.SIGHUP)
        session.wait(CONNECTED, before)
        assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
        assert not cable.saw(MARKER[:32])


def test_disconnect_while_connecting_and_while_the_engine_is_stopped(lab: Lab) -> None:
    lab.supervisor("--stopped-grace=0")
    session = begin(lab)
    session.call("Connect")
    worker, engine = session.worker, session.engine
    kill(engine, signal.SIGSTOP)
    session.call("Disconnect")
    session.wait(StatusMinor.PROC_STOPPED)
    assert session.minors[-4:] == [
        StatusMinor.CONN_DISCONNECTING,
        StatusMinor.CONN_DISCONNECTED,
        StatusMinor.CONN_DONE,
        StatusMinor.PROC_STOPPED,
    ]
    # An engine that cannot say goodbye is killed after a while; so it is with a worker.
    wait_gone([worker, engine], 12)
