"""Profiles are shown to others without the user names and passwords in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...policy.pieces import whole
from ...policy.profile.credentials import blocks_of_credentials, without_credentials
from ...policy.profile.syntax import tokenize
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import Need

CA = "<ca>\n<auth-user-pass>\n-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n</ca>\n"
PROFILE = (
    "client\r\ndev tun\nremote a 1 tcp\nhttp-proxy p 1 # ours\n<http-proxy-user-pass>\nmallory\nhidden\n"
    "</http-proxy-user-pass>\n" + CA + "  <auth-user-pass> # login\nmallory\r\nhidden\n"
    "  </auth-user-pass> # end\nverb 3"
)
SHOWN = (
    "client\r\ndev tun\nremote a 1 tcp\nhttp-proxy p 1 # ours\nhttp-proxy-user-pass stdin\n# not shown\n# not shown\n"
    "# not shown\n" + CA + "auth-user-pass\n# not shown\n# not shown\n"
    "# not shown\nverb 3"
)


def hidden(text: str) -> str:
    return whole(without_credentials(text))


def test_what_is_shown() -> None:
    assert hidden(PROFILE) == SHOWN == hidden(SHOWN)
    assert hidden("<auth-user-pass>\nmallory\nhidden\n</auth-user-pass>").count("\n") == 3


def test_a_session_asks_for_what_was_taken_out() -> None:
    assert compile_profile(PROFILE).needs == set()
    compiled = compile_profile(SHOWN)
    assert compiled.needs == {Need.USER_PASSWORD} and "http-proxy p 1 auto\n" in compiled.config


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("auth-token hidden\nverb 3\n", "# auth-token is not shown\nverb 3\n"),
        ("client\nauth-token hidden", "client\n# auth-token is not shown"),
        ("<auth-token>\nhidden\n</auth-token>\n", "# auth-token is not shown\n# not shown\n# not shown\n"),
        (
            "<connection>\nremote a\n<http-proxy-user-pass>\nmallory\nhidden\n</http-proxy-user-pass>\n"
            "remote-cert-tls server\n</connection>\nauth-token hidden\n",
            "<connection>\nremote a\nhttp-proxy-user-pass stdin\n# not shown\n# not shown\n# not shown\n"
            "remote-cert-tls server\n</connection>\n# auth-token is not shown\n",
        ),
    ],
)
def test_tokens_and_what_is_in_connection_blocks(text: str, shown: str) -> None:
    assert hidden(text) == shown == hidden(shown)


@given(st.lists(st.sampled_from([*PROFILE.splitlines(keepends=True), "\n", "\r\n", "# x\n"]), max_size=40))
def test_nothing_stays_and_nothing_else_goes(lines: list[str]) -> None:
    text = "".join(lines)
    try:
        options = tokenize(text)
    except Exception:
        return
    shown = tokenize(hidden(text))
    assert not blocks_of_credentials(shown)
    assert [(one.line, one) for one in shown if "user-pass" not in one.name] == [
        (one.line, one) for one in options if "user-pass" not in one.name
    ]
    assert [(one.name, one.line) for one in shown] == [(one.name, one.line) for one in options]


@pytest.mark.parametrize("lines", [1, 1000])
def test_long_profiles(lines: int) -> None:
    block = "<auth-user-pass>\n" + "hidden\n" * lines + "</auth-user-pass>\n"
    text = "# x\n" * lines + block + "verb 3\n" * lines
    assert "hidden" not in hidden(text) and hidden(text).count("\n") == text.count("\n")
