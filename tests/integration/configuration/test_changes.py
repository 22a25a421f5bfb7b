"""What can be changed of a profile, by whom, and that it stays so: two users and root on a real bus."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from ....policy.limits import MAX_OVERRIDE, MAX_PROFILE_GRANTS, MAX_PROFILE_NAME, MAX_TAG, MAX_TAGS
from ....policy.profile.overrides import OVERRIDES
from ...lab.connection import CONFIGURATION, CONFIGURATION_PATH, BusClient, BusError
from ...lab.lab import Lab
from ...lab.surroundings import ALICE, BOB, SERVICE
from ...support.configuration_service import PROFILE, Configuration, available

METHOD_ERROR = "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2egdbuspp.Code36"
TEXT_BEFORE = "GDBus.Error:net.openvpn.gdbuspp: "
DENIED = "org.freedesktop.DBus.Error.AccessDenied"
REFUSED = "Access to the configuration profile is denied."
NOT_OWNER = "Configuration can only be modified by the profile owner"
SEALED = "Configuration profile is sealed and read-only"
ALL_METHODS: dict[str, tuple[Any, ...]] = {
    "SetOption": ("ss", "a", "b"),
    "SetOverride": ("sv", "persist-tun", ["b", True]),
    "UnsetOverride": ("s", "ipv6"),
    "AddTag": ("s", "new"),
    "RemoveTag": ("s", "home"),
    "AccessGrant": ("u", 4_000_000_000),
    "AccessRevoke": ("u", BOB.uid),
}
ALL_SETTABLE: dict[str, tuple[str, Any]] = {
    "name": ("s", "other"),
    "locked_down": ("b", True),
    "public_access": ("b", True),
    "transfer_owner_session": ("b", True),
    "dco": ("b", False),
}


@dataclass
class Profile:
    """A profile, and how somebody sees it."""

    user: BusClient
    path: str

    def call(self, member: str, signature: str = "", *arguments: Any) -> Any:
        return self.user.call(self.path, CONFIGURATION, member, signature, *arguments)

    def refused(self, member: str, signature: str = "", *arguments: Any) -> str:
        """The text of the error that a method must give."""
        with pytest.raises(BusError) as caught:
            self.call(member, signature, *arguments)
        assert caught.value.name == METHOD_ERROR, caught.value
        assert caught.value.text.startswith(TEXT_BEFORE)
        return caught.value.text.removeprefix(TEXT_BEFORE)

    def set(self, name: str, signature: str, value: Any) -> None:
        self.user.set(self.path, name, signature, value)

    def set_refused(self, name: str, signature: str, value: Any) -> tuple[str, str]:
        """Name and text of the error that setting a property must give."""
        with pytest.raises(BusError) as caught:
            self.set(name, signature, value)
        return caught.value.name, caught.value.text

    def __getitem__(self, name: str) -> Any:
        return self.user.get(self.path, name)

    def of(self, user: BusClient) -> "Profile":
        return Profile(user, self.path)

    def search(self, member: str, *arguments: Any) -> list[str]:
        paths: list[str] = self.user.call(CONFIGURATION_PATH, CONFIGURATION, member, "s", *arguments)
        return paths


@pytest.fixture
def profile(lab: Lab, configuration: Configuration) -> Profile:
    """A persistent one of alice's."""
    alice = lab.connection("alice")
    return Profile(alice, alice.import_profile("office", PROFILE, persistent=True))


