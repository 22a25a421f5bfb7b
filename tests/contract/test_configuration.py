"""The configuration service, as far as clients of sessions need it."""

import time
from typing import Any

import pytest

from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, BusClient, BusError, Signal
from ..lab.lab import Lab
from .subject import (
    ALICE,
    BOB,
    CREATED,
    DBUS_ERROR,
    DESTROYED,
    MANAGER,
    SUBJECT,
    Session,
    error_of,
    error_of_get,
    error_of_set,
    gdbus_error,
)

MEMBERS: dict[str, tuple[Any, ...]] = {
    "Validate": (),
    "Fetch": (),
    "FetchJSON": (),
    "SetOption": ("ss", "verb", "3"),
    "SetOverride": ("sv", "dns-scope", ["s", "global"]),
    "UnsetOverride": ("s", "dns-scope"),
    "AddTag": ("s", "blue"),
    "RemoveTag": ("s", "blue"),
    "AccessGrant": ("u", BOB),
    "AccessRevoke": ("u", BOB),
    "Seal": (),
    "Remove": (),
}


@pytest.fixture
def profile(served_lab: Lab, alice: BusClient) -> str:
    """A profile of alice's."""
    return alice.import_profile("work", served_lab.profile())


def _call(user: BusClient, path: str, member: str, signature: str = "", *arguments: Any) -> Any:
    return user.call(path, CONFIGURATION, member, signature, *arguments)


def _of_root(user: BusClient, member: str, signature: str = "", *arguments: Any) -> Any:
    return _call(user, CONFIGURATION_PATH, member, signature, *arguments)


def test_a_new_profile(alice: BusClient, profile: str) -> None:
    values = alice.get_all(profile)
    assert abs(values.pop("import_timestamp") - time.time()) < 10
    assert values == {
        "owner": ALICE,
        "acl": [],
        "name": "work",
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
    assert _of_root(alice, "FetchAvailableConfigs") == [profile]
    assert _of_root(alice, "LookupConfigName", "s", "work") == [profile]
    assert _of_root(alice, "LookupConfigName", "s", "other") == []


def test_events_reach_everybody(alice: BusClient, bob: BusClient, served_lab: Lab) -> None:
    path = alice.import_profile("work", served_lab.profile())
    _call(alice, path, "Remove")
    for user in (alice, bob):
        for kind in (CREATED, DESTROYED):
            event = _wait_event(user, [path, kind, ALICE])
            assert (event.path, event.interface) == (CONFIGURATION_PATH, CONFIGURATION)


def _wait_event(user: BusClient, arguments: list[object]) -> Signal:
    return user.wait_signal(lambda one: one.member == "ConfigurationManagerEvent" and one.arguments == arguments)


def test_the_text_comes_back(alice: BusClient, profile: str) -> None:
    text = _call(alice, profile, "Fetch")
    for line in ("client", "dev tun", "remote 198.51.100.1 1194", "<ca>"):
        assert line in text
    _call(alice, profile, "Validate")


def test_the_text_as_json(alice: BusClient, profile: str) -> None:
    assert _call(alice, profile, "FetchJSON").lstrip().startswith("{")


def test_use_is_counted(session: Session) -> None:
    assert session.user.get(session.profile, "used_count") == 1
    assert abs(session.user.get(session.profile, "last_used_timestamp") - time.time()) < 10


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dev tun\n", "missing required options: --ca, --client or --tls-client, --remote"),
        ("client\n", "missing required options: --ca, --dev, --remote"),
    ],
)
def test_what_is_missing_is_listed(alice: BusClient, text: str, reason: str) -> None:
    path = alice.import_profile("bad", text)
    assert alice.get(path, "valid") is False
    name, said = error_of(alice, path, "Validate")
    assert name == gdbus_error(MANAGER, "")[0]
    # The older release does not say which.
    assert said.endswith("Configration profile is missing required options" if SUBJECT.v24 else reason)


def test_a_stranger(profile: str, bob: BusClient) -> None:
    denied = "Access to the configuration profile is denied."
    assert _of_root(bob, "FetchAvailableConfigs") == []
    assert _of_root(bob, "LookupConfigName", "s", "work") == []
    assert bob.get(profile, "owner") == ALICE
    assert bob.get_all(profile) == {"owner": ALICE}
    assert error_of_get(bob, profile, "name") == (DBUS_ERROR + "AccessDenied", denied)
    owners = "Configuration can only be modified by the profile owner"
    assert error_of_set(bob, profile, "name", "s", "x") == (DBUS_ERROR + "AccessDenied", owners)


@pytest.mark.parametrize("member", MEMBERS)
def test_a_stranger_may_call_nothing(profile: str, bob: BusClient, member: str) -> None:
    expected = gdbus_error(MANAGER, "Access to the configuration profile is denied.")
    assert error_of(bob, profile, member, *MEMBERS[member]) == expected


