"""The embedded configuration service on a real bus with real users."""

import stat
from typing import Any

import pytest

from ....policy.limits import MAX_PROFILE, MAX_PROFILE_NAME
from ...lab.connection import CONFIGURATION, CONFIGURATION_PATH, BusClient, BusError
from ...lab.lab import Lab
from ...lab.surroundings import ALICE, SERVICE
from ...support.configuration_service import (
    CREATED,
    DESTROYED,
    PROFILE,
    Configuration,
    available,
)

INCOMPLETE = "client\nremote vpn.example.org\n"
MISSING = "Configuration profile is missing required options: --ca, --dev"
GDBUS_NAME = "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2egdbuspp.Code36"


def lookup(user: BusClient, name: str) -> list[str]:
    paths: list[str] = user.call(CONFIGURATION_PATH, CONFIGURATION, "LookupConfigName", "s", name)
    return paths


def fetch(user: BusClient, path: str) -> str:
    text: str = user.call(path, CONFIGURATION, "Fetch")
    return text


def refused(user: BusClient, path: str, member: str, signature: str = "", *arguments: Any) -> str:
    """Call a method that must fail as the original's do; the text without the domain."""
    with pytest.raises(BusError) as caught:
        user.call(path, CONFIGURATION, member, signature, *arguments)
    assert caught.value.name == GDBUS_NAME, caught.value
    assert caught.value.text.startswith("GDBus.Error:net.openvpn.gdbuspp: ")
    return caught.value.text.removeprefix("GDBus.Error:net.openvpn.gdbuspp: ")


def wait_event(user: BusClient, path: str, event: int) -> None:
    arguments = [path, event, ALICE.uid]
    user.wait_signal(
        lambda one: (
            one.member == "ConfigurationManagerEvent" and one.arguments == arguments and one.path == CONFIGURATION_PATH
        )
    )


def test_a_profile_from_import_to_removal(alice: BusClient, bob: BusClient) -> None:
    path = alice.import_profile("office", PROFILE)
    wait_event(bob, path, CREATED)
    assert available(alice) == [path] == lookup(alice, "office")
    assert fetch(alice, path) == PROFILE
    alice.call(path, CONFIGURATION, "Validate")

    properties = alice.get_all(path)
    imported = properties.pop("import_timestamp")
    assert imported > 1_700_000_000
    assert properties == {
        "owner": ALICE.uid,
        "acl": [],
        "name": "office",
        "last_used_timestamp": 0,
        "used_count": 0,
        "single_use": False,
        "persistent": False,
        "locked_down": False,
        "public_access": False,
        "transfer_owner_session": False,
        "readonly": False,
        "valid": True,
        "dco": False,
        "tags": [],
        "overrides": {},
    }
    assert alice.get(CONFIGURATION_PATH, "version") == "v27"

    alice.call(path, CONFIGURATION, "Remove")
    wait_event(bob, path, DESTROYED)
    assert available(alice) == [] == lookup(alice, "office")
    with pytest.raises(BusError, match="Object does not exist at path") as caught:
        alice.get_all(path)
    assert "No such interface" in caught.value.text


def test_other_users_see_who_owns_it_and_no_more(lab: Lab, alice: BusClient, bob: BusClient) -> None:
    path = alice.import_profile("office", PROFILE)
    for stranger in (bob, lab.connection("nobody")):
        assert available(stranger) == [] == lookup(stranger, "office")
        assert stranger.get_all(path) == {"owner": ALICE.uid}
        for member in ("Fetch", "Validate", "Remove"):
            assert refused(stranger, path, member) == "Access to the configuration profile is denied."
    assert fetch(alice, path) == PROFILE


def test_root_may_look_but_not_read(lab: Lab, alice: BusClient) -> None:
    path = alice.import_profile("office", PROFILE)
    root = lab.connection("root")
    assert available(root) == []
    assert root.get_all(path)["name"] == "office"
    assert "ccess" in refused(root, path, "Fetch")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("", PROFILE, "needs a name"),
        ("  ", PROFILE, "needs a name"),
        ("a\nb", PROFILE, "control characters"),
        ("\x1b[31m", PROFILE, "control characters"),
        ("n" * (MAX_PROFILE_NAME + 1), PROFILE, f"longer than {MAX_PROFILE_NAME}"),
        ("big", "#" * (MAX_PROFILE + 1), "larger than 4 MiB"),
        ("open", "<ca>\nno end\n", "cannot be read: line 1"),
    ],
)
def test_what_cannot_be_imported(
    name: str, text: str, words: str, alice: BusClient, configuration: Configuration
) -> None:
    assert words in refused(alice, CONFIGURATION_PATH, "Import", "ssbb", name, text, False, True)
    assert available(alice) == []
    assert [file for file in configuration.directory.rglob("*") if file.is_file()] == []


def test_a_profile_as_large_as_allowed_comes_back_whole(alice: BusClient) -> None:
    line = "# a comment of some length, so that the text has fewer lines than the limit\n"
    text = PROFILE + "\n" + line * ((MAX_PROFILE - len(PROFILE.encode()) - 1) // len(line))
    assert MAX_PROFILE - len(line) < len(text.encode()) <= MAX_PROFILE
    assert fetch(alice, alice.import_profile("largest", text)) == text


def test_an_incomplete_profile_is_kept_and_says_what_is_missing(alice: BusClient) -> None:
    path = alice.import_profile("incomplete", INCOMPLETE)
    assert refused(alice, path, "Validate") == MISSING
    assert alice.get(path, "valid") is False
    assert fetch(alice, path) == INCOMPLETE


def test_a_server_locked_profile_is_not_valid(alice: BusClient) -> None:
    path = alice.import_profile("locked", PROFILE + "\nsetenv GENERIC_CONFIG 1\n")
    assert refused(alice, path, "Validate") == "Server locked profiles are unsupported"


def test_what_an_idle_exit_and_a_reboot_leave(alice: BusClient, configuration: Configuration) -> None:
    passing = alice.import_profile("until reboot", PROFILE)
    kept = alice.import_profile("kept", INCOMPLETE, persistent=True)
    before = {path: alice.get_all(path) for path in (passing, kept)}
    for file in configuration.directory.rglob("*.profile"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.stat().st_uid == SERVICE.uid

    configuration.restart()
    assert sorted(available(alice)) == sorted([passing, kept])
    assert {path: alice.get_all(path) for path in (passing, kept)} == before
    assert fetch(alice, passing) == PROFILE
    assert refused(alice, kept, "Validate") == MISSING

    configuration.restart(lose_runtime=True)
    assert available(alice) == [kept] and fetch(alice, kept) == INCOMPLETE

    alice.call(kept, CONFIGURATION, "Remove")
    configuration.restart()
    assert available(alice) == []


def test_a_damaged_file_is_named_in_the_log_and_the_service_starts(
    alice: BusClient, configuration: Configuration
) -> None:
    damaged = alice.import_profile("damaged", PROFILE, persistent=True)
    sound = alice.import_profile("sound", PROFILE, persistent=True)
    file = next(configuration.directory.rglob(f"{damaged.rpartition('/')[2].replace('x', '-')}.profile"))
    file.write_bytes(file.read_bytes()[:-10])
    configuration.restart()
    assert available(alice) == [sound]
    assert f"profile {file} is damaged" in configuration.process.text