def test_overrides(profile: Profile) -> None:
    profile.call("SetOverride", "sv", "persist-tun", ["b", True])
    profile.call("SetOverride", "sv", "server-override", ["s", "vpn.example"])
    profile.call("SetOverride", "sv", "port-override", ["i", 443])
    assert profile["overrides"] == {"persist-tun": True, "server-override": "vpn.example", "port-override": "443"}
    profile.call("SetOverride", "sv", "persist-tun", ["b", False])
    profile.call("UnsetOverride", "s", "server-override")
    assert profile["overrides"] == {"persist-tun": False, "port-override": "443"}
    assert profile.refused("UnsetOverride", "s", "server-override") == "Override 'server-override' has not been set"
    assert profile.refused("UnsetOverride", "s", "nope") == "Override 'nope' has not been set"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("nope", ["s", "x"], "Invalid override key 'nope'"),
        ("persist-tun", ["s", "x"], "(SetOverride) Invalid override data type for 'persist-tun': s"),
        ("ipv6", ["b", True], "(SetOverride) Invalid override data type for 'ipv6': b"),
        ("ipv6", ["i", 1], "Unsupported override data type: i"),
        ("ipv6", ["s", "never"], "Invalid value for override 'ipv6': it is one of yes no default"),
        ("port-override", ["u", 70000], "Invalid value for override 'port-override': not a port"),
        (
            "proxy-password",
            ["s", "a\nb"],
            "Invalid value for override 'proxy-password': not a text of at most 255 bytes of printable characters",
        ),
    ],
)
def test_overrides_that_cannot_be_set(name: str, value: list[Any], text: str, profile: Profile) -> None:
    profile.call("SetOverride", "sv", "ipv6", ["s", "no"])
    assert profile.refused("SetOverride", "sv", name, value) == text
    assert profile["overrides"] == {"ipv6": "no"}, "a refused override replaced the one before"


def test_tags(profile: Profile, bob: BusClient) -> None:
    profile.call("AddTag", "s", "home")
    profile.call("AddTag", "s", "t" * MAX_TAG)
    assert profile["tags"] == ["home", "t" * MAX_TAG]
    assert profile.search("SearchByTag", "home") == [profile.path]
    assert profile.search("SearchByTag", "hom") == [] == profile.of(bob).search("SearchByTag", "home")
    assert profile.refused("AddTag", "s", "home") == "Tag already exists"
    for member in ("AddTag", "RemoveTag"):
        assert profile.refused(member, "s", "") == "Tag value cannot be empty"
        assert profile.refused(member, "s", "t" * (MAX_TAG + 1)) == "Tag value too long"
        assert profile.refused(member, "s", "a\nb") == "Tag value contains control characters"
    profile.call("RemoveTag", "s", "home")
    assert profile.refused("RemoveTag", "s", "home") == "Non-existing tag"
    assert profile["tags"] == ["t" * MAX_TAG]
    for number in range(MAX_TAGS - 1):
        profile.call("AddTag", "s", str(number))
    assert f"may have {MAX_TAGS} tags" in profile.refused("AddTag", "s", "one more")


def test_a_shared_profile_may_be_used_and_read_but_not_changed(profile: Profile, bob: BusClient) -> None:
    bobs = profile.of(bob)
    profile.call("AccessGrant", "u", BOB.uid)
    assert profile.refused("AccessGrant", "u", BOB.uid) == "UID already granted access"
    assert profile["acl"] == [BOB.uid]
    assert available(bob) == [profile.path] == bobs.search("LookupConfigName", "office")
    assert bobs.search("SearchByOwner", "alice") == [profile.path] == bobs.search("SearchByOwner", str(ALICE.uid))
    assert bobs.call("Fetch") == PROFILE
    assert bobs.user.get_all(profile.path) == profile.user.get_all(profile.path)
    bobs.call("Validate")
    for member, arguments in {**ALL_METHODS, "Seal": (), "Remove": ()}.items():
        assert bobs.refused(member, *arguments) == REFUSED
    for name, (signature, value) in ALL_SETTABLE.items():
        assert bobs.set_refused(name, signature, value) == (DENIED, NOT_OWNER)
    profile.call("AccessRevoke", "u", BOB.uid)
    assert profile.refused("AccessRevoke", "u", BOB.uid) == "UID not granted access"
    assert available(bob) == [] and bobs.user.get_all(profile.path) == {"owner": ALICE.uid}
    assert bobs.refused("Fetch") == REFUSED


def test_more_users_than_a_profile_can_be_shared_with(profile: Profile) -> None:
    for uid in range(MAX_PROFILE_GRANTS):
        profile.call("AccessGrant", "u", 4_000_000_000 + uid)
    assert f"with {MAX_PROFILE_GRANTS} users" in profile.refused("AccessGrant", "u", BOB.uid)
    assert len(profile["acl"]) == MAX_PROFILE_GRANTS


