"""Proxies of profiles: what the engine is told, what the user must type, whose name is to be looked up."""

import itertools

import pytest

from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import Need, ProfileRefused, Proxy

START = "client\ndev tun\n<ca>\nCA\n</ca>\nproto tcp\n"  # a line more is line 7
BASE = START + "remote a\n"
END = "proto tcp\nremote a\n"  # what comes after the proxy in what the engine gets of BASE
CREDENTIALS = "<http-proxy-user-pass>\nme\nsecret\n</http-proxy-user-pass>\n"


def block(lines: str) -> str:
    return f"<connection>\n{lines}</connection>\n"


def config(profile: str) -> str:
    """What the engine gets, without what every profile here has."""
    return compile_profile(profile).config.replace("client\n<ca>\nCA\n</ca>\n", "")


@pytest.mark.parametrize(
    ("line", "rendered", "asks"),
    [
        ("http-proxy p 1", "http-proxy p 1", False),
        ("http-proxy p 1 none", "http-proxy p 1", False),
        ("http-proxy p 1 auto", "http-proxy p 1 auto", False),  # perhaps, once the proxy has spoken
        ("http-proxy p 1 auto basic", "http-proxy p 1 auto", False),
        ("http-proxy p 1 auto-nct", "http-proxy p 1 auto-nct", False),
        ("http-proxy p 1 stdin", "http-proxy p 1 stdin", True),
        ("http-proxy p 1 stdin basic", "http-proxy p 1 stdin basic", True),
        ("http-proxy p 1 '' basic", "http-proxy p 1 stdin basic", True),
        ("http-proxy p 1 [inline] ntlm2", "http-proxy p 1 stdin ntlm2", True),
        ("http-proxy p 1 stdin ntlm", "http-proxy p 1 stdin ntlm", True),
        ("http-proxy p 1 stdin none", "http-proxy p 1 stdin none", False),
        ("socks-proxy p", "socks-proxy p 1080", False),
        ("socks-proxy p 7", "socks-proxy p 7", False),
        ("socks-proxy p 7 stdin", "socks-proxy p 7 stdin", True),
        ("http-proxy p 1 stdin auto", "http-proxy p 1 auto", False),
    ],
)
@pytest.mark.parametrize("in_block", [False, True])
def test_the_proxy_reaches_the_engine(line: str, rendered: str, asks: bool, in_block: bool) -> None:
    profile = START + block(f"{line}\nremote a\n") if in_block else f"{BASE}{line}\n"
    compiled = compile_profile(profile)
    in_its_block = "proto tcp\n" + block(f"remote a\n{rendered}\n")
    assert config(profile) == (in_its_block if in_block else f"{rendered}\n{END}")
    assert compiled.needs == ({Need.PROXY_CREDENTIALS} if asks else set())
    assert compiled.remotes[0].proxy == Proxy(line.partition("-")[0], "p")
    assert compiled.warnings == ()


@pytest.mark.parametrize(
    ("line", "rendered"),
    [
        ("http-proxy p 1", "http-proxy p 1 auto"),
        ("http-proxy p 1 auto-nct", "http-proxy p 1 auto-nct"),
        ("http-proxy p 1 '' basic", "http-proxy p 1 stdin basic"),
        ("http-proxy p 1 stdin", "http-proxy p 1 stdin"),
    ],
)
def test_embedded_credentials_come_after_the_proxy_and_are_not_asked_for(line: str, rendered: str) -> None:
    for lines in itertools.permutations([f"{line}\n", CREDENTIALS, "http-proxy-option AGENT 'x y'\n"]):
        compiled = compile_profile(BASE + "".join(lines))
        expected = f"{rendered}\nhttp-proxy-option AGENT 'x y'\n{CREDENTIALS}{END}"
        assert compiled.config.replace("client\n<ca>\nCA\n</ca>\n", "") == expected
        assert compiled.needs == set()
        assert "secret" not in repr(compiled)


def test_embedded_credentials_are_not_for_a_socks_proxy() -> None:
    compiled = compile_profile(BASE + "http-proxy p 1\n" + CREDENTIALS + "socks-proxy s 2 stdin\n")
    assert compiled.config.startswith("socks-proxy s 2 stdin\nclient\n")
    assert compiled.needs == {Need.PROXY_CREDENTIALS}
    assert "secret" not in compiled.config


