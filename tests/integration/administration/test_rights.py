"""Who may do what, with real users, groups and a stand-in for logind."""

import re

import pytest

from ...lab.connection import BusClient, BusError
from ...lab.lab import Lab
from ...lab.logind import Logind
from ...lab.openvpn import USUAL_PUSHES
from ...lab.surroundings import ALICE, BOB, members
from ...support.credentials import asked
from ...support.sessions import FAILED, UserSession, begin

ONLY_VPN = "only for group vpn (--start-sessions @vpn)"


def refusal(lab: Lab, user: BusClient) -> str:
    """Why a user may not start a session; "" if they may, and have."""
    profile = user.import_profile("work", lab.profile())
    try:
        path = user.new_tunnel(profile)
    except BusError as error:
        return str(error)
    user.session(path, "Disconnect")
    return ""


def test_starting_sessions_is_kept_to_a_group(lab: Lab) -> None:
    """Who is in it now, not when the service started."""
    lab.supervisor("--start-sessions=@vpn")
    alice, root = lab.connection("alice"), lab.connection("root")
    assert f"starting sessions is {ONLY_VPN}" in refusal(lab, alice)
    members(vpn=["bob", "alice"])
    assert refusal(lab, alice) == refusal(lab, root) == ""
    members(vpn=["bob"])
    assert ONLY_VPN in refusal(lab, alice)
    assert refusal(lab, lab.connection("bob")) == ""
    alice.import_profile("another", lab.profile())
    done = lab.ovpnctl("alice", "session-start", "--config", "another")
    assert done.returncode and f"starting sessions is {ONLY_VPN}" in done.stderr


def test_no_session_is_tried_for_who_may_start_none(lab: Lab) -> None:
    """What a profile asks is found out by a worker and an engine of its owner's."""
    lab.supervisor("--start-sessions=@vpn")
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile(), persistent=True)
    for user in (alice, lab.connection("root")):
        with pytest.raises(BusError, match=re.escape(ONLY_VPN)):
            asked(user, profile)
    with pytest.raises(BusError, match=re.escape(ONLY_VPN)):
        alice.set_setting(profile, "autoconnect", True)
    members(vpn=["alice"])
    asked(alice, profile)


def test_many_at_once_are_all_let_in(lab: Lab) -> None:
    """Each look-up of an account waits for its turn."""
    members(vpn=["alice"])
    lab.supervisor("--start-sessions=@vpn")
    alice = lab.connection("alice")
    profiles = [alice.import_profile(f"work{number}", lab.profile()) for number in range(12)]
    root = "/net/openvpn/v3/sessions"
    calls = [alice.start_call(root, "net.openvpn.v3.sessions", "NewTunnel", "o", profile) for profile in profiles]
    for call in calls:
        [path] = alice.finish_call(call)
        alice.session(path, "Disconnect")


def test_the_default_route_is_kept_to_users(lab: Lab) -> None:
    lab.server(pushes=(*USUAL_PUSHES, "redirect-gateway def1"))
    lab.supervisor("--redirect=bob,@vpn", "--dns-backend=none")
    session = begin(lab)
    session.call("Connect")
    why = "the default route is only for user bob and group vpn (--redirect bob,@vpn)"
    assert why in session.wait(FAILED)[2]
    alice = lab.connection("alice")
    profile = alice.import_profile("optional", lab.profile())
    alice.set_setting(profile, "redirect-optional", True)
    optional = UserSession(alice, profile, alice.new_tunnel(profile))
    optional.connect()
    assert optional.get("status")
    shown = lab.ovpnctl("alice", "status", "optional").stdout
    assert why in " ".join(shown.split())
    optional.call("Disconnect")
    for user, groups in (("bob", {}), ("alice", {"vpn": ["alice"]})):
        members(**groups)
        permitted = begin(lab, user=user)
        permitted.connect()
        permitted.call("Disconnect")


@pytest.fixture
def logind(lab: Lab) -> Logind:
    return lab.logind()


def test_who_is_active_on_a_local_seat(lab: Lab, logind: Logind) -> None:
    root, alice, bob = (lab.connection(user) for user in ("root", "alice", "bob"))
    logind.start(lab.bus, root)
    lab.supervisor("--start-sessions=seat")
    only = "starting sessions is only for users active on a local seat (--start-sessions seat)"
    assert refusal(lab, alice).endswith(only)
    logind.log_in(root, ALICE, remote=True)
    assert refusal(lab, alice).endswith(only)
    hers = logind.log_in(root, ALICE)
    his = logind.log_in(root, BOB, active=False)
    assert refusal(lab, alice) == ""
    assert refusal(lab, bob).endswith(only)
    logind.switch(root, hers, active=False)
    logind.switch(root, his, active=True)
    assert refusal(lab, alice).endswith(only)
    assert refusal(lab, bob) == refusal(lab, root) == ""
    logind.stop()


def test_without_a_logind_that_answers(lab: Lab, logind: Logind) -> None:
    root, alice = lab.connection("root"), lab.connection("alice")
    lab.supervisor("--start-sessions=seat")
    assert re.search("who uses a local seat is not known: there is no systemd-logind$", refusal(lab, alice))
    logind.start(lab.bus, root)
    logind.log_in(root, ALICE)
    assert refusal(lab, alice) == ""
    logind.freeze()
    assert refusal(lab, alice).endswith("who uses a local seat is not known: systemd-logind does not answer in 1 s")
    assert refusal(lab, root) == ""
    logind.stop()