def test_a_public_profile_may_be_used_by_all_and_read_by_nobody_new(
    profile: Profile, bob: BusClient, root: BusClient
) -> None:
    profile.set("public_access", "b", True)
    for user in (bob, root):
        assert available(user) == [profile.path]
        assert user.get(profile.path, "name") == "office"
        profile.of(user).call("Validate")
        for member in ("Fetch", "FetchJSON", "Remove"):
            assert profile.of(user).refused(member) == REFUSED
    profile.set("public_access", "b", False)
    assert available(bob) == [] == available(root)


def test_a_locked_down_profile_is_read_by_its_owner_and_the_services(
    lab: Lab, profile: Profile, bob: BusClient, root: BusClient
) -> None:
    for uid in (BOB.uid, 0):
        profile.call("AccessGrant", "u", uid)
    assert profile.of(root).call("Fetch") == PROFILE == profile.of(bob).call("Fetch")
    profile.set("locked_down", "b", True)
    for user in (bob, root):
        assert user.get(profile.path, "locked_down") is True
        for member in ("Fetch", "FetchJSON"):
            assert profile.of(user).refused(member) == REFUSED
    for reader in (profile, profile.of(lab.connection(SERVICE.name))):
        assert reader.call("Fetch") == PROFILE
    profile.set("locked_down", "b", False)
    assert profile.of(bob).call("Fetch") == PROFILE


def test_a_sealed_profile(profile: Profile, bob: BusClient, root: BusClient) -> None:
    profile.call("SetOverride", "sv", "ipv6", ["s", "no"])
    profile.call("AddTag", "s", "home")
    profile.call("AccessGrant", "u", BOB.uid)
    profile.call("Seal")
    before = profile.user.get_all(profile.path)
    assert before["readonly"] is True
    profile.call("Seal")
    for member, arguments in ALL_METHODS.items():
        assert profile.refused(member, *arguments) == SEALED
    for name, (signature, value) in ALL_SETTABLE.items():
        assert profile.set_refused(name, signature, value) == (DENIED, SEALED)
    assert profile.user.get_all(profile.path) == before
    assert profile.of(bob).call("Fetch") == PROFILE
    profile.call("Remove")
    assert available(profile.user) == []


def test_what_is_not_valid_cannot_be_sealed(profile: Profile) -> None:
    path = profile.user.import_profile("incomplete", "client\n")
    assert Profile(profile.user, path).refused("Seal") == "Configuration is not currently valid"


def test_properties_that_can_be_set(profile: Profile, bob: BusClient) -> None:
    for name, (signature, value) in ALL_SETTABLE.items():
        since = len(bob.signals())
        profile.set(name, signature, value)
        assert profile[name] == value
        changed = bob.wait_signal(lambda one: one.member == "PropertiesChanged", since=since)
        # Everybody hears it: its value is for those who may read it.
        assert (changed.path, changed.arguments) == (profile.path, [CONFIGURATION, {}, [name]])
    assert profile.search("LookupConfigName", "other") == [profile.path]


def test_properties_that_cannot_be_set(profile: Profile) -> None:
    invalid, failed = "org.freedesktop.DBus.Error.InvalidArgs", "org.freedesktop.DBus.Error.Failed"
    assert profile.set_refused("name", "u", 1) == (
        invalid,
        "Error setting property “name”: Expected type “s” but got “u”",
    )
    assert profile.set_refused("owner", "u", 1) == (invalid, "Property “owner” is not writable")
    assert profile.set_refused("name", "s", " ") == (failed, "A configuration profile needs a name")
    assert profile.set_refused("name", "s", "a\nb") == (failed, "The name contains control characters")
    assert profile.set_refused("dco", "b", True) == (
        failed,
        "Data channel offload needs privileges that no session has here",
    )
    assert profile["dco"] is False and profile["name"] == "office"


def test_options_are_set_to_no_effect(profile: Profile) -> None:
    before = profile.user.get_all(profile.path)
    profile.call("SetOption", "ss", "verb", "9")
    assert profile.user.get_all(profile.path) == before and profile.call("Fetch") == PROFILE