def test_each_block_has_the_proxy_that_holds_where_it_stands() -> None:
    profile = (
        START
        + block("remote direct\n")
        + "http-proxy-option AGENT x\nhttp-proxy p 1\n"
        + block("remote b\n")
        + block("remote c\nhttp-proxy-option VERSION 1.1\nhttp-proxy q 2\n")
        + block("remote d 5 udp\nsocks-proxy s\n")
        + block("remote e\n")
    )
    assert [remote.proxy for remote in compile_profile(profile).remotes] == [
        None,
        Proxy("http", "p"),
        Proxy("http", "q"),
        Proxy("socks", "s"),
        Proxy("http", "p"),
    ]
    assert config(profile) == "proto tcp\n" + "".join(
        [
            block("remote direct\n"),
            block("remote b\nhttp-proxy p 1\nhttp-proxy-option AGENT x\n"),
            block("remote c\nhttp-proxy q 2\nhttp-proxy-option AGENT x\nhttp-proxy-option VERSION 1.1\n"),
            block("remote d 5 udp\nsocks-proxy s 1080\n"),
            block("remote e\nhttp-proxy p 1\nhttp-proxy-option AGENT x\n"),
        ]
    )


def test_blocks_share_one_proxy_with_embedded_credentials() -> None:
    blocks = [block("remote a\nhttp-proxy p 1\n"), block("remote b 5\nhttp-proxy p 1\n")]
    compiled = compile_profile(START + blocks[0] + CREDENTIALS + blocks[1])
    without_proxy = block("remote a\n") + block("remote b 5\n")
    assert compiled.config.startswith(f"http-proxy p 1 auto\n{CREDENTIALS}client\n")
    assert compiled.config.endswith(f"proto tcp\n{without_proxy}")
    assert [remote.proxy for remote in compiled.remotes] == [Proxy("http", "p")] * 2


@pytest.mark.parametrize("other", ["", "http-proxy q 1\n", "http-proxy p 2\n", "socks-proxy p 1\n"])
def test_credentials_for_several_proxies_are_refused(other: str) -> None:
    profile = START + block("remote a\nhttp-proxy p 1\n") + block("remote b\n" + other) + CREDENTIALS
    with pytest.raises(ProfileRefused, match=r"http-proxy-user-pass \(line \d+\): works only if all <connection>"):
        compile_profile(profile)


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        ("http-proxy-option AGENT x\n", "http-proxy-option (line 8)"),
        (CREDENTIALS, "http-proxy-user-pass (line 8)"),
        ("preresolve\n", "preresolve (line 8)"),
    ],
)
def test_what_is_left_out(lines: str, warning: str) -> None:
    compiled = compile_profile(BASE + lines)
    assert [text.partition(" is ignored: ")[0] for text in compiled.warnings] == [warning]
    assert compiled.config == compile_profile(BASE).config
    compiled = compile_profile(BASE + lines + "socks-proxy s 1\n")
    assert compiled.config == "socks-proxy s 1\n" + compile_profile(BASE).config


def test_left_out_credentials_leave_the_proxies_of_blocks() -> None:
    compiled = compile_profile(START + block("remote a\nsocks-proxy s 1\n") + CREDENTIALS)
    assert compiled.config.endswith(block("remote a\nsocks-proxy s 1\n"))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("http-proxy p 1 stdin digest", "asks for 'digest'; there are none, basic, ntlm, ntlm2, auto and auto-nct"),
        ("http-proxy 'p q' 1", "not a host"),
        ("http-proxy p 0", "not a port"),
        ("http-proxy p", "takes 2 to 4 parameters, not 1"),
        ("http-proxy p 1\n<http-proxy-user-pass>\nme\n</http-proxy-user-pass>", "user name and, on the next line"),
        ("http-proxy p 1\nremote b 1 udp", "carries only TCP"),
        (
            block("remote a\nhttp-proxy p 1\n" + CREDENTIALS),
            "http-proxy-user-pass (line 11): is not allowed in a <conn",
        ),
        ("socks-proxy p x", "not a number"),
        ("http-proxy p 1\n" + "http-proxy-option AGENT x\n" * 17, "http-proxy-option (line 25): occurs more than 16"),
    ],
)
def test_refusals(lines: str, said: str) -> None:
    with pytest.raises(ProfileRefused) as refused:
        compile_profile(BASE + lines)
    assert said in str(refused.value)


@pytest.mark.parametrize("line", ["http-proxy-user-pass file", "http-proxy-user-pass stdin"])
def test_credentials_that_are_not_in_the_profile_are_asked_for_once_the_proxy_wants_them(line: str) -> None:
    for lines in (f"http-proxy p 1\n{line}\n", f"{line}\nhttp-proxy p 1\n"):
        compiled = compile_profile(BASE + lines)
        assert compiled.config.startswith("http-proxy p 1 auto\n") and compiled.needs == set()


def test_credentials_in_the_profile_go_before_a_file_that_is_not_read() -> None:
    compiled = compile_profile(BASE + "http-proxy p 1 file ntlm\n" + CREDENTIALS)
    assert compiled.config.startswith("http-proxy p 1 stdin ntlm\n" + CREDENTIALS) and not compiled.needs
