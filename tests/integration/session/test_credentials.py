"""Sessions that return, of profiles that ask something: systemd credentials of the service answer."""

from pathlib import Path

import pytest

from ...lab.auth_server import Deny, knows
from ...lab.connection import CONFIGURATION, INSPECTION, BusClient, BusError
from ...lab.lab import PROXY_PORT, Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.service import Service
from ...lab.surroundings import BOB
from ...support.authentication import answer
from ...support.autoconnect import LONG, connected, sessions
from ...support.credentials import GivenCredentials, asked, credential_names
from ...support.sessions import CONNECTED, RECONNECTING, UserSession, kill

ASKS = ("auth-user-pass",)
SECRET = "open sesame, said Ali"
GOOD = knows(alice=SECRET)


def service(lab: Lab, given: GivenCredentials, *options: str) -> Service:
    return lab.supervisor("--dns-backend=none", *options, environment=given.environment)


def prepared(lab: Lab) -> tuple[Service, GivenCredentials, BusClient, str]:
    """A service with a profile of alice's, whose name and password it has from its unit."""
    given = GivenCredentials(lab, "_openvpn")
    made = service(lab, given)
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile(more=ASKS), persistent=True)
    given.give(credential_names(alice, profile), username="alice", password=SECRET + "\n")
    return made, given, alice, profile


def override(user: BusClient, profile: str, name: str, value: str) -> None:
    user.call(profile, CONFIGURATION, "SetOverride", "sv", name, ["s", value])


def files_of(directory: Path) -> bytes:
    return b"".join(file.read_bytes() for file in directory.rglob("*") if file.is_file())


def test_a_password_is_given_at_each_start(lab: Lab) -> None:
    server = lab.auth_server(GOOD)
    made, given, alice, profile = prepared(lab)
    assert [(label, there) for label, _, there in asked(alice, profile)] == [
        ("Auth User name", True),
        ("Auth Password", True),
    ]
    shown = lab.ovpnctl("alice", "config-credentials", "--config", "work").stdout
    assert shown.count(", which the service has: Auth ") == 2 and SECRET not in shown
    alice.set_setting(profile, "autoconnect", True)
    first = connected(alice, profile)
    assert [(login.username, login.password) for login in server.logins] == [("alice", SECRET)]
    seen = repr(alice.get_all(first.path)) + repr(alice.signals()) + lab.ovpnctl("alice", "inspect", first.path).stdout
    assert SECRET not in seen + made.log and SECRET.encode() not in files_of(lab.service_directory)
    made.stop()
    service(lab, given)
    second = connected(alice, profile, but=first.path)
    kill(second.engine)
    connected(alice, profile, but=second.path).call("Disconnect")


def test_a_profile_that_is_another_now_gets_nothing(lab: Lab) -> None:
    server = lab.auth_server(GOOD)
    made, given, alice, profile = prepared(lab)
    alice.set_setting(profile, "autoconnect", True)
    connected(alice, profile)
    made.stop()
    # Beside the service, as an owner could while the session is down.
    made = service(lab, given, "--start-sessions=bob")
    made.process.wait_line("autoconnect of .*start-sessions", LONG)
    override(alice, profile, "server-override", "203.0.113.9")
    made.stop()
    made = service(lab, given)
    made.process.wait_line("asks for Auth User name, Auth Password, and the service has no systemd credentials", LONG)
    assert sessions(alice) == [] and len(server.logins) == 1
    assert "config-credentials" in lab.ovpnctl("alice", "why").stdout
    with pytest.raises(BusError, match="no systemd credentials"):
        alice.set_setting(profile, "autoconnect", True)
    # What has no say in where they are sent does not count, and the override may go again.
    alice.call(profile, CONFIGURATION, "UnsetOverride", "s", "server-override")
    alice.set(profile, "name", "s", "renamed")
    alice.set_setting(profile, "autoconnect", True)
    connected(alice, profile).call("Disconnect")


def test_another_users_profile_of_the_same_text_has_other_names(lab: Lab) -> None:
    lab.auth_server(GOOD)
    _, _, alice, profile = prepared(lab)
    bob = lab.connection("bob")
    text = lab.profile(more=ASKS)
    his = bob.import_profile("work", text, persistent=True)
    again = alice.import_profile("again", text, persistent=True)
    hers = credential_names(alice, profile)
    assert credential_names(alice, again) == hers and set(credential_names(bob, his).values()).isdisjoint(hers.values())
    with pytest.raises(BusError, match="no systemd credentials"):
        bob.set_setting(his, "autoconnect", True)
    # Nor does he learn the names of hers, who shares it with him.
    alice.call(profile, CONFIGURATION, "AccessGrant", "u", BOB.uid)
    with pytest.raises(BusError, match="is not yours"):
        asked(bob, profile)
    path = bob.new_tunnel(profile)
    assert bob.get(path, "fingerprint", INSPECTION) == ""


def test_a_session_that_is_started_by_hand_asks(lab: Lab) -> None:
    lab.auth_server(GOOD)
    _, _, alice, profile = prepared(lab)
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    assert [one.name for one in answer(session, username="alice", password=SECRET)] == ["username", "password"]


