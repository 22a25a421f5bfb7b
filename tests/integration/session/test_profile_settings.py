"""Settings of a profile that only this session manager knows, in the running service."""

import json
from pathlib import Path

import pytest

from ....ctl.exits import CommandExit
from ....policy.profile.settings import SETTINGS
from ...lab.connection import CONFIGURATION, CONFIGURATION_PATH, BusError
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.service import Service
from ...lab.surroundings import BOB
from ...support.sessions import FAILED, UserSession

DNS = f"dhcp-option DNS {TUNNEL_ADDRESS}"
DEFAULTS = {name: row.default for name, row in SETTINGS.items()}
REQUIRED = {**DEFAULTS, "dns-required": True}
NOT_USED = f"name server {TUNNEL_ADDRESS}: not used by this machine: "


def prepared(lab: Lab, *pushes: str) -> Service:
    lab.server(pushes=[*USUAL_PUSHES, *pushes])
    return lab.supervisor("--dns-backend=none")


def test_who_may_read_and_set_them(lab: Lab) -> None:
    prepared(lab)
    alice, bob, root = (lab.connection(user) for user in ("alice", "bob", "root"))
    profile = alice.import_profile("work", lab.profile(), persistent=True)
    alice.call(profile, CONFIGURATION, "AccessGrant", "u", BOB.uid)
    alice.set(profile, "public_access", "b", True)
    alice.set_setting(profile, "redirect-optional", True)
    root.set_setting(profile, "dns-required", True)
    assert alice.settings(profile) == root.settings(profile) == {**REQUIRED, "redirect-optional": True}
    for refused in (lambda: bob.settings(profile), lambda: bob.set_setting(profile, "dns-required", False)):
        with pytest.raises(BusError, match="is not yours"):
            refused()
    with pytest.raises(BusError, match="There is no setting 'nonsense'"):
        alice.set_setting(profile, "nonsense", True)
    # As for any other profile; and nobody's overrides have changed.
    assert alice.get(profile, "overrides") == {}


def test_ovpnctl_sets_and_shows_them(lab: Lab) -> None:
    prepared(lab)
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    alice.call(profile, CONFIGURATION, "AccessGrant", "u", BOB.uid)
    manage = ("config-manage", "--config", "work")
    done = lab.ovpnctl("alice", *manage, "--dns-required", "yes", "--show")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Setting 'dns-required' is enabled\n")
    assert "  redirect-optional: No (default)\n" in done.stdout and "  dns-required: Yes\n" in done.stdout
    assert json.loads(lab.ovpnctl("alice", "configs-list", "--json").stdout)[profile]["settings"] == REQUIRED
    assert json.loads(lab.ovpnctl("bob", *manage, "--json").stdout)["settings"] is None
    assert "Settings:" not in lab.ovpnctl("bob", *manage, "--show").stdout
    done = lab.ovpnctl("bob", *manage, "--dns-required", "no")
    assert (done.returncode, "is not yours" in done.stderr) == (CommandExit.REFUSED, True)
    assert json.loads(lab.ovpnctl("alice", *manage, "--dns-required", "no", "--json").stdout)["settings"] == DEFAULTS
    done = lab.ovpnctl("alice", *manage, "--while-not-connected", "closed", "--show")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Setting 'while-not-connected' is 'closed'\n")
    assert "  while-not-connected: closed\n" in done.stdout
    done = lab.ovpnctl("alice", *manage, "--while-not-connected", "shut")
    assert (done.returncode, "'shut' is not one of 'default', 'open', 'closed'" in done.stderr) == (2, True)
    assert "--while-not-connected default|open|closed" in lab.ovpnctl("alice", "config-manage", "--help").stdout


