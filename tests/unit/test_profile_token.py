"""Profiles whose key is on a PKCS#11 token."""

import pytest

from ...policy.profile.pkcs11 import ListedProvider
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import ProfileRefused

BASE = "client\ndev tun\nremote vpn.example 1194 udp\n<ca>\nCA\n</ca>\n"  # a line more is line 7
LISTED = (
    ListedProvider("card", "/usr/lib/card.so"),
    ListedProvider("soft", "/opt/with space/soft.so"),
    ListedProvider("gone", "/opt/gone.so", "there was no /opt/gone.so when the service started"),
)
ID = r"'maker/model/1/alice\x20card/01'"


def compiled(lines: str) -> tuple[str, str]:
    """What the engine gets of `lines`, and the label of the token whose PIN is asked for."""
    profile = compile_profile(BASE + lines, LISTED)
    assert not profile.warnings and not profile.needs
    assert profile.key_on_token and not compile_profile(BASE).key_on_token
    return profile.config.removeprefix(compile_profile(BASE).config), profile.token_label


@pytest.mark.parametrize(
    ("lines", "config", "label"),
    [
        (
            f"pkcs11-providers card\npkcs11-id {ID}\n",
            f"pkcs11-providers /usr/lib/card.so\npkcs11-id {ID}\n",
            "alice card",
        ),
        ("pkcs11-providers card\n", "pkcs11-providers /usr/lib/card.so\npkcs11-id-management\n", ""),
        (
            "pkcs11-id-management\npkcs11-providers /usr/lib/card.so\n",
            "pkcs11-id-management\npkcs11-providers /usr/lib/card.so\n",
            "",
        ),
        (
            "pkcs11-providers soft card\n",
            "pkcs11-providers '/opt/with space/soft.so' /usr/lib/card.so\npkcs11-id-management\n",
            "",
        ),
        (
            "pkcs11-providers soft\npkcs11-providers card\n",
            "pkcs11-providers /usr/lib/card.so\npkcs11-id-management\n",
            "",
        ),
        (
            f"pkcs11-providers card\npkcs11-id {ID}\npkcs11-protected-authentication 1\n",
            f"pkcs11-providers /usr/lib/card.so\npkcs11-id {ID}\npkcs11-protected-authentication 1\n",
            "",
        ),
        (
            f"pkcs11-providers card\npkcs11-id {ID}\npkcs11-protected-authentication 0\npkcs11-cert-private 1\n",
            f"pkcs11-providers /usr/lib/card.so\npkcs11-id {ID}\n"
            "pkcs11-protected-authentication 0\npkcs11-cert-private 1\n",
            "alice card",
        ),
        ("pkcs11-providers card\npkcs11-id x\n", "pkcs11-providers /usr/lib/card.so\npkcs11-id x\n", ""),
    ],
)
def test_what_the_engine_gets(lines: str, config: str, label: str) -> None:
    assert compiled(lines) == (config, label)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            "pkcs11-providers /tmp/evil.so\n",
            "pkcs11-providers (line 7): '/tmp/evil.so' is not a provider on this machine; there are: card, soft, gone; "
            "the administrator adds one with the service's option --pkcs11-provider NAME=MODULE",
        ),
        ("pkcs11-providers card /tmp/evil.so\n", "'/tmp/evil.so' is not a provider"),
        ("pkcs11-providers card\npkcs11-providers evil\n", "'evil' is not a provider"),
        ("pkcs11-providers gone\n", "the provider gone cannot be used: there was no /opt/gone.so"),
        ("pkcs11-providers\n", "takes 1 to 15 parameters, not 0"),
        ("<pkcs11-providers>\ncard\n</pkcs11-providers>\n", "cannot be a block"),
        (
            f"pkcs11-id {ID}\n",
            "pkcs11-id (line 7): needs pkcs11-providers with the name of a provider; there are: card",
        ),
        ("pkcs11-id-management\n", "needs pkcs11-providers"),
        (f"pkcs11-providers card\npkcs11-id {ID}\npkcs11-id-management\n", "remove one of the two"),
        ("pkcs11-providers card\n<key>\nKEY\n</key>\n", "the profile has a <key> as well; remove one of the two"),
        ("pkcs11-providers card\n<pkcs12>\nKEY\n</pkcs12>\n", "the profile has a <pkcs12> as well"),
        ("<connection>\nremote a\npkcs11-providers card\n</connection>\n", "is not allowed in a <connection> block"),
        ("pkcs11-providers" + " soft" * 15 + "\n", "line 7: pkcs11-providers is too long"),
    ],
)
def test_refusals(lines: str, said: str) -> None:
    with pytest.raises(ProfileRefused) as error:
        compile_profile(BASE + lines, LISTED)
    assert said in str(error.value)


def test_where_no_provider_is_listed() -> None:
    with pytest.raises(
        ProfileRefused, match="'card' is not a provider on this machine; there is none; the administrator"
    ):
        compile_profile(BASE + "pkcs11-providers card\n")