def test_a_refused_login_is_not_tried_again(lab: Lab) -> None:
    server = lab.auth_server(lambda login: Deny())
    made, given, alice, profile = prepared(lab)
    alice.set_setting(profile, "autoconnect", True)
    made.process.wait_line("the login was refused, so it is not tried again", LONG)
    made.stop()
    service(lab, given)
    assert sessions(alice) == [] and len(server.logins) == 1
    server.judge = GOOD
    alice.set_setting(profile, "autoconnect", True)
    connected(alice, profile).call("Disconnect")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "it is empty"), (b"x" * 256, "longer than"), (b"a\nb", "more than one line"), (b"\xff", "not UTF-8")],
)
def test_what_is_no_answer_is_named(lab: Lab, content: bytes, said: str) -> None:
    _, given, alice, profile = prepared(lab)
    names = credential_names(alice, profile)
    given.give(names, password=content)
    with pytest.raises(BusError, match=rf"The credential {names['password']} cannot be used: .*{said}"):
        alice.set_setting(profile, "autoconnect", True)


def test_all_that_a_profile_asks_and_no_more(lab: Lab) -> None:
    server = lab.auth_server(GOOD, protocol="tcp")
    proxy = lab.proxy("Basic", proxy_user="proxy secret")
    given = GivenCredentials(lab, "_openvpn")
    service(lab, given)
    alice = lab.connection("alice")
    more = (*ASKS, f"http-proxy {SERVER_ADDRESS} {PROXY_PORT} stdin basic")
    text = lab.profile(more=more, identity=lab.pki.client.encrypted("key secret"), protocol="tcp")
    profile = alice.import_profile("work", text, persistent=True)
    names = credential_names(alice, profile)
    assert {*names} == {"username", "password", "pk_passphrase", "http_proxy_user", "http_proxy_pass"}
    given.give(names, username="alice", password=SECRET, pk_passphrase="key secret", http_proxy_user="proxy_user")
    with pytest.raises(BusError, match="this one asks for HTTP proxy password;"):
        alice.set_setting(profile, "autoconnect", True)
    given.give(names, http_proxy_pass="proxy secret")
    alice.set_setting(profile, "autoconnect", True)
    proxy.wait_line("proxy_user: connected", LONG)
    assert server.wait_login(1, LONG).password == SECRET


def test_a_question_that_looks_like_a_name_is_taken_for_none(lab: Lab) -> None:
    """The owner chooses its words, and root, who reads the names, has the password."""
    lab.supervisor("--dns-backend=none")
    alice = lab.connection("alice")
    another = f"openvpn3-sessionmgr.{64 * 'a'}.password"
    question = f"Auth Password: {another} (the service has it)"
    profile = alice.import_profile("work", lab.profile(more=(*ASKS, f'static-challenge "{question}" 1')))
    shown = lab.ovpnctl("root", "config-credentials", "--path", profile).stdout.splitlines()
    names = [name for _, name, _ in asked(alice, profile)]
    assert [line.partition(":")[0] for line in shown] == names and another not in names
    assert question in shown[-1]


def test_a_proxy_that_asks_on_the_way_is_told_once(lab: Lab) -> None:
    lab.server(protocol="tcp")
    lab.proxy("Basic", alice="right")
    given = GivenCredentials(lab, "_openvpn")
    made = service(lab, given)
    alice = lab.connection("alice")
    text = lab.profile(more=[f"http-proxy {SERVER_ADDRESS} {PROXY_PORT} auto"], protocol="tcp")
    profile = alice.import_profile("work", text, persistent=True)
    assert credential_names(alice, profile) == {}
    alice.set_setting(profile, "autoconnect", True)
    made.process.wait_line("CONNECTING → NEEDS_INPUT", LONG)
    [path] = sessions(alice)
    prefix = f"openvpn3-sessionmgr.{alice.get(path, 'fingerprint', INSPECTION)}"
    names = {name: f"{prefix}.{name}" for name in ("http_proxy_user", "http_proxy_pass")}
    alice.session(path, "Disconnect")
    made.stop()
    given.give(names, http_proxy_user="alice", http_proxy_pass="right")
    made = service(lab, given)
    alice.set_setting(profile, "autoconnect", True)
    connected(alice, profile).call("Disconnect")
    given.give(names, http_proxy_pass="wrong")
    alice.set_setting(profile, "autoconnect", True)
    made.process.wait_line("the login was refused, so it is not tried again", LONG)
    assert made.log.count("→ NEEDS_INPUT") == 2


def test_another_worker_of_the_session_is_answered(lab: Lab) -> None:
    server = lab.auth_server(GOOD)
    made, given, alice, profile = prepared(lab)
    override(alice, profile, "automatic-restart", "on-failure")
    given.give(credential_names(alice, profile), username="alice", password=SECRET)
    alice.set_setting(profile, "autoconnect", True)
    session = connected(alice, profile)
    before = session.seen
    kill(session.worker)
    session.wait(RECONNECTING, before, LONG)
    session.wait(CONNECTED, before, LONG)
    assert len(server.logins) == 2 and sessions(alice) == [session.path]
    session.call("Disconnect")
    made.stop()
