"""What is said of a profile before a session is started with it is what the session then says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...policy.profile.options import OPTIONS, PKCS11_OPTIONS
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import ProfileRefused
from ...worker.profile.verdict import Remark, verdict

START = "client\ndev tun\nremote vpn.example 1194\n<ca>\nCA\n</ca>\n"  # a line more is line 7

LINES = st.sampled_from(
    [
        *START.splitlines(),
        *(f"{name}{params}" for name in OPTIONS if name not in PKCS11_OPTIONS for params in ("", " x", " 1 2")),
        *("remote a 1 tcp", "remote a b", "http-proxy p 1", "<connection>", "</connection>"),
        *("dev tap", "cert [inline]", "ca [inline]"),
        *("<http-proxy-user-pass>", "u", "p", "</http-proxy-user-pass>", "VERIFY-X509-NAME a", "'", "\\", "\x01"),
    ]
)


def agrees(text: str | bytes) -> None:
    """Whether a session is refused, why first, and what is ignored, is what the verdict says."""
    found = verdict(text)
    try:
        compiled = compile_profile(text)
    except ProfileRefused as error:
        assert str(error) in [_as_the_service(one) for one in found.refused]
    else:
        assert not found.refused
        assert [*found.asks] == sorted(need.value for need in compiled.needs)
        assert len(found.ignored) == len(compiled.warnings)


def _as_the_service(remark: Remark) -> str:
    if remark.option:
        return f"{remark.option} (line {remark.line}): {remark.reason}"
    return f"line {remark.line}: {remark.reason}" if remark.line else remark.reason


@given(lines=st.lists(LINES, max_size=20), whole=st.booleans())
def test_the_verdict_is_that_of_the_service(lines: list[str], whole: bool) -> None:
    agrees("\n".join([*(START.splitlines() if whole else ()), *lines]))


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - PKCS11_OPTIONS.keys()))
def test_the_verdict_on_each_option(name: str) -> None:
    for line in (name, f"{name} x", f"{name} 1 2", f"<{name}>\nx\n</{name}>"):
        agrees(START + line + "\n")


@given(st.binary(max_size=200))
def test_the_verdict_on_anything(data: bytes) -> None:
    agrees(data)
    agrees(START.encode() + data)


def test_all_reasons_are_said() -> None:
    found = verdict("client\ndev tap\nca ca.crt\n<connection>\nremote a b\n</connection>\nplugin x\ncert [inline]\n")
    assert [(one.option, one.line) for one in found.refused] == [
        ("dev", 2),
        ("ca", 3),
        ("remote", 5),
        ("plugin", 7),
        ("cert", 8),
    ]
    found = verdict("dev tap\nsecret x\nremote a\n")
    assert [one.line for one in found.refused] == [2, 0, 1] and "--ca" in found.refused[1].reason


def test_what_is_ignored_and_asked_for() -> None:
    found = verdict(START + "up x\nauth-user-pass\nverb 11\nup y\nsetenv FOO bar\n")
    assert not found.refused and found.asks == ("user name and password",)
    assert [(one.option, one.lines) for one in found.ignored] == [
        ("up", (7, 10)),
        ("verb 11", (9,)),
        ("setenv 'FOO'", (11,)),
    ]


def test_what_only_the_service_knows_is_no_refusal() -> None:
    found = verdict(START + "pkcs11-providers card\npkcs11-id x\n")
    assert not found.refused and [(one.option, one.line) for one in found.warnings] == [("pkcs11-providers", 7)]
    assert verdict(START + "pkcs11-id x\n").refused
    found = verdict(START + "dev-type tun\ndev tun5\ndev office\n")
    assert not found.refused and [(one.option, one.line) for one in found.warnings] == [("dev", 9)]


@pytest.mark.parametrize("text", ["", "<!DOCTYPE HTML>\n<p>", "<html>\n</html>", "root:x:0:0:root:/root:/bin/sh\n" * 3])
def test_nothing_is_ignored_in_what_is_no_profile(text: str) -> None:
    found = verdict(text)
    assert len(found.refused) == 1 and found.refused[0].line == 0 and not found.ignored
