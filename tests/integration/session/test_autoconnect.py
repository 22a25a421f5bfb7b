"""Profiles that the service connects by itself, and keeps connected."""

import signal

import pytest

from ....ctl.exits import CommandExit
from ...lab.connection import CONFIGURATION, BusClient, BusError
from ...lab.lab import Lab
from ...lab.service import Service
from ...lab.surroundings import BOB
from ...support.autoconnect import LONG, connected, sessions
from ...support.sessions import UserSession, kill


def service(lab: Lab, *options: str, idle_exit: float = 0) -> Service:
    return lab.supervisor("--dns-backend=none", *options, idle_exit=idle_exit)


def refused(made: Service, times: int = 1) -> None:
    """Wait until so many sessions were refused since their owner may start none."""
    since = 0
    for _ in range(times):
        line = made.process.wait_line("autoconnect of .*start-sessions", LONG, since)
        since = made.process.lines.index(line, since) + 1


def prepared(lab: Lab) -> tuple[Service, BusClient, str]:
    """A service with a profile of alice's that is connected automatically."""
    lab.server()
    made = service(lab)
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile(), persistent=True)
    alice.set_setting(profile, "autoconnect", True)
    return made, alice, profile


def test_it_is_connected_when_the_service_starts_until_it_is_disconnected(lab: Lab) -> None:
    made, alice, profile = prepared(lab)
    first = connected(alice, profile)
    assert first.get("owner") == alice.get(profile, "owner", CONFIGURATION)
    made.stop()
    made = service(lab)
    second = connected(alice, profile, but=first.path)
    second.call("Disconnect")
    made.stop()
    made = service(lab)
    assert sessions(alice) == [] and "Starting a session for" not in made.log
    # By hand it is there again, and kept.
    by_hand = UserSession(alice, profile, alice.new_tunnel(profile))
    by_hand.connect()
    made.stop()
    service(lab)
    connected(alice, profile, but=by_hand.path).call("Disconnect")


def test_it_comes_back_after_a_failure(lab: Lab) -> None:
    _, alice, profile = prepared(lab)
    first = connected(alice, profile)
    kill(first.engine)
    second = connected(alice, profile, but=first.path)
    assert "work" in lab.ovpnctl("alice", "why").stdout
    second.call("Disconnect")
    assert second.path not in sessions(alice)
    # Setting it again asks for it, too.
    alice.set_setting(profile, "autoconnect", True)
    third = connected(alice, profile)
    alice.set_setting(profile, "autoconnect", False)
    assert third.path in sessions(alice)
    third.call("Disconnect")


def test_the_next_instance_takes_it_over_and_starts_no_second(lab: Lab) -> None:
    made, alice, profile = prepared(lab)
    first = connected(alice, profile)
    made.process.signal(signal.SIGKILL)
    made.process.wait()
    made = service(lab)
    assert sessions(alice) == [first.path]
    assert made.log.count("Starting a session for") == 0
    first.call("Disconnect")
    assert sessions(alice) == []


def test_what_needs_typing_is_refused(lab: Lab) -> None:
    lab.server()
    service(lab)
    alice, bob = lab.connection("alice"), lab.connection("bob")
    typed = alice.import_profile("typed", lab.profile(more=["auth-user-pass"]), persistent=True)
    passing = alice.import_profile("passing", lab.profile())
    hers = alice.import_profile("hers", lab.profile(), persistent=True)
    alice.call(hers, CONFIGURATION, "AccessGrant", "u", BOB.uid)
    for user, profile, said in (
        (alice, typed, "autoconnect is for profiles that need no typing, and this one asks for "),
        (alice, passing, "autoconnect is for persistent profiles"),
        (bob, hers, "is not yours"),
    ):
        with pytest.raises(BusError, match=said):
            user.set_setting(profile, "autoconnect", True)
    done = lab.ovpnctl("alice", "config-manage", "--config", "typed", "--autoconnect", "yes")
    assert (done.returncode, "need no typing" in done.stderr) == (CommandExit.REFUSED, True)
    assert sessions(alice) == []
    assert not (lab.service_directory / "state/autoconnect").exists()


def test_the_rights_of_the_owner_hold(lab: Lab) -> None:
    made, alice, profile = prepared(lab)
    connected(alice, profile)
    made.stop()
    refused(service(lab, "--start-sessions=bob"))
    assert "start-sessions" in lab.ovpnctl("alice", "why").stdout
    assert sessions(alice) == []
    alice.set_setting(profile, "autoconnect", False)


def test_it_is_not_idle_while_it_waits_to_connect_again(lab: Lab) -> None:
    made, alice, profile = prepared(lab)
    connected(alice, profile)
    assert (lab.service_directory / "state/autoconnect").exists()
    made.stop()
    refused(service(lab, "--start-sessions=bob", idle_exit=0.01), 2)
    assert lab.ovpnctl("alice", "why").stdout.count("start-sessions") > 1
    alice.call(profile, CONFIGURATION, "Remove")
