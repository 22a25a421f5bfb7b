"""config-manage, config-acl, config-dump and configs-list against the real service."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from ....ctl.exits import CommandExit
from ...lab import service
from ...lab.lab import Lab
from ...lab.surroundings import ALICE, BOB
from ...support.configuration_service import PROFILE, Configuration

DENIED = "Error: Access to the configuration profile is denied."


@dataclass
class Ovpnctl:
    """ovpnctl on one profile, as a user."""

    lab: Lab
    path: str
    user: str = "alice"

    def run(self, command: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.lab.ovpnctl(self.user, command, "--path", self.path, *arguments)

    def said(self, command: str, *arguments: str) -> str:
        done = self.run(command, *arguments)
        assert done.returncode == 0 and done.stderr == "", done
        return done.stdout

    def json(self, command: str, *arguments: str) -> Any:
        return json.loads(self.said(command, *arguments, "--json"))

    def refused(self, command: str, *arguments: str) -> str:
        done = self.run(command, *arguments)
        assert done.returncode == CommandExit.REFUSED and done.stdout == "", done
        return done.stderr.partition("\n")[0]


@pytest.fixture
def ovpnctl(lab: Lab) -> Ovpnctl:
    """For a profile of alice's."""
    Configuration(lab)
    return Ovpnctl(lab, lab.connection("alice").import_profile("office", PROFILE))


def test_manage_from_naming_to_unsetting(ovpnctl: Ovpnctl) -> None:
    said = ovpnctl.said(
        *("config-manage", "--rename", "home office", "--tag", "a", "--tag", "b", "--dco", "false"),
        *("--persist-tun", "yes", "--port-override", "443", "--proxy-password", "secret"),
    )
    assert said.splitlines() == [
        "Configuration renamed",
        "Added tag: a",
        "Added tag: b",
        "Kernel based data channel offload support is disabled",
        "Set override 'port-override' to '443'",
        "Override 'persist-tun' is enabled",
        "Set override 'proxy-password' to '********'",
    ]
    settings = ovpnctl.json("config-manage", "--show")
    assert settings == {
        "path": ovpnctl.path,
        "name": "home office",
        "tags": ["a", "b"],
        "readonly": False,
        "persistent": False,
        "dco": False,
        "valid": True,
        "dns_scope": "global",
        "overrides": {"port-override": "443", "persist-tun": True, "proxy-password": "secret"},
        "settings": None,  # no session manager runs
    }
    shown = ovpnctl.said("config-manage", "--show")
    assert "  Name: home office\n" in shown and "  persist-tun: true\n" in shown and "secret" not in shown
    said = ovpnctl.said("config-manage", "--remove-tag", "a", "--unset-override", "port-override")
    assert said.splitlines() == ["Removed tag: a", "Unset override 'port-override'"]
    settings = ovpnctl.json("config-manage", "--unset-override", "persist-tun", "--dns-scope", "tunnel")
    assert settings["overrides"] == {"proxy-password": "secret", "dns-scope": "tunnel"} and settings["tags"] == ["b"]
    assert ovpnctl.said("config-manage", "--quiet", "--tag", "c") == ""


def test_manage_says_what_the_service_refuses(ovpnctl: Ovpnctl) -> None:
    refused = ovpnctl.refused
    assert refused("config-manage", "--remove-tag", "x") == "Error: Non-existing tag"
    assert refused("config-manage", "--unset-override", "ipv6") == "Error: Override 'ipv6' has not been set"
    assert refused("config-manage", "--port-override", "x").endswith("'port-override': not a port")
    assert refused("config-manage", "--dco", "true").startswith("Error: Data channel offload")
    assert refused("config-manage", "--rename", " ") == "Error: A configuration profile needs a name"
    bob = Ovpnctl(ovpnctl.lab, ovpnctl.path, "bob")
    assert bob.refused("config-manage", "--show") == bob.refused("config-manage", "--tag", "x")
    assert bob.refused("config-acl", "--show") == bob.refused("config-dump") == DENIED


