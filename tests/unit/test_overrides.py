"""Overrides: which values there are, what they make of a profile, and that the real engine takes the result."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...policy.limits import MAX_OVERRIDE
from ...policy.profile.overrides import (
    GOOGLE_DNS,
    OVERRIDES,
    InvalidOverride,
    SessionOverrides,
    for_session,
    problem,
    read,
)
from ...policy.profile.syntax import MAX_LINE
from ...worker.profile.compiler import compile_profile
from ...worker.profile.overrides import apply, compile_with_overrides
from ...worker.profile.values import CompiledProfile, ProfileRefused, Proxy, Remote
from .test_profile_engine import engine, identity

__all__ = ["identity"]  # a fixture

START = "client\ndev tun\n<ca>\nCA\n</ca>\n"


def laid_over(lines: str, **overrides: bool | str) -> str:
    """What becomes of a profile's `lines`; names of overrides with _ for -."""
    applied = apply((START + lines).encode(), {name.replace("_", "-"): value for name, value in overrides.items()})
    text = applied.profile.decode()
    assert text.startswith(START)
    return text.removeprefix(START)


def compiled(lines: str, **overrides: bool | str) -> CompiledProfile:
    return compile_profile(START + laid_over(lines, **overrides))


def refusal(lines: str, **overrides: bool | str) -> str:
    with pytest.raises(ProfileRefused) as raised:
        laid_over(lines, **overrides)
    return str(raised.value)


def warnings(lines: str, **overrides: bool | str) -> tuple[str, ...]:
    named = {name.replace("_", "-"): value for name, value in overrides.items()}
    return apply((START + lines).encode(), named).warnings


# The table


def test_a_value_as_it_comes_over_the_bus() -> None:
    assert read("persist-tun", "b", True) is True
    assert read("server-override", "s", "vpn.example") == "vpn.example"
    assert read("server-override", "s", "") == ""
    assert read("port-override", "i", 443) == "443"
    assert read("log-level", "u", 6) == "6"


@pytest.mark.parametrize(
    ("name", "signature", "value", "text"),
    [
        ("nope", "s", "x", "Invalid override key 'nope'"),
        ("persist-tun", "s", "x", "(SetOverride) Invalid override data type for 'persist-tun': s"),
        ("ipv6", "b", True, "(SetOverride) Invalid override data type for 'ipv6': b"),
        ("ipv6", "i", 1, "Unsupported override data type: i"),
        ("persist-tun", "i", 1, "Unsupported override data type: i"),
        ("port-override", "d", 1.0, "Unsupported override data type: d"),
        ("port-override", "as", ["1"], "Unsupported override data type: as"),
        ("ipv6", "s", "maybe", "Invalid value for override 'ipv6': it is one of yes no default"),
        ("log-level", "u", 7, "Invalid value for override 'log-level': it is one of 1 2 3 4 5 6"),
        ("port-override", "i", 0, "Invalid value for override 'port-override': not a port"),
        ("port-override", "s", "65536", "Invalid value for override 'port-override': not a port"),
        ("proxy-port", "s", "٣", "Invalid value for override 'proxy-port': not a port"),
        ("server-override", "s", "a b", "Invalid value for override 'server-override': not a host name or address"),
        ("proxy-host", "s", "a\n", "Invalid value for override 'proxy-host': not a host name or address"),
    ],
)
def test_values_that_cannot_be_set(name: str, signature: str, value: object, text: str) -> None:
    with pytest.raises(InvalidOverride) as raised:
        read(name, signature, value)
    assert str(raised.value) == text


@pytest.mark.parametrize("value", ["a\nb", "a\0", "\x1b", "p" * (MAX_OVERRIDE + 1)])
def test_texts_that_would_break_a_line(value: str) -> None:
    assert "printable" in problem("proxy-password", value)
    assert problem("proxy-password", "p" * MAX_OVERRIDE) == "" == problem("proxy-password", "größer ' \" \\")


def test_every_choice_is_valid_and_followed() -> None:
    for name, row in OVERRIDES.items():
        assert row.doc and row.type in ("s", "b")
        for value in row.values:
            assert read(name, "s", value) == value
            compile_profile(apply((START + "remote a\n").encode(), {name: value}).profile)


