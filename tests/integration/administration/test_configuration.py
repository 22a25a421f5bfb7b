"""The administrator's files in the running service: what it takes of them, when, and what it says of what is wrong."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from ....ctl.exits import CommandExit
from ....policy.exit_status import ExitStatus
from ...lab.connection import BusClient, BusError
from ...lab.lab import Lab
from ...lab.openvpn import USUAL_PUSHES
from ...lab.private_etc import ETC, PrivateEtc
from ...lab.service import service_command
from ...lab.surroundings import ALICE, SHARED, members
from ...support.administration import chosen, configure, reloaded
from ...support.sessions import CONNECTED, FAILED, UserSession, begin

IN_ETC = ETC / "openvpn3-sessionmgr"


def new_tunnel(lab: Lab, user: BusClient) -> str:
    """The path of a new session of a new profile.  Raises BusError."""
    return user.new_tunnel(user.import_profile("work", lab.profile()))


# --- at the start ---


def test_files_say_who_may_and_how_much(lab: Lab) -> None:
    where = chosen(
        lab,
        'start-sessions = "refuse"\nmax-sessions-per-user = 1\nmax-profiles-per-user = 3',
        vpn='start-sessions = ["@vpn"]',
    )
    lab.supervisor()
    alice, root = lab.connection("alice"), lab.connection("root")
    with pytest.raises(BusError) as refused:
        new_tunnel(lab, alice)
    rule = f"starting sessions is only for group vpn (start-sessions in {where}/config.d/vpn.toml)"
    assert str(refused.value).endswith(rule)
    members(vpn=["alice"])
    path = new_tunnel(lab, alice)
    with pytest.raises(BusError, match="You have 1 session already; disconnect one first"):
        new_tunnel(lab, alice)
    with pytest.raises(BusError, match="a user may have 3 configuration profiles"):
        alice.import_profile("another", lab.profile())
    others = [new_tunnel(lab, root) for _ in range(4)]
    for user, one in ((alice, path), *((root, one) for one in others)):
        user.session(one, "Disconnect")


def test_the_command_line_counts_more(lab: Lab) -> None:
    chosen(lab, 'start-sessions = "refuse"')
    lab.supervisor("--start-sessions=alice")
    alice = lab.connection("alice")
    alice.session(new_tunnel(lab, alice), "Disconnect")


def test_it_starts_as_the_files_say(lab: Lab) -> None:
    place = lab.directory / "chosen"
    chosen(lab, f'runtime-dir = "{place}"\nsandbox = []\nlog-level = 4', a="sandbox = 'none'")
    # One thing is wrong: the empty list.
    argv = [
        word for word in service_command(lab.service_directory) if not word.startswith(("--runtime-dir", "--log-level"))
    ]
    service = lab.client_side.start("service", argv, environment=lab.bus.environment())
    assert service.wait() == ExitStatus.CONFIGURATION
    chosen(lab, f'runtime-dir = "{place}"\nlog-level = 4', a="sandbox = 'none'")
    service = lab.client_side.start("service", argv, environment=lab.bus.environment())
    service.wait_line("Sandbox without user .*: --sandbox leaves it out")
    assert (place / "sessions").is_dir()
    assert not [line for line in service.lines if "DEBUG" in line]
    assert service.stop() == ExitStatus.OK


def test_what_is_wrong_keeps_it_from_starting(lab: Lab) -> None:
    where = chosen(lab, "log-level = 9\nredirct = 'any'", a="= 3")
    os.chown(where / "config.d/a.toml", ALICE.uid, ALICE.uid)
    argv = service_command(lab.service_directory)
    service = lab.client_side.start("service", argv, environment=lab.bus.environment())
    assert service.wait() == ExitStatus.CONFIGURATION
    assert (
        f"The configuration is wrong: {where}/config.toml, line 1: log-level: '9' is not a number from 0 to 6; "
        f"{where}/config.toml, line 2: there is no key 'redirct': did you mean redirect?; "
        f"{where}/config.d/a.toml belongs to user {ALICE.uid}, not to root: chown root"
    ) in service.text
    assert not (lab.service_directory / "runtime").exists()


@pytest.fixture
def etc(tmp_path: Path) -> PrivateEtc:
    """An /etc in which there may be files of the service; to be asked for before the lab."""
    return PrivateEtc(SHARED / f"etc-{tmp_path.name}")


def test_who_calls_it_is_told(etc: PrivateEtc, lab: Lab) -> None:
    """The bus only has its exit status; ovpnctl looks for itself."""
    with etc:
        configure(IN_ETC, "log-level = 9\nidle-exit = 'x'")
        lab.start_bus(activation=[f"--config-dir={IN_ETC}"])
        with pytest.raises(BusError, match=f"exited with status {ExitStatus.CONFIGURATION:d}"):
            lab.connection("alice").session("/net/openvpn/v3/sessions", "FetchAvailableSessions")
        done = lab.ovpnctl("alice", "sessions-list")
        assert done.returncode == CommandExit.UNREACHABLE
        assert (
            f"Its configuration is wrong: {IN_ETC}/config.toml, line 1: log-level: '9' is not a number from 0 to 6 "
            "(and 1 more: `ovpnctl config-check`)"
        ) in done.stderr
        configure(IN_ETC, "log-level = 4\nidle-exit = 0")
        assert lab.ovpnctl("alice", "sessions-list").returncode == 0
        pid = lab.watcher.call(
            "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixProcessID", "s",
            "net.openvpn.v3.sessions", to="org.freedesktop.DBus",
        )  # fmt: skip
        os.kill(pid, signal.SIGTERM)
        lab.watcher.wait_no_owner("net.openvpn.v3.sessions")


# --- ovpnctl config-check ---


def test_checked_without_the_service(etc: PrivateEtc, lab: Lab) -> None:
    with etc:
        done = lab.ovpnctl("alice", "config-check")
        assert (done.returncode, done.stdout) == (0, f"There are no files in {IN_ETC}\n")
        configure(IN_ETC, "# nothing\n")
        assert lab.ovpnctl("alice", "config-check").stdout == f"Nothing is chosen in {IN_ETC}\n"
        configure(IN_ETC, "log-level = 4", a='redirect = ["alice", "@vpn", "carl"]')
        done = lab.ovpnctl("alice", "config-check")
        file = IN_ETC / "config.d/a.toml"
        assert (done.returncode, done.stdout) == (0, f"log-level in {IN_ETC}/config.toml\nredirect in {file}\n")
        assert done.stderr.splitlines() == [
            f"Warning: redirect in {file}: there is no group 'vpn' on this machine now",
            f"Warning: redirect in {file}: there is no user 'carl' on this machine now",
        ]
        file.chmod(0o600)
        done = lab.ovpnctl("alice", "config-check")
        assert (done.returncode, done.stdout) == (CommandExit.REFUSED, "")
        assert done.stderr == f"Error: {file} cannot be read: Permission denied\n"
        configure(IN_ETC, "log-level = 9\nx = 1")
        done = lab.ovpnctl("root", "config-check")
        assert done.returncode == CommandExit.REFUSED and len(done.stderr.splitlines()) == 2


def test_a_draft_may_be_anybodys(lab: Lab) -> None:
    draft = configure(SHARED / "draft", "log-level = 4")
    for path in (draft, draft / "config.d", draft / "config.toml"):
        os.chown(path, ALICE.uid, ALICE.uid)
    assert lab.ovpnctl("alice", "config-check", str(draft)).returncode == 0
    done = lab.ovpnctl("root", "config-check", str(draft))
    assert (done.returncode, f"belongs to user {ALICE.uid}" in done.stderr) == (CommandExit.REFUSED, True)
    shutil.rmtree(draft)


# --- while it runs ---


def test_rights_and_quotas_are_taken_under_a_live_session(lab: Lab) -> None:
    lab.server(pushes=(*USUAL_PUSHES, "redirect-gateway def1"))
    service = lab.supervisor("--dns-backend=none")
    assert "; nothing that counts at once has changed" in reloaded(service)
    session = begin(lab)
    session.connect()
    worker = session.worker
    where = chosen(lab, 'redirect = "root"\nmax-sessions-per-user = 2\nprocess-titles = "plain"')
    line = reloaded(service)
    assert line.endswith("; what has changed: redirect, max-sessions-per-user, process-titles")
    again = UserSession(session.user, "", new_tunnel(lab, session.user))
    again.call("Connect")
    said = again.wait(FAILED)[2]
    assert f"the default route is only for root (redirect in {where}/config.toml)" in said
    with pytest.raises(BusError, match="You have 2 sessions already"):
        new_tunnel(lab, session.user)
    assert worker.is_running() and session.get("status")[1] == CONNECTED
    chosen(lab, "")
    reloaded(service)
    third = begin(lab, "third", "bob")
    session.call("Disconnect")
    third.connect()
    third.call("Disconnect")


def test_public_networks_are_refused_from_now_on(lab: Lab) -> None:
    lab.server(pushes=(*USUAL_PUSHES, "redirect-gateway def1"))
    service = lab.supervisor("--dns-backend=none")
    connected = begin(lab)
    connected.connect()
    chosen(lab, 'public-networks = "refuse"')
    assert reloaded(service).endswith("; what has changed: public-networks")
    refused = begin(lab, "refused")
    refused.call("Connect")
    assert "--public-networks refuse" in refused.wait(FAILED)[2]
    assert connected.get("status")[1] == CONNECTED
    connected.call("Disconnect")


def test_a_wrong_file_changes_nothing(lab: Lab) -> None:
    chosen(lab, 'start-sessions = "alice"')
    service = lab.supervisor()
    where = chosen(lab, 'start-sessions = "bob"\nmax-sessions = 0')
    line = reloaded(service, "The configuration is wrong")
    assert line.endswith(
        f"{where}/config.toml, line 2: max-sessions: '0' is not a number from 1 to 1000. The service goes on with what "
        "it had"
    )
    alice = lab.connection("alice")
    alice.session(new_tunnel(lab, alice), "Disconnect")
    (where / "config.toml").chmod(0o600)
    assert "config.toml cannot be read: Permission denied" in reloaded(service, "The configuration is wrong")
    for path in (where, where / "config.d"):
        path.chmod(0o777)
    assert "may be written by everybody" in reloaded(service, "The configuration is wrong")
    chosen(lab, 'start-sessions = "bob"')
    reloaded(service)
    with pytest.raises(BusError, match="starting sessions is only for user bob"):
        new_tunnel(lab, alice)


def test_what_takes_a_new_start_is_named(lab: Lab) -> None:
    service = lab.supervisor()
    chosen(lab, 'redirect-rules = 7000\npkcs11-provider = ["a=/a.so"]\nconnect-timeout = 5\nsandbox = "strict"')
    since = len(service.process.lines)
    assert reloaded(service).endswith("; what has changed: connect-timeout")
    later = r"not taken before the service starts anew: sandbox, pkcs11-provider, redirect-rules \("
    assert re.search(later, service.process.wait_line("Changed, and not taken", since=since))
    chosen(lab, "")
    since = len(service.process.lines)
    reloaded(service)
    reloaded(service)
    assert not [line for line in service.process.lines[since:] if "not taken" in line]


def test_name_servers_that_were_nobodys_take_a_new_start(lab: Lab) -> None:
    chosen(lab, 'dns = "refuse"')
    service = lab.supervisor()
    chosen(lab, 'dns = "root"')
    since = len(service.process.lines)
    reloaded(service)
    service.process.wait_line(r"Changed, and not taken before the service starts anew: dns \(", since=since)


def test_a_deadline_is_for_sessions_that_are_started_later(lab: Lab) -> None:
    """There is no server."""
    chosen(lab, "connect-timeout = 1")
    service = lab.supervisor()
    short = begin(lab)
    chosen(lab, "connect-timeout = 1000")
    reloaded(service)
    long = begin(lab, "long", "bob")
    for session in (short, long):
        session.call("Connect")
    assert short.wait(FAILED, deadline=60)[2]
    assert long.get("status")[1] != FAILED
    long.call("Disconnect")


def test_the_log_level_is_taken_but_not_in_place_of_one_chosen_since(lab: Lab) -> None:
    chosen(lab, "log-level = 3")
    argv = [word for word in service_command(lab.service_directory) if not word.startswith("--log-level")]
    process = lab.client_side.start("service", argv, environment=lab.bus.environment())
    process.wait_line("runs as user")
    root = lab.connection("root")
    chosen(lab, "log-level = 6")
    process.signal(signal.SIGHUP)
    process.wait_line("read again; what has changed: log-level")
    level = ("/net/openvpn/v3/log", "log_level")
    assert root.get(*level) == 6
    root.set(*level, "u", 5)
    process.signal(signal.SIGHUP)
    process.wait_line("nothing that counts at once has changed")
    assert root.get(*level) == 5
    assert process.stop() == ExitStatus.OK