def test_whether_a_profile_exists(lab: Lab, ovpnctl: Ovpnctl) -> None:
    assert ovpnctl.said("config-manage", "--exists") == "Configuration 'office' is present\n"
    assert ovpnctl.said("config-manage", "--exists", "--quiet") == ""
    assert Ovpnctl(lab, f"{ovpnctl.path}x").refused("config-manage", "--exists").startswith("Error: there is no")
    done = lab.ovpnctl("alice", "config-manage", "--config", "other", "--exists")
    assert done.returncode == CommandExit.REFUSED and "no configuration profile named other" in done.stderr


def test_an_invalid_profile_says_why(lab: Lab, ovpnctl: Ovpnctl) -> None:
    reason = "Configuration profile is missing required options: --ca, --client or --tls-client, --dev, --remote"
    path = lab.connection("alice").import_profile("incomplete", "verb 3\n")
    assert f"*WARNING*  Invalid profile: {reason}\n" in Ovpnctl(lab, path).said("config-manage", "--show")
    assert Ovpnctl(lab, path).json("config-manage")["invalid_reason"] == reason
    listed = json.loads(lab.ovpnctl("alice", "configs-list", "--json").stdout)
    assert listed[path]["invalid_reason"] == reason and "invalid_reason" not in listed[ovpnctl.path]


def test_access(lab: Lab, ovpnctl: Ovpnctl) -> None:
    said = ovpnctl.said(
        *("config-acl", "--grant", "bob", "--grant", "4000000000", "--revoke", "4000000000"),
        *("--transfer-owner-session", "true", "--lock-down", "true", "--public-access", "false"),
    )
    assert said.splitlines() == [
        f"Granted access to bob (uid {BOB.uid})",
        "Granted access to 4000000000 (uid 4000000000)",
        "Revoked access from 4000000000 (uid 4000000000)",
        "Configuration ownership transfer to session enabled",
        "Configuration has been locked down",
        "Configuration is now readable to only specific users",
    ]
    assert ovpnctl.json("config-acl") == {
        "path": ovpnctl.path,
        "name": "office",
        "owner": "alice",
        "owner_uid": ALICE.uid,
        "readonly": False,
        "locked_down": True,
        "transfer_owner_session": True,
        "public_access": False,
        "granted_access": [{"name": "bob", "uid": BOB.uid}],
    }
    assert f"- ({BOB.uid})  bob\n" in ovpnctl.said("config-acl", "--show")
    assert ovpnctl.refused("config-acl", "--grant", "bob") == "Error: UID already granted access"
    assert ovpnctl.refused("config-acl", "--grant", "nosuch") == "Error: there is no user nosuch"
    bob = Ovpnctl(lab, ovpnctl.path, "bob")
    assert bob.json("config-acl")["owner"] == "alice"
    assert bob.refused("config-acl", "--public-access", "true").endswith("modified by the profile owner")
    assert bob.refused("config-dump") == DENIED
    ovpnctl.said("config-acl", "--lock-down", "false")
    assert bob.said("config-dump") == PROFILE + "\n"


def test_sealing_wants_to_be_certain(lab: Lab, ovpnctl: Ovpnctl) -> None:
    seal = [service.OVPNCTL, "config-acl", "--path", ovpnctl.path, "--seal"]
    done = lab.as_user("alice", seal, stdin="yes\n")
    assert done.returncode == CommandExit.OTHER and "CANNOT be undone" in done.stderr and "cancelled" in done.stderr
    assert not ovpnctl.json("config-manage")["readonly"]
    done = lab.as_user("alice", seal, stdin="YES\n")
    assert done.returncode == 0 and done.stdout == "Configuration has been sealed.\n"
    assert ovpnctl.refused("config-manage", "--tag", "x") == "Error: Configuration profile is sealed and read-only"
    assert ovpnctl.json("config-acl", "--seal", "--force")["readonly"] is True