def test_root_gives_a_profile_to_somebody_else(profile: Profile, bob: BusClient, root: BusClient) -> None:
    def transfer(user: BusClient, path: str, uid: int) -> None:
        user.call(CONFIGURATION_PATH, CONFIGURATION, "TransferOwnership", "ou", path, uid)

    for user in (profile.user, bob):
        with pytest.raises(BusError, match="AccessDenied"):
            transfer(user, profile.path, BOB.uid)
    assert profile["owner"] == ALICE.uid
    transfer(root, profile.path, BOB.uid)
    assert profile["owner"] == BOB.uid
    assert available(profile.user) == [] and available(bob) == [profile.path]
    assert profile.refused("Fetch") == REFUSED
    profile.of(bob).call("AddTag", "s", "mine")
    with pytest.raises(BusError, match=f"No configuration profile at {CONFIGURATION_PATH}/none"):
        transfer(root, f"{CONFIGURATION_PATH}/none", BOB.uid)


def test_searches_that_find_nothing(profile: Profile, bob: BusClient) -> None:
    assert profile.search("SearchByOwner", "alice") == [profile.path] == profile.search("SearchByOwner", str(ALICE.uid))
    for owner in ("bob", str(BOB.uid), "no such user", "", "²", "9" * 30, "-1"):
        assert profile.search("SearchByOwner", owner) == []
    assert profile.of(bob).search("SearchByOwner", "alice") == []
    assert profile.search("SearchByTag", "") == []


def test_json_as_the_original_gives_it(profile: Profile) -> None:
    text = (
        'client\ndev tun\nremote a 1194 udp\nnobind # comment\nsetenv A "b c"\nsetenv B d\nstatic-challenge "Enter" 1\n'
        "<ca>\nline1\nline2\n</ca>\n<connection>\nremote x 1\n</connection>\nroute 192.0.2.0\n"
    )
    read = Profile(profile.user, profile.user.import_profile("json", text)).call("FetchJSON")
    assert json.loads(read) == {
        "ca": ["line1\nline2\n"],
        "client": None,
        "connection": [["remote x 1\n"]],
        "dev": ["tun"],
        "nobind": None,
        "remote": [["a", "1194", "udp"]],
        "route": [["192.0.2.0"]],
        "setenv": [["A", "b c"], ["B", "d"]],
        "static-challenge": ["Enter", "1"],
    }
    assert list(json.loads(read)) == sorted(json.loads(read))


def test_everything_outlives_the_process_and_a_reboot(profile: Profile, configuration: Configuration) -> None:
    profile.call("SetOverride", "sv", "proxy-password", ["s", "größer \" ' \\"])
    profile.call("SetOverride", "sv", "persist-tun", ["b", False])
    profile.call("AddTag", "s", "home")
    profile.call("AccessGrant", "u", BOB.uid)
    for name, (signature, value) in ALL_SETTABLE.items():
        profile.set(name, signature, value)
    profile.call("Seal")
    before = profile.user.get_all(profile.path)
    profile.user.import_profile("lost", PROFILE)
    configuration.restart(lose_runtime=True)
    assert profile.user.get_all(profile.path) == before
    assert profile.call("Fetch") == PROFILE
    assert profile.refused("AddTag", "s", "x") == SEALED


def test_the_largest_of_everything_outlives_the_process(profile: Profile, configuration: Configuration) -> None:
    wide = "\N{GRINNING FACE}"
    profile.set("name", "s", wide * (MAX_PROFILE_NAME // 4))
    for name, row in OVERRIDES.items():
        if row.wanted.startswith("a text"):
            profile.call("SetOverride", "sv", name, ["s", wide * (MAX_OVERRIDE // 4)])
    for number in range(MAX_TAGS):
        profile.call("AddTag", "s", wide * (MAX_TAG // 4 - 1) + f"{number:02}")
    for uid in range(MAX_PROFILE_GRANTS):
        profile.call("AccessGrant", "u", 4_000_000_000 + uid)
    before = profile.user.get_all(profile.path)
    configuration.restart()
    assert profile.user.get_all(profile.path) == before


def test_overrides_reach_the_session_manager(profile: Profile, configuration: Configuration) -> None:
    profile.call("SetOverride", "sv", "port-override", ["i", 443])
    profile.call("SetOverride", "sv", "persist-tun", ["b", True])
    assert configuration.read(profile.path, ALICE.uid)["overrides"] == {"port-override": "443", "persist-tun": True}