def test_what_concerns_the_session() -> None:
    assert for_session({}) == SessionOverrides(None, False, False, True, "", ())
    every: dict[str, bool | str] = {
        "log-level": "5",
        "auth-fail-retry": True,
        "automatic-restart": "on-failure",
        "dns-setup-disabled": True,
        "dns-scope": "tunnel",
        "dns-fallback-google": True,
    }
    expected = SessionOverrides(5, True, True, False, "tunnel", GOOGLE_DNS)
    assert for_session(every) == expected
    assert apply(START.encode(), every).session == expected
    unset: dict[str, bool | str] = {name: "" if OVERRIDES[name].type == "s" else False for name in every}
    assert for_session(unset) == for_session({"log-level": "99", "dns-scope": True}) == SessionOverrides()


# What they make of a profile


def test_compiling_with_overrides() -> None:
    profile = (START + "remote a\nup x\n").encode()
    assert compile_with_overrides(profile, {}) == compile_profile(profile)
    result = compile_with_overrides(profile, {"log-level": "6", "port-override": "7", "proxy-port": "1"})
    assert (result.verbosity, result.remotes) == (6, (Remote("a", 7, "udp"),))
    assert result.warnings[0].startswith("override proxy-port is ignored") and "up (line 7)" in result.warnings[1]
    with pytest.raises(ProfileRefused, match="enterprise-profile"):
        compile_with_overrides(profile, {"enterprise-profile": "x"})


def test_without_overrides_nothing_changes() -> None:
    raw = b"\xef\xbb\xbfremote a\r\n# \xff"
    assert apply(raw, {}).profile == raw
    assert apply(raw, {"server-override": "", "dns-sync-lookup": True}).profile.endswith("\r\n# �".encode())
    assert apply(b"<ca>\nnever closed", {"ipv6": "no"}).profile == b"<ca>\nnever closed"


TWO = "remote a 1 udp # first\nremote b 2 tcp\n"
BLOCKS = "<connection>\nremote a\n</connection>\n<connection>\nremote b 2 tcp\nfragment 1300\n</connection>\n"


@pytest.mark.parametrize(
    ("lines", "overrides", "result"),
    [
        (TWO, {"server-override": "c"}, "remote c 1 udp\nremote c 2 tcp\n"),
        (TWO, {"port-override": "9"}, "remote a 9 udp\nremote b 9 tcp\n"),
        ("remote a", {"port-override": "9"}, "remote a 9"),
        ("remote a\n", {"server-override": "2001:db8::1"}, "remote 2001:db8::1\n"),
        (TWO, {"proto-override": "tcp"}, "\nremote b 2 tcp\n"),
        (TWO + "proto-force udp\n", {"proto-override": "tcp"}, "\nremote b 2 tcp\n\n"),
        (BLOCKS, {"proto-override": "udp"}, BLOCKS.partition("<connection>\nremote b")[0] + "\n" * 4),
        ("remote a 1\nproto-force udp\n", {"proto-override": "tcp"}, "remote a 1 tcp-client\n\n"),
        ("remote a\nport 7\n", {"proto-override": "tcp"}, "remote a 7 tcp-client\nport 7\n"),
        ("remote a\nproto tcp\n", {"proto-override": "udp"}, "remote a 1194 udp\nproto tcp\n"),
        ("remote a\nproto tcp6\n", {"proto-override": "tcp"}, "remote a\nproto tcp6\n"),
        ("remote a\nfragment 9\n", {"proto-override": "tcp"}, "remote a 1194 tcp-client\n\n"),
        (
            BLOCKS,
            {"server-override": "c", "port-override": "3"},
            BLOCKS.replace("remote a", "remote c 3").replace("remote b 2 tcp", "remote c 3 tcp"),
        ),
        (
            "port 7\nproto tcp\n<connection>\nremote a\n</connection>\nport 8\n",
            {"proto-override": "udp"},
            "port 7\nproto tcp\n<connection>\nremote a 7 udp\n</connection>\nport 8\n",
        ),
        (
            "remote c 1 tcp\n<connection>\nremote a\n</connection>\n",
            {"proto-override": "tcp"},
            "remote c 1 tcp\n<connection>\nremote a 1194 tcp-client\n</connection>\n",
        ),
        ("remote a", {"ipv6": "no"}, "remote a\nblock-ipv6\n"),
        ("persist-tun\n", {"persist-tun": False}, "\n"),
        ("a\npersist-tun", {"persist-tun": True}, "a\npersist-tun\n"),
        ("", {"ipv6": "no"}, "block-ipv6\n"),
        ("block-ipv6\n", {"ipv6": "yes"}, "\npull-filter ignore block-ipv6\n"),
        ("block-ipv6\n", {"ipv6": "default"}, "block-ipv6\n"),
        ("verb 9\n", {"log-level": "2"}, "\nverb 2\n"),
        ("setenv opt tls-version-min 1.0\n", {"tls-version-min": "tls_1_3"}, "\ntls-version-min 1.3\n"),
        ("", {"tls-cert-profile": "suiteb"}, "tls-cert-profile suiteb\n"),
        ("comp-lzo yes\n", {"allow-compression": "asym"}, "comp-lzo yes\nallow-compression asym\n"),
        ("comp-lzo\ncompress lz4\n", {"allow-compression": "no"}, "comp-lzo no\ncompress\nallow-compression no\n"),
        ("compress lz4-v2\n", {"allow-compression": "no"}, "compress stub-v2\nallow-compression no\n"),
        (
            "ncp-ciphers AES-256-GCM\n",
            {"enable-legacy-algorithms": True},
            "\ndata-ciphers AES-256-GCM:AES-256-CBC:AES-128-CBC:?BF-CBC\n",
        ),
        (
            "cipher BF-CBC\n",
            {"enable-legacy-algorithms": True},
            "cipher BF-CBC\nproviders legacy default\n"
            "data-ciphers AES-256-GCM:AES-128-GCM:?CHACHA20-POLY1305:AES-256-CBC:AES-128-CBC:BF-CBC\n",
        ),
        ("", {"enable-legacy-algorithms": False}, ""),
        (
            "http-proxy p 1\n<http-proxy-user-pass>\nu\np\n</http-proxy-user-pass>\nremote a 1 tcp\nsocks-proxy s\n",
            {"proxy-host": "q", "proxy-port": "3"},
            "\n\n\n\n\nremote a 1 tcp\n\nhttp-proxy q 3 auto-nct\n",
        ),
    ],
)
def test_the_lines_of_a_profile(lines: str, overrides: dict[str, bool | str], result: str) -> None:
    applied = apply((START + lines).encode(), overrides)
    assert applied.profile.decode() == START + result
    compile_profile(START + "remote z 1\nremote z 1 tcp\n" + result if "remote" not in result else START + result)


