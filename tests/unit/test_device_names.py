"""The name that a profile gives to its device, and whether it may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...policy.device_names import DEFAULT, parse, refusal
from ...policy.pieces import whole
from ...policy.profile.syntax import ProfileTextError, tokenize
from ...policy.profile.wanted import device_name, wanted_by

WORDS = st.sampled_from(
    ["dev", '"dev"', "--dev", "dev-type", "tun", "tun5", '"tun"', "'tun6'", "tap", "x", "#", "\t", "opt"]
)


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        ("dev tun", ""),
        ("dev tun0", "tun0"),
        ("--dev\ttun-office # ours", "tun-office"),
        ("'dev' \"tun7\"", "tun7"),
        ("setenv opt dev tun7", "tun7"),
        ("dev tun1\ndev tun2", "tun2"),
        ("dev tun1\ndev tun", ""),
        ("dev office\ndev-type tun", "office"),
        ("dev office", ""),
        ("dev tap0", ""),
        ("dev tun0\ndev-type tap", ""),
        ("dev tun 5", ""),
        ("# dev tun5", ""),
        ("<ca>\ndev tun5\n</ca>", ""),
        ("<connection>\nremote a\ndev tun5\n</connection>", ""),
        ("dev tun5\nca 'x", ""),
        ("dev tun5\n\0", ""),
        ("", ""),
    ],
)
def test_the_name_in_a_profile(lines: str, name: str) -> None:
    assert whole(wanted_by(lines.encode(), ())).device == name
    assert whole(wanted_by(f"# {'x' * 65529}\n{lines}".encode(), ())).device == name


@given(st.lists(st.lists(WORDS, max_size=4).map(" ".join), max_size=5).map("\n".join))
def test_no_name_is_overlooked(text: str) -> None:
    try:
        options = tokenize(text)
    except ProfileTextError:
        return
    assert whole(wanted_by(text.encode(), ())).device == device_name(options)


@pytest.mark.parametrize(
    ("name", "patterns", "words"),
    [
        ("tun5", DEFAULT, ""),
        ("tun-office_2", DEFAULT, ""),
        ("tun" + "x" * 12, DEFAULT, ""),
        ("tun" + "x" * 13, DEFAULT, "no name"),
        ("office", DEFAULT, "the administrator allows tun* (the service's option --device-names)"),
        ("Tun5", DEFAULT, "the administrator allows"),
        ("office", ("tun*", "off??e"), ""),
        *(
            (name, ("*",), "no name")
            for name in ("all", "default", "lo", "5", "tun%d", "tun.5", "tun:5", "../tun", "tün")
        ),
        *((name, ("*",), "no name") for name in ("", "-x", "a b", "tun5\n")),
    ],
)
def test_which_names_may_be_had(name: str, patterns: tuple[str, ...], words: str) -> None:
    found = refusal(name, patterns)
    assert words in found and bool(words) == bool(found)


def test_patterns_are_listed_with_commas() -> None:
    assert parse("tun*") == ("tun*",) and parse("tun*,vpn-?,office") == ("tun*", "vpn-?", "office")
    for text in ("", "tun*,", "tun[0-9]", "a b", "x" * 33, "tun.*"):
        with pytest.raises(ValueError, match="is not a name of letters"):
            parse(text)