@pytest.mark.parametrize("member", [name for name in MEMBERS if name not in ("Validate", "Fetch", "FetchJSON")])
def test_a_granted_user_may_change_nothing(alice: BusClient, profile: str, bob: BusClient, member: str) -> None:
    _call(alice, profile, "AccessGrant", "u", BOB)
    expected = gdbus_error(MANAGER, "Access to the configuration profile is denied.")
    assert error_of(bob, profile, member, *MEMBERS[member]) == expected


def test_root_cannot_read_the_text(profile: str, root: BusClient) -> None:
    name, text = error_of(root, profile, "Fetch")
    assert (name, text) == gdbus_error(MANAGER, "Access to the configuration profile is denied.")


def test_remove(alice: BusClient, profile: str) -> None:
    _call(alice, profile, "Remove")
    assert _of_root(alice, "FetchAvailableConfigs") == []
    name, text = error_of(alice, profile, "Remove")
    assert name == DBUS_ERROR + "UnknownMethod"
    assert f"Object does not exist at path “{profile}”" in text


def test_overrides(alice: BusClient, profile: str) -> None:
    _call(alice, profile, "SetOverride", "sv", "server-override", ["s", "198.51.100.9"])
    _call(alice, profile, "SetOverride", "sv", "persist-tun", ["b", True])
    assert alice.get(profile, "overrides") == {"server-override": "198.51.100.9", "persist-tun": True}
    _call(alice, profile, "UnsetOverride", "s", "persist-tun")
    assert alice.get(profile, "overrides") == {"server-override": "198.51.100.9"}
    name, text = error_of(alice, profile, "SetOverride", "sv", "nonsense", ["s", "x"])
    assert name == gdbus_error(MANAGER, "")[0]
    assert "Invalid override key 'nonsense'" in text
    name, text = error_of(alice, profile, "SetOverride", "sv", "persist-tun", ["s", "x"])
    assert "(SetOverride) Invalid override data type for 'persist-tun': s" in text


def test_tags(alice: BusClient, bob: BusClient, profile: str) -> None:
    _call(alice, profile, "AddTag", "s", "blue")
    assert alice.get(profile, "tags") == ["blue"]
    assert _of_root(alice, "SearchByTag", "s", "blue") == [profile]
    assert _of_root(alice, "SearchByTag", "s", "red") == []
    assert _of_root(bob, "SearchByTag", "s", "blue") == []
    _call(alice, profile, "RemoveTag", "s", "blue")
    assert alice.get(profile, "tags") == []


def test_search_by_owner(alice: BusClient, profile: str) -> None:
    assert _of_root(alice, "SearchByOwner", "s", str(ALICE)) == [profile]
    assert _of_root(alice, "SearchByOwner", "s", "alice") == [profile]
    assert _of_root(alice, "SearchByOwner", "s", str(BOB)) == []


def test_sharing_with_a_user(alice: BusClient, bob: BusClient, profile: str) -> None:
    _call(alice, profile, "AccessGrant", "u", BOB)
    assert alice.get(profile, "acl") == [BOB]
    assert _of_root(bob, "FetchAvailableConfigs") == [profile]
    assert "client" in _call(bob, profile, "Fetch")
    alice.set(profile, "locked_down", "b", True)
    with pytest.raises(BusError, match="denied"):
        _call(bob, profile, "Fetch")
    assert bob.get(profile, "name") == "work"
    _call(alice, profile, "AccessRevoke", "u", BOB)
    assert _of_root(bob, "FetchAvailableConfigs") == []


def test_sharing_with_everybody(alice: BusClient, bob: BusClient, profile: str) -> None:
    alice.set(profile, "public_access", "b", True)
    assert _of_root(bob, "FetchAvailableConfigs") == [profile]
    assert bob.get(profile, "name") == "work"


def test_the_name_can_be_changed(alice: BusClient, profile: str) -> None:
    alice.set(profile, "name", "s", "renamed")
    assert _of_root(alice, "LookupConfigName", "s", "renamed") == [profile]


def test_a_sealed_profile(alice: BusClient, profile: str) -> None:
    _call(alice, profile, "Seal")
    assert alice.get(profile, "readonly") is True
    with pytest.raises(BusError):
        alice.set(profile, "name", "s", "renamed")


def test_transfer_of_ownership_by_root(alice: BusClient, bob: BusClient, root: BusClient, profile: str) -> None:
    assert error_of(alice, CONFIGURATION_PATH, "TransferOwnership", "ou", profile, BOB)[0] == (
        DBUS_ERROR + "AccessDenied"
    )
    _of_root(root, "TransferOwnership", "ou", profile, BOB)
    if SUBJECT.v24:
        return  # the older release says yes and does nothing
    assert bob.get(profile, "owner") == BOB
    assert _of_root(alice, "FetchAvailableConfigs") == []
