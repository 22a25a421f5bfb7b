"""PKCS#11 providers: what the administrator may list, and what of that a profile names."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...ipc.helpers import Filters, Setup, StagedProvider, read_setup, write_setup
from ...policy.pieces import whole
from ...policy.profile.pkcs11 import (
    ListedProvider,
    Provider,
    find,
    parse_provider,
    token_label,
)
from ...policy.profile.wanted import wanted_by
from ...policy.sandbox.layers import ALL

LISTED = (
    ListedProvider("card", "/usr/lib/card.so"),
    ListedProvider("soft", "/usr/lib/soft.so"),
    ListedProvider("gone", "/opt/gone.so", "it is not there"),
)


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("card=/opt/card.so", Provider("card", "/opt/card.so")),
        ("a.b-c_1=/m.so,/run/pcscd", Provider("a.b-c_1", "/m.so", ("/run/pcscd",))),
        ("s=/m.so,/etc/s,/var/lib/s,group=s", Provider("s", "/m.so", ("/etc/s", "/var/lib/s"), "s")),
        ("s=/m.so,group=s,/etc/s", Provider("s", "/m.so", ("/etc/s",), "s")),
        ("s=/opt/a=b.so", Provider("s", "/opt/a=b.so")),
        ("s=/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so", Provider("s", "/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so")),
    ],
)
def test_what_may_be_listed(text: str, provider: Provider) -> None:
    assert parse_provider(text) == provider


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not NAME=MODULE"),
        ("card", "is not NAME=MODULE"),
        ("card=", "is not NAME=MODULE"),
        ("=/m.so", "is not NAME=MODULE"),
        ("/m.so=/m.so", "is not NAME=MODULE"),
        ("a b=/m.so", "is not NAME=MODULE"),
        ("x" * 33 + "=/m.so", "is not NAME=MODULE"),
        ("card=m.so", "'m.so' is not a full path"),
        ("card=group=s", "'' is not a full path"),
        ("card=/m.so,", "'' is not a full path"),
        ("card=/m.so,etc", "'etc' is not a full path"),
        ("card=/m.so,/a/../etc", "is not a full path without . and .."),
        ("card=/m.so,/a/./b", "is not a full path"),
        ("card=/m.so,/a/", "is not a full path"),
        ("card=//m.so", "is not a full path"),
        ("card=/" + "x" * 200, "longer than 200 bytes"),
        ("card=/m\n.so", "not text"),
        ("card=/m.so,/", "part of every session's root directory"),
        ("card=/m.so,/run", "part of every session's root directory"),
        ("card=/m.so,/usr/lib/x86_64-linux-gnu", "part of every session's root directory"),
        ("card=/m.so,/lib/aarch64-linux-gnu", "part of every session's root directory"),
        ("card=/m.so,/etc/nsswitch.conf", "part of every session's root directory"),
        ("card=/m.so,group=", "does not name one group"),
        ("card=/m.so,group=a,group=b", "does not name one group"),
    ],
)
def test_what_may_not_be_listed(text: str, said: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_provider(text)
    assert said in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_provider(text)
    except ValueError:
        pass


def test_a_profile_means_a_provider_by_its_name_or_its_very_path() -> None:
    assert [find(LISTED, text) for text in ("card", "soft", "/usr/lib/soft.so")] == [0, 1, 1]
    for text in ("", "Card", "car", "/usr/lib/../lib/soft.so", "/usr/lib//soft.so", "/tmp/soft.so", "soft.so"):
        assert find(LISTED, text) is None


@pytest.mark.parametrize(
    ("profile", "numbers"),
    [
        ("client\n", set()),
        ("pkcs11-providers soft\n", {1}),
        ("pkcs11-providers soft card\n", {0, 1}),
        ("--pkcs11-providers '/usr/lib/card.so'\n", {0}),
        ('"pkcs11-providers" "soft"\n', {1}),
        ("setenv opt pkcs11-providers soft\n", {1}),
        ("pkcs11-providers gone\n", set()),
        ("pkcs11-providers /tmp/evil.so\n", set()),
        ("# pkcs11-providers soft\n", set()),
        ("<ca>\npkcs11-providers soft\n</ca>\n", set()),
        ("pkcs11-providers 'soft\n", set()),
        ("pkcs11-providers soft\n\0", set()),
    ],
)
def test_what_a_profile_asks_for(profile: str, numbers: set[int]) -> None:
    assert whole(wanted_by(profile.encode(), LISTED)).providers == numbers
    assert whole(wanted_by(profile.encode(), ())).providers == set()


@pytest.mark.parametrize(
    ("identity", "label"),
    [
        (r"SoftHSM\x20project/SoftHSM\x20v2/fd35ef2082a41253/alice/01", "alice"),
        (r"a/b/c/spare\x20card\x2f1/01", "spare card/1"),
        (r"a/b/c/gr\xc3\xbcn/01", "grün"),
        (r"a/b/c/\xff/01", "\ufffd"),
        ("pkcs11:model=m;token=spare%20card;serial=1;id=%01", "spare card"),
        ("pkcs11:model=m", ""),
        ("a/b/c/d", ""),
        ("x", ""),
        ("", ""),
    ],
)
def test_the_label_in_an_identity(identity: str, label: str) -> None:
    assert token_label(identity) == label


def test_what_the_spawner_is_told() -> None:
    staged = (StagedProvider(("/m.so", "/run/pcscd"), 7), StagedProvider(()))
    setup = Setup(
        "/usr/sbin/openvpn", "/run/template", 60706, 61183, ALL, Filters(engine=(b"\xff",)), staged, "file", "", 1.0
    )
    pipe = io.BytesIO()
    write_setup(pipe, setup)
    pipe.seek(0)
    assert read_setup(pipe) == setup