def test_servers_of_one_protocol_are_kept_as_they_are() -> None:
    assert compiled(TWO, proto_override="tcp").remotes == (Remote("b", 2, "tcp"),)
    assert compiled("remote a 5\n", proto_override="tcp").remotes == (Remote("a", 5, "tcp"),)
    assert compiled(f"remote c 1 udp\n{BLOCKS}", proto_override="tcp").remotes == (Remote("b", 2, "tcp"),)
    everything = compiled(TWO, server_override="c", port_override="7", proto_override="udp")
    assert everything.remotes == (Remote("c", 7, "udp"),)


def test_servers_that_speak_tcp_now_cannot_fragment() -> None:
    assert warnings("remote a\nfragment 1300\n", proto_override="tcp") == (
        "fragment is ignored: the servers are reached by TCP now",
    )


@pytest.mark.parametrize("lines", ["remote a 5\n", "<connection>\nremote a 5\nhttp-proxy old 1\n</connection>\n"])
def test_a_proxy_takes_the_place_of_the_profiles_own(lines: str) -> None:
    result = compiled(
        lines,
        proxy_host="q",
        proxy_port="3",
        proxy_username="me",
        proxy_password="a'b\"c\\ d",
        proxy_auth_cleartext=True,
    )
    assert result.remotes == (Remote("a", 5, "tcp", Proxy("http", "q")),)
    assert "http-proxy q 3 auto\n" in result.config and "old" not in result.config
    assert "<http-proxy-user-pass>\nme\na'b\"c\\ d\n</http-proxy-user-pass>\n" in result.config
    assert result.warnings == ()


def test_a_password_cannot_end_its_block() -> None:
    text = laid_over(
        "remote a\n",
        proxy_host="q",
        proxy_port="3",
        proxy_username="</http-proxy-user-pass>",
        proxy_password="up /bin/x",
    )
    with pytest.raises(ProfileRefused):
        compile_profile(START + text)


def test_a_proxy_given_by_halves() -> None:
    assert refusal("remote a\n", proxy_host="q") == "override proxy-host needs proxy-port"
    assert "carries only TCP" in refusal("remote a\n", proxy_host="q", proxy_port="3", proto_override="udp")
    assert warnings("remote a\n", proxy_port="3") == ("override proxy-port is ignored: proxy-host is not set",)
    given = {"proxy_host": "q", "proxy_port": "3"}
    assert warnings("remote a\n", **given, proxy_password="x") == (
        "override proxy-password is ignored: proxy-username is not set",
    )
    assert warnings("remote a\n", **given, proxy_username="x") == (
        "override proxy-username is ignored: proxy-password is not set",
    )


