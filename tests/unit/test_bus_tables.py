"""The interface tables against the contract of OpenVPN 3 Linux: names, types, what works now."""

import pytest

from ...policy.access import Who
from ...supervisor.bus.configuration_api import CONFIGURATION, PROFILE
from ...supervisor.bus.interface import Interface, Method, parse_arguments, snake_case
from ...supervisor.bus.log_api import FORWARDED, LOG, PROXY
from ...supervisor.bus.manager_api import MANAGER
from ...supervisor.bus.session_api import SESSION

METHODS = {
    MANAGER: {
        "NewTunnel": ("o", "o"),
        "FetchAvailableSessions": ("", "ao"),
        "FetchManagedInterfaces": ("", "as"),
        "LookupConfigName": ("s", "ao"),
        "LookupInterface": ("s", "o"),
        "TransferOwnership": ("ou", ""),
    },
    SESSION: {
        "Ready": ("", ""),
        "Connect": ("", ""),
        "Disconnect": ("", ""),
        "Pause": ("s", ""),
        "Resume": ("", ""),
        "Restart": ("", ""),
        "AccessGrant": ("u", ""),
        "AccessRevoke": ("u", ""),
        "LogForward": ("b", ""),
        "UserInputQueueGetTypeGroup": ("", "a(uu)"),
        "UserInputQueueCheck": ("uu", "au"),
        "UserInputQueueFetch": ("uuu", "uuussb"),
        "UserInputProvide": ("uuus", ""),
    },
    CONFIGURATION: {
        "Import": ("ssbb", "o"),
        "FetchAvailableConfigs": ("", "ao"),
        "LookupConfigName": ("s", "ao"),
        "SearchByTag": ("s", "ao"),
        "SearchByOwner": ("s", "ao"),
        "TransferOwnership": ("ou", ""),
    },
    PROFILE: {
        "Validate": ("", ""),
        "Fetch": ("", "s"),
        "FetchJSON": ("", "s"),
        "SetOption": ("ss", ""),
        "SetOverride": ("sv", ""),
        "UnsetOverride": ("s", ""),
        "AddTag": ("s", ""),
        "RemoveTag": ("s", ""),
        "AccessGrant": ("u", ""),
        "AccessRevoke": ("u", ""),
        "Seal": ("", ""),
        "Remove": ("", ""),
    },
    LOG: {
        "Attach": ("s", ""),
        "Detach": ("s", ""),
        "AssignSession": ("os", ""),
        "ProxyLogEvents": ("so", "o"),
        "GetSubscriberList": ("", "a(ssss)"),
    },
    PROXY: {"Remove": ("", "")},
    FORWARDED: {},
}

# Name: declared type, and whether clients may set it.
PROPERTIES = {
    MANAGER: {"version": ("s", False)},
    SESSION: {
        "owner": ("u", False),
        "session_created": ("t", False),
        "acl": ("au", False),
        "public_access": ("b", True),
        "status": ("(uus)", False),
        "last_log": ("a{sv}", False),
        "statistics": ("a{sx}", False),
        "dco": ("b", True),
        "device_path": ("s", False),
        "device_name": ("s", False),
        "config_path": ("o", False),
        "config_name": ("s", False),
        "connected_to": ("(ssu)", False),
        "session_name": ("s", False),
        "backend_pid": ("u", False),
        "restrict_log_access": ("b", True),
        "log_forwards": ("ao", False),
        "log_verbosity": ("u", True),
    },
    CONFIGURATION: {"version": ("s", False)},
    PROFILE: {
        "owner": ("u", False),
        "acl": ("au", False),
        "name": ("s", True),
        "import_timestamp": ("t", False),
        "last_used_timestamp": ("t", False),
        "used_count": ("u", False),
        "single_use": ("b", False),
        "persistent": ("b", False),
        "locked_down": ("b", True),
        "public_access": ("b", True),
        "transfer_owner_session": ("b", True),
        "readonly": ("b", False),
        "valid": ("b", False),
        "dco": ("b", True),
        "tags": ("as", False),
        "overrides": ("a{sv}", False),
    },
    LOG: {
        "version": ("s", False),
        "log_method": ("s", False),
        "log_level": ("u", True),
        "log_dbus_details": ("b", True),
        "log_prefix_logtag": ("b", True),
        "timestamp": ("b", True),
        "config_file": ("s", False),
        "num_attached": ("u", False),
    },
    PROXY: {"log_level": ("u", True), "session_path": ("o", False), "target": ("o", False)},
    FORWARDED: {},
}

SIGNALS = {
    MANAGER: {"SessionManagerEvent": "oqu", "Log": "uus"},
    SESSION: {"StatusChange": "uus", "AttentionRequired": "uus", "Log": "uus"},
    CONFIGURATION: {"ConfigurationManagerEvent": "oqu", "Log": "uus"},
    PROFILE: {},
    LOG: {},
    PROXY: {},
    FORWARDED: {"StatusChange": "uus", "Log": "uus"},
}

ALL = pytest.mark.parametrize("interface", METHODS, ids=lambda interface: interface.title)


@ALL
def test_members_and_their_types(interface: Interface) -> None:
    assert {row.name: (row.signature, row.result_signature) for row in interface.methods} == METHODS[interface]
    declared = {row.name: (row.signature, row.writable_by is not None) for row in interface.properties}
    assert declared == PROPERTIES[interface]
    assert {row.name: row.signature for row in interface.signals} == SIGNALS[interface]


@ALL
def test_no_row_twice_and_each_documented(interface: Interface) -> None:
    for rows in (interface.methods, interface.properties, interface.signals):
        assert len({row.name for row in rows}) == len(rows)
        assert all(row.doc.endswith(".") for row in rows)


def test_the_device_path_is_sent_as_another_type_than_declared() -> None:
    assert SESSION.property["device_path"].sent_as == "o"
    assert SESSION.property["device_name"].sent_as == "s"


def test_what_only_root_may_do() -> None:
    for interface in METHODS:
        for row in interface.methods:
            assert (row.who is Who.ROOT) == (row.name in ("TransferOwnership", "GetSubscriberList"))


def test_a_forward_is_its_receivers() -> None:
    assert {*(row.who for row in PROXY.methods), *(row.who for row in PROXY.properties)} == {Who.OWNER}
    assert PROXY.property["target"].sent_as == "s"


def test_what_belongs_to_somebody_is_not_for_everybody() -> None:
    for interface in (SESSION, PROFILE):
        open_to_all = [row.name for row in interface.methods if row.who is Who.ANYBODY]
        open_to_all += [row.name for row in interface.properties if row.who is Who.ANYBODY]
        assert open_to_all == (["owner"] if interface is PROFILE else [])
        assert all(row.writable_by in (None, Who.USERS, Who.OWNER) for row in interface.properties)


def test_a_row_needs_a_who() -> None:
    with pytest.raises(TypeError):
        Method("Name", takes="", gives="", doc="")  # type: ignore[call-arg]


@pytest.mark.parametrize("text", ["reason", "reason:", ":s", "a:s b"])
def test_arguments_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not NAME:TYPE"):
        parse_arguments(text)


@pytest.mark.parametrize(
    ("member", "name"),
    [
        ("NewTunnel", "new_tunnel"),
        ("Ready", "ready"),
        ("UserInputQueueGetTypeGroup", "user_input_queue_get_type_group"),
        ("FetchJSON", "fetch_json"),
    ],
)
def test_python_names(member: str, name: str) -> None:
    assert snake_case(member) == name
