"""ovpnctl's commands about profiles: what they print, and which command lines they refuse."""

import pytest
from click.testing import CliRunner

from ...ctl.__main__ import cli
from ...ctl.acl import user_id
from ...ctl.config_acl import acl_text
from ...ctl.config_manage import settings_text
from ...ctl.exits import CommandError, CommandExit
from ...policy.profile.overrides import OVERRIDES

PATH = "/net/openvpn/v3/configuration/1"
SETTINGS = {
    "path": PATH,
    "name": "office\x1b[31m",
    "tags": [],
    "readonly": False,
    "persistent": True,
    "dco": False,
    "valid": True,
    "dns_scope": "global",
    "overrides": {},
    "settings": None,
}
ACL = {
    "path": PATH,
    "name": "office",
    "owner": "alice",
    "owner_uid": 1000,
    "readonly": False,
    "locked_down": True,
    "transfer_owner_session": False,
    "public_access": False,
    "granted_access": [],
}


def test_settings_as_openvpn3_lays_them_out() -> None:
    assert settings_text(SETTINGS) == (
        "\n"
        f"            Configuration path: {PATH}\n"
        "                          Name: office�[31m\n"
        "                     Read only: No\n"
        "             Persistent config: Yes\n"
        "          Data Channel Offload: No\n"
        "            DNS Resolver Scope: global (default)\n"
        "\n"
        "  Overrides:  No overrides set.\n"
    )


def test_settings_with_everything() -> None:
    overrides = {"dns-scope": "tunnel", "persist-tun": True, "proxy-password": "secret"}
    more = {"tags": ["a", "b"], "dns_scope": "tunnel", "overrides": overrides, "invalid_reason": "no --dev"}
    text = settings_text(SETTINGS | more)
    assert "\n                          Tags: a, b\n" in text
    assert "\n            DNS Resolver Scope: tunnel\n" in text
    assert "\n    *WARNING*  Invalid profile: no --dev\n" in text
    assert "\n                   persist-tun: true\n" in text
    assert "secret" not in text and "proxy-password: ***" in text
    text = settings_text(
        SETTINGS | {"settings": {"redirect-optional": True, "dns-required": False, "while-not-connected": "open"}}
    )
    assert text.endswith(
        "\n  Settings:\n             redirect-optional: Yes\n                  dns-required: No (default)\n"
        "           while-not-connected: open\n"
    )


def test_access_as_openvpn3_lays_it_out() -> None:
    granted = [{"name": "bob", "uid": 1001}]
    assert acl_text(ACL | {"granted_access": granted}) == (
        "    Configuration name: office\n"
        "                 Owner: (1000)  alice\n"
        "             Read-only: no\n"
        "           Locked down: yes\n"
        "    Ownership transfer: no\n"
        "         Public access: no\n"
        "  Users granted access: 1 user\n"
        "                        - (1001)  bob"
    )
    assert acl_text(ACL).endswith("\n  Users granted access: 0 users")
    assert acl_text(ACL | {"public_access": True}).endswith("\n         Public access: yes")


def test_users_by_name_and_number() -> None:
    assert user_id("root") == 0 and user_id("4000000000") == 4_000_000_000
    for nobody in ("", "no such user", "4294967295", "²", "-1", "a\0b"):
        with pytest.raises(CommandError, match="there is no user") as raised:
            user_id(nobody)
        assert raised.value.status == CommandExit.REFUSED


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("config-manage --show", "either --config or --path"),
        ("config-manage -c a -o /b --show", "either --config or --path"),
        ("config-manage -c a", "Nothing to do"),
        ("config-manage -c a --ipv6 maybe", "'maybe' is not one of"),
        ("config-manage -c a --persist-tun maybe", "'maybe' is not a valid boolean"),
        ("config-manage -c a --unset-override nope", "'nope' is not one of"),
        ("config-manage -c a --ipv6 no --unset-override IPV6", "--ipv6 cannot be combined"),
        ("config-acl -c a", "Nothing to do"),
        ("config-acl --show", "either --config or --path"),
        ("config-dump", "either --config or --path"),
        ("configs-list --filter-tag a --filter-owner b", "cannot be combined"),
    ],
)
def test_command_lines_that_cannot_be_meant(command: str, text: str) -> None:
    done = CliRunner().invoke(cli, command.split())
    assert done.exit_code == CommandExit.USAGE and text in done.output, done.output


def test_every_override_has_its_option() -> None:
    shown = CliRunner().invoke(cli, ["config-manage", "--help"]).output
    assert all(f"--{name} " in shown for name in OVERRIDES)