def test_what_cannot_be_followed() -> None:
    assert "device posture checks" in refusal("remote a\n", enterprise_profile="x")
    assert laid_over("remote a\n", enterprise_profile="") == "remote a\n"
    # From another configuration service, which takes any text.
    assert refusal("remote a\n", ipv6="maybe") == "Invalid value for override 'ipv6': it is one of yes no default"
    assert refusal("remote a\n", ipv6=True) == "Invalid value for override 'ipv6': a text is needed"
    assert refusal("remote a\n", persist_tun="x") == "Invalid value for override 'persist-tun': a switch is needed"
    assert warnings("remote a\n", brand_new="x") == ("override 'brand-new' is ignored: it is not known",)


def test_a_block_that_the_engine_would_not_read_is_not_left_out() -> None:
    """Lines are shorter within <connection>; that they are too long is for the compiler to say."""
    lines = f"<connection>\nremote a 1\n<ca>\n{'x' * (MAX_LINE + 1)}\n</ca>\n</connection>\nremote b 1 tcp\n"
    assert laid_over(lines, proto_override="tcp") == lines
    with pytest.raises(ProfileRefused, match=f"line 9.*longer than the {MAX_LINE} bytes"):
        compiled(lines, proto_override="tcp")


def test_later_complaints_name_the_right_line() -> None:
    lines = "remote a\nhttp-proxy p 1\n<http-proxy-user-pass>\nu\np\n</http-proxy-user-pass>\npkcs11-id x\n"
    with pytest.raises(ProfileRefused, match=r"pkcs11-id \(line 12\)"):
        compiled(lines, server_override="b", proto_override="tcp", proxy_host="q", proxy_port="1", ipv6="no")


@pytest.mark.parametrize(
    ("lines", "overrides"),
    [
        (TWO, {"server-override": "c", "port-override": "7", "proto-override": "tcp"}),
        ("remote a\nfragment 1300\nexplicit-exit-notify 1\nkeepalive 1 2\n", {"proto-override": "tcp"}),
        (BLOCKS.replace("fragment 1300\n", ""), {"proxy-host": "q", "proxy-port": "3", "proto-override": "tcp"}),
        (
            "remote a\nsocks-proxy s\n",
            {"proxy-host": "q", "proxy-port": "3", "proxy-username": "u", "proxy-password": "p " * 60},
        ),
        (
            "remote a\ncomp-lzo\nnobind\n",
            {
                "allow-compression": "no",
                "persist-tun": True,
                "ipv6": "no",
                "log-level": "6",
                "tls-cert-profile": "suiteb",
            },
        ),
        ("remote a\ncompress lzo\n", {"allow-compression": "yes", "ipv6": "yes", "tls-version-min": "tls_1_0"}),
        ("remote a\ncompress lz4-v2\n", {"allow-compression": "no", "tls-version-min": "tls_1_3"}),
        ("remote a\ncompress\n", {"allow-compression": "asym", "tls-cert-profile": "legacy"}),
        ("remote a\ncipher BF-CBC\n", {"enable-legacy-algorithms": True}),
        ("remote a\ndata-ciphers AES-128-GCM:AES-256-CBC\n", {"enable-legacy-algorithms": True}),
        ("remote a\n", {"enable-legacy-algorithms": True, "tls-cert-profile": "preferred"}),
    ],
)
def test_the_engine_starts_with_the_result(
    lines: str, overrides: dict[str, bool | str], identity: tuple[str, str], tmp_path: Path
) -> None:
    lines = apply(lines.encode(), overrides).profile.decode()
    with engine(lines, identity, tmp_path) as (_, said):
        assert any(line.startswith(">HOLD:") for line in said)


_VALUES = st.one_of(
    st.booleans(), st.text(max_size=20), *(st.sampled_from(r.values) for r in OVERRIDES.values() if r.values)
)
_LINES = st.lists(
    st.sampled_from(
        [*BLOCKS.splitlines(), *TWO.splitlines(), "http-proxy p 1", "verb 3", "<http-proxy-user-pass>", "u", "remote"]
    )
)


@given(_LINES, st.dictionaries(st.one_of(st.sampled_from([*OVERRIDES]), st.text(max_size=9)), _VALUES))
def test_nothing_but_refusals_comes_of_any_of_them(lines: list[str], overrides: dict[str, bool | str]) -> None:
    try:
        applied = apply("\n".join(lines).encode(), overrides)
        compile_profile(START.encode() + applied.profile)
    except ProfileRefused:
        pass