@pytest.mark.parametrize("persistent", [True, False])
def test_they_outlive_the_service_and_not_the_profile(lab: Lab, persistent: bool) -> None:
    service = prepared(lab)
    alice, root = lab.connection("alice"), lab.connection("root")
    profile, given = (alice.import_profile(name, lab.profile(), persistent=persistent) for name in ("a", "b"))
    for one in (profile, given):
        alice.set_setting(one, "dns-required", True)
    service.stop()
    lab.supervisor("--dns-backend=none")
    assert alice.settings(profile) == alice.settings(given) == REQUIRED
    kept = lab.service_directory / ("state" if persistent else "runtime") / "settings"
    assert len(list(kept.iterdir())) == 1
    root.call(CONFIGURATION_PATH, CONFIGURATION, "TransferOwnership", "ou", given, BOB.uid)
    assert lab.connection("bob").settings(given) == DEFAULTS
    alice.call(profile, CONFIGURATION, "Remove")
    assert not list(kept.iterdir())
    with pytest.raises(BusError, match="No configuration profile at"):
        alice.settings(profile)


def test_they_count_for_whoever_starts_a_session(lab: Lab) -> None:
    """Without DNS the session connects, or fails with the reason."""
    prepared(lab, DNS)
    alice, bob = lab.connection("alice"), lab.connection("bob")
    profile = alice.import_profile("work", lab.profile())
    alice.call(profile, CONFIGURATION, "AccessGrant", "u", BOB.uid)
    hers = UserSession(alice, profile, alice.new_tunnel(profile))
    hers.connect()
    alice.set_setting(profile, "dns-required", True)
    his = UserSession(bob, profile, bob.new_tunnel(profile))
    his.call("Connect")
    text = his.wait(FAILED)[2]
    assert text.startswith(
        "The network settings cannot be applied: DNS, which the setting dns-required of the profile asks for: "
    )
    assert NOT_USED in text
    assert NOT_USED in lab.ovpnctl("bob", "why", "work").stdout
    hers.call("Disconnect")


@pytest.mark.parametrize(
    ("pushed", "said"),
    [
        ("dhcp-option DNS 127.0.0.1", "name server '127.0.0.1' is left out"),
        ("dns server 1 address 192.0.2.1\ndns server 1 transport DoH", "transport 'DoH' is not supported"),
        ("dhcp-option DOMAIN corp.example", "domains without a name server are left out"),
    ],
)
def test_name_servers_that_cannot_be_used_at_all(lab: Lab, pushed: str, said: str) -> None:
    prepared(lab, *pushed.splitlines())
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    alice.set_setting(profile, "dns-required", True)
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    session.call("Connect")
    text = session.wait(FAILED)[2]
    assert "DNS, which the setting dns-required" in text and said in text
    # It is not wanted at all.
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "dns-setup-disabled", ["b", True])
    again = UserSession(alice, profile, alice.new_tunnel(profile))
    again.connect()
    again.call("Disconnect")


def test_a_server_without_name_servers(lab: Lab) -> None:
    prepared(lab)
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    alice.set_setting(profile, "dns-required", True)
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    session.connect()
    session.call("Disconnect")


def test_a_damaged_file_is_told_to_who_starts_a_session(lab: Lab) -> None:
    prepared(lab, DNS)
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile(), persistent=True)
    alice.set_setting(profile, "dns-required", True)
    [file] = (lab.service_directory / "state/settings").iterdir()
    file.write_text(file.read_text()[:-1])
    done = lab.ovpnctl("alice", "session-start", "--config", "work", "--timeout", "20")
    assert done.returncode == 0, done
    assert "Warning: the profile's settings cannot be read" in done.stderr


def test_a_stored_profile_with_an_override_that_is_none(lab: Lab) -> None:
    """As an earlier release stored the setting; it has no effect, and can be removed."""
    service = prepared(lab)
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile(), persistent=True)
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "persist-tun", ["b", True])
    service.stop()
    [file] = (lab.service_directory / "state/profiles").glob("*.metadata")
    metadata = json.loads(file.read_text())
    metadata["overrides"]["redirect-optional"] = True
    Path(file).write_text(json.dumps(metadata))
    lab.supervisor("--dns-backend=none")
    assert alice.get(profile, "overrides") == {"persist-tun": True}
    assert alice.settings(profile) == DEFAULTS
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    session.connect()
    session.call("Disconnect")
    alice.call(profile, CONFIGURATION, "UnsetOverride", "s", "redirect-optional")