def test_dump(ovpnctl: Ovpnctl) -> None:
    ovpnctl.said("config-manage", "--ipv6", "no", "--tag", "a")
    assert ovpnctl.said("config-dump") == PROFILE + "\n"
    dumped = ovpnctl.json("config-dump")
    assert dumped.pop("import_timestamp") > 1_700_000_000
    assert dumped == {
        "object_path": ovpnctl.path,
        "owner": ALICE.uid,
        "name": "office",
        "tags": ["a"],
        "last_used_timestamp": 0,
        "locked_down": False,
        "transfer_owner_session": False,
        "readonly": False,
        "used_count": 0,
        "dco": False,
        "public_access": False,
        "acl": [],
        "overrides": {"ipv6": "no"},
        "profile": [
            {
                "ca": ["not looked at\n"],
                "client": None,
                "dev": ["tun"],
                "remote": [["vpn.example.org", "1194"]],
            }
        ],
    }


def test_user_name_and_password_are_for_the_owner_alone(lab: Lab, ovpnctl: Ovpnctl) -> None:
    """Whoever the profile is shared with can use them, and not read them; a dump shows them to nobody unasked."""
    text = f"{PROFILE}\nauth-user-pass login\nproto tcp\nhttp-proxy p 1 auth-file\n"
    file = lab.file("office.ovpn", text)
    for name in ("login", "auth-file"):
        (file.parent / name).write_text("mallory\nopen sesame\n")
    done = lab.ovpnctl("alice", "config-import", "--config", str(file), "--json")
    imported = json.loads(done.stdout)
    stored = [(one["option"], one["line"]) for one in imported["warnings"] if "stored" in one["reason"]]
    assert stored == [("auth-user-pass", 8), ("http-proxy", 10)]
    alice = Ovpnctl(lab, imported["path"])
    alice.said("config-acl", "--grant", "bob")
    alice.said("config-manage", "--proxy-password", "open barley")
    assert alice.json("config-dump")["overrides"] == {"proxy-password": "********"}
    assert alice.json("config-dump", "--with-credentials")["overrides"] == {"proxy-password": "open barley"}
    bob = Ovpnctl(lab, alice.path, "bob")
    for shown in (alice.said("config-dump"), bob.said("config-dump"), bob.said("config-dump", "--with-credentials")):
        assert "open sesame" not in shown and "mallory" not in shown
        assert "\nauth-user-pass\n# not shown\n" in shown and "\nhttp-proxy-user-pass stdin\n" in shown
    assert alice.said("config-dump", "--with-credentials").count("mallory\nopen sesame\n") == 2
    for who, arguments in ((alice, ()), (bob, ()), (bob, ("--with-credentials",))):
        [options] = who.json("config-dump", *arguments)["profile"]
        assert options["auth-user-pass"] is None and options["http-proxy-user-pass"] == ["stdin"]
    [options] = alice.json("config-dump", "--with-credentials")["profile"]
    assert options["auth-user-pass"] == ["mallory\nopen sesame\n"]
    done = lab.ovpnctl("alice", "config-import", "--config", str(file), "--ask-credentials")
    assert "stored" not in done.stderr
    asked = Ovpnctl(lab, done.stdout.split()[-1])
    assert "sesame" not in asked.said("config-dump", "--with-credentials")


def test_lists_by_tag_and_owner(lab: Lab, ovpnctl: Ovpnctl) -> None:
    file = str(lab.file("tagged.ovpn", PROFILE))
    done = lab.ovpnctl("alice", "config-import", "--config", file, "--tag", "a", "--tag", "b", "--json")
    tagged = json.loads(done.stdout)["path"]

    def listed(*arguments: str) -> list[str]:
        return [*json.loads(lab.ovpnctl("alice", "configs-list", "--json", *arguments).stdout)]

    assert listed("--filter-tag", "a") == [tagged] == listed("--filter-config", "tag", "--filter-owner", "alice")
    assert listed("--filter-owner", str(ALICE.uid)) == [ovpnctl.path, tagged]
    assert listed("--filter-tag", "c") == [] == listed("--filter-owner", "bob")
    done = lab.ovpnctl("alice", "config-import", "--config", file, "--tag", "a", "--tag", "a")
    assert done.returncode == CommandExit.REFUSED and "Tag already exists" in done.stderr
    assert len(listed()) == 2, "a profile that could not be tagged was left"
