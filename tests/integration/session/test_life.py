"""A session from NewTunnel to Disconnect, with a real server at the other end."""

from pathlib import Path

import pytest

from ....policy.dbus_numbers import StatusMajor, StatusMinor
from ...lab.connection import CONFIGURATION, SESSIONS_PATH, BusError
from ...lab.lab import Lab
from ...lab.network import BEHIND_ADDRESS, BEHIND_ADDRESS6
from ...lab.openvpn import TUNNEL_ADDRESS, TUNNEL_ADDRESS6
from ...lab.service import FIRST_SESSION_UID
from ...support.sessions import CONNECTED, PAUSED, RECONNECTING, UserSession, begin, processes_of_sessions, wait_gone

MARKER = b"what only the two ends may read " * 100


def test_the_whole_life_of_a_session(lab: Lab) -> None:
    server = lab.server()
    lab.supervisor()
    session = begin(lab)
    alice = session.user
    created = alice.wait_signal(lambda one: one.member == "SessionManagerEvent")
    assert created.arguments == [session.path, 1, 4001]
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [session.path]
    assert alice.session(SESSIONS_PATH, "FetchManagedInterfaces") == [""]
    session.call("Ready")

    session.connect()
    assert session.minors == [
        StatusMinor.CFG_OK,
        StatusMinor.CFG_OK,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTING,
        StatusMinor.CONN_CONNECTED,
    ]
    assert session.get("connected_to") == ["udp", "198.51.100.1", 1194]
    assert session.get("session_name") == "198.51.100.1"
    assert session.get("device_name") == "tun0"
    assert alice.session(SESSIONS_PATH, "LookupInterface", "s", "tun0") == session.path
    assert alice.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == [session.path]
    with lab.client_side.capture() as cable:
        for address in (TUNNEL_ADDRESS, TUNNEL_ADDRESS6, BEHIND_ADDRESS, BEHIND_ADDRESS6):
            assert lab.echo(address, MARKER) == MARKER
        assert not cable.saw(MARKER[:32])

    session.call("Pause", "s", "lunch")
    session.wait(PAUSED)
    assert session.minors[5:] == [StatusMinor.CONN_PAUSING, StatusMinor.CONN_PAUSED]
    assert alice.statuses(session.path)[5] == (StatusMajor.CONNECTION, StatusMinor.CONN_PAUSING, "Reason: lunch")

    before = session.seen
    session.call("Resume")
    session.wait(CONNECTED, before)
    assert session.minors[7:] == [StatusMinor.CONN_RESUMING, StatusMinor.CONN_RECONNECTING, StatusMinor.CONN_CONNECTED]
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER

    before = session.seen
    session.call("Restart")
    session.wait(CONNECTED, before)
    assert session.minors[10:] == [
        StatusMinor.CONN_RECONNECTING,
        StatusMinor.CONN_RECONNECTING,
        StatusMinor.CONN_CONNECTED,
    ]
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    statistics = session.get("statistics")
    assert isinstance(statistics, dict)
    assert statistics["N_PAUSE"] == 1
    assert statistics["N_RECONNECT"] == 2

    worker, engine = session.worker, session.engine
    session.call("Disconnect")
    assert session.minors[13:] == [
        StatusMinor.CONN_DISCONNECTING,
        StatusMinor.CONN_DISCONNECTED,
        StatusMinor.CONN_DONE,
        StatusMinor.PROC_STOPPED,
    ]
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    destroyed = alice.wait_signal(lambda one: one.member == "SessionManagerEvent" and one.arguments[1] == 2)
    assert destroyed.arguments == [session.path, 2, 4001]
    with pytest.raises(BusError, match="Object does not exist at path") as error:
        session.call("Disconnect")
    assert error.value.name == "org.freedesktop.DBus.Error.UnknownMethod"
    wait_gone([worker, engine])
    assert server.process.running()


@pytest.mark.parametrize("protocol", ["udp", "tcp", "udp6", "tcp6"])
def test_every_transport(lab: Lab, protocol: str) -> None:
    server = lab.server(protocol=protocol)
    lab.supervisor()
    remote = "2001:db8:1::1 1194" if protocol.endswith("6") else "198.51.100.1 1194"
    session = begin(lab, remotes=[remote], protocol=protocol)
    session.connect()
    assert session.get("connected_to") == [protocol[:3], remote.split()[0], 1194]
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER
    # The server need not wait for a timeout until it may give the session's address to another client.
    session.call("Disconnect")
    server.process.wait_line("Connection reset" if protocol.startswith("tcp") else "exit message received by peer")


def test_settings_are_in_place_when_connected_is_announced_and_gone_after_disconnect(lab: Lab) -> None:
    lab.server(
        pushes=["route 203.0.113.0 255.255.255.0", "route 192.0.2.0 255.255.255.0 vpn_gateway 77"],
        more=["tun-mtu 1400"],
    )
    lab.supervisor()
    session = begin(lab)
    session.connect()
    side = lab.client_side
    assert side.addresses("tun0") == {"198.18.0.2/32", "2001:db8:2::1000/128"}
    assert {"198.18.0.0/24", "2001:db8:2::/64", "203.0.113.0/24", "192.0.2.0/24"} <= side.routes("tun0")
    assert side.link("tun0")["mtu"] == 1400
    session.call("Disconnect")
    assert not {"203.0.113.0/24", "192.0.2.0/24", "198.18.0.0/24"} & side.routes()


def test_two_sessions_at_once_and_one_profile_only_once(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    first = begin(lab, "first")
    second = begin(lab, "second", connection=first.user)
    assert first.worker.uids().real != second.worker.uids().real
    with pytest.raises(BusError, match="A session with this configuration profile is already running"):
        first.user.new_tunnel(first.profile)
    first.connect()
    second.connect()
    assert {first.get("device_name"), second.get("device_name")} == {"tun0", "tun1"}
    first.call("Disconnect")
    assert second.get("status") == [2, CONNECTED, ""]
    again = first.user.new_tunnel(first.profile)
    assert again != first.path


def test_two_users_do_not_see_each_other(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    bob = lab.connection("bob")
    assert bob.session(SESSIONS_PATH, "FetchAvailableSessions") == []
    assert bob.session(SESSIONS_PATH, "FetchManagedInterfaces") == []
    assert bob.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == []
    with pytest.raises(BusError, match="Interface not found"):
        bob.session(SESSIONS_PATH, "LookupInterface", "s", "tun0")
    for member, arguments in {"Disconnect": (), "Pause": ("s", "x"), "Restart": (), "Ready": (), "Connect": ()}.items():
        with pytest.raises(BusError, match=r"GDBus\.Error:net\.openvpn\.gdbuspp: Access denied"):
            bob.session(session.path, member, *arguments)
    with pytest.raises(BusError, match="Access denied"):
        bob.get(session.path, "status")
    assert bob.get_all(session.path) == {}
    with pytest.raises(BusError, match="not shared with you"):
        bob.new_tunnel(session.profile)
    assert [one for one in bob.signals() if one.member == "StatusChange"] == []
    assert session.get("status") == [2, CONNECTED, ""]


def test_root_may_list_inspect_and_end_any_session_but_does_not_find_it_by_name(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    root = lab.connection("root")
    assert root.session(SESSIONS_PATH, "FetchAvailableSessions") == [session.path]
    assert root.session(SESSIONS_PATH, "LookupConfigName", "s", "work") == []
    assert root.get(session.path, "owner") == 4001
    xml = root.call(SESSIONS_PATH, "org.freedesktop.DBus.Introspectable", "Introspect")
    assert f'<node name="{session.path.rpartition("/")[2]}"' in xml
    root.session(session.path, "Disconnect")
    assert session.user.session(SESSIONS_PATH, "FetchAvailableSessions") == []


def test_requests_that_make_no_sense_are_refused_in_the_originals_words(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    with pytest.raises(BusError, match=r"^.*GDBus.Error:net.openvpn.gdbuspp.request:  Connection is not paused"):
        session.call("Resume")
    session.call("Pause", "s", "a")
    with pytest.raises(BusError, match="Connection is already paused"):
        session.call("Pause", "s", "b")
    session.wait(PAUSED)
    session.call("Connect")  # never an error
    assert session.get("status") == [2, PAUSED, ""]


def test_pause_before_connect_and_resume_in_the_middle_of_pausing(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.call("Pause", "s", "not yet")
    assert session.minors == [StatusMinor.CFG_OK, StatusMinor.CONN_PAUSING, StatusMinor.CONN_PAUSED]
    session.call("Resume")
    session.connect()
    before = session.seen
    session.call("Pause", "s", "short")
    session.call("Resume")
    session.wait(RECONNECTING, before)
    session.wait(CONNECTED, before)
    assert lab.echo(TUNNEL_ADDRESS, MARKER) == MARKER


def test_every_session_runs_confined(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab)
    session.connect()
    worker, engine = session.worker, session.engine
    for process in (worker, engine):
        status = Path(f"/proc/{process.pid}/status").read_text()
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert set(facts["Uid"].split()) == set(facts["Gid"].split()) == {str(FIRST_SESSION_UID)}
        assert facts["Groups"].split() == []
        assert {facts[f"Cap{which}"] for which in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
        assert facts["NoNewPrivs"] == "1"
        for namespace in ("mnt", "pid", "ipc", "uts"):
            theirs, ours = (Path(f"/proc/{pid}/ns/{namespace}").readlink() for pid in (process.pid, service.pid))
            assert theirs != ours
    assert worker.cmdline()[0].startswith("openvpn3-session: work of alice, session ")
    assert processes_of_sessions() == [worker, engine]


def test_a_profiles_overrides_reach_its_engine(lab: Lab) -> None:
    lab.server(port=1195)
    lab.supervisor()
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "port-override", ["s", "1195"])
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    session.connect()
    assert session.get("connected_to") == ["udp", "198.51.100.1", 1195]
