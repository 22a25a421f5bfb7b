"""What the server pushed, read from the engine's log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...ipc import messages
from ...policy.limits import MAX_PUSHED_OPTIONS
from ...worker.profile.compiler import compile_profile
from ...worker.session.downlink import Downlink
from ...worker.session.phases import Phase, PhaseMachine
from ...worker.session.pushed import Pushed
from ..support.bare_worker import bare_worker


def reply(*options: str) -> str:
    """The line that tells of a reply with these options."""
    return f"PUSH: Received control message: '{','.join(['PUSH_REPLY', *options])}'"


def update(*options: str) -> str:
    """The line that tells of an update with these options."""
    return reply(*options).replace("PUSH_REPLY", "PUSH_UPDATE")


def options(line: str, *profile: tuple[str, ...]) -> list[str]:
    """The options that are taken of this line, in words, while the profile has those."""
    pushed = Pushed(profile)
    assert pushed.heard(line)
    return [" ".join(words) for words in pushed.options]


def test_options_are_read_as_the_engine_reads_them() -> None:
    pushed = Pushed()
    assert pushed.heard(
        reply("route 192.0.2.0 255.255.255.0", " dhcp-option  DNS 192.0.2.53", "dns search-domains \"a b\" 'c d'")
    )
    assert pushed.options == (
        ("route", "192.0.2.0", "255.255.255.0"),
        ("dhcp-option", "DNS", "192.0.2.53"),
        ("dns", "search-domains", "a b", "c d"),
    )
    assert pushed.complete


@pytest.mark.parametrize("line", ["", "# a", "route 'a", "route a\\b", "route " + "x" * 300, "ping \x01"])
def test_what_the_engine_would_not_read_is_no_option(line: str) -> None:
    assert options(reply("ping 1", line, "ping 2")) == ["ping 1", "ping 2"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "PUSH: Received control message: 'PUSH_REQUEST'",
        "PUSH: Received control message: 'PUSH_UPD,route 192.0.2.0'",
        "WARNING: Received bad push/pull message: PUSH_UPDATE,route 192.0.2.0",
        "OPTIONS IMPORT: route options modified",
        "VERIFY OK: CN=PUSH: Received control message: 'PUSH_REPLY,ping 1'",
    ],
)
def test_other_lines_change_nothing(line: str) -> None:
    pushed = Pushed()
    pushed.heard(reply("ping 1"))
    assert not pushed.heard(line)
    assert pushed.options == (("ping", "1"),)


def test_a_reply_may_be_empty() -> None:
    assert options(reply()) == []


def test_a_new_reply_takes_the_place_of_the_old_one() -> None:
    pushed = Pushed()
    for text in ("ping 1", "ping 2"):
        pushed.heard(reply(text))
    assert pushed.options == (("ping", "2"),)


def test_a_reply_goes_on_in_further_messages() -> None:
    pushed = Pushed()
    for _ in range(2):
        pushed.heard(reply("ping 1", "push-continuation 2"))
        pushed.heard(reply("ping 2", "push-continuation 2"))
        pushed.heard(reply("ping 3", "push-continuation 1"))
        assert pushed.options == (("ping", "1"), ("ping", "2"), ("ping", "3"))


def test_a_reply_that_is_interrupted_does_not_go_on() -> None:
    pushed = Pushed()
    pushed.heard(reply("ping 1", "push-continuation 2"))
    pushed.interrupted()
    pushed.heard(reply("ping 2"))
    assert pushed.options == (("ping", "2"),)


def test_a_line_that_was_cut_is_known_to_be() -> None:
    pushed = Pushed()
    pushed.heard(reply("ping 1", "ping 2")[:-1])
    assert not pushed.complete
    pushed.heard(reply("ping 1"))
    assert pushed.complete


def test_a_server_cannot_fill_the_memory() -> None:
    pushed = Pushed()
    for _ in range(MAX_PUSHED_OPTIONS // 100 + 1):
        pushed.heard(reply(*["ping 1"] * 100, "push-continuation 2"))
    assert len(pushed.options) == MAX_PUSHED_OPTIONS
    assert not pushed.complete


# Updates

BEFORE = (
    "route 192.0.2.0",
    "route 192.0.2.1",
    "dhcp-option DNS 192.0.2.53",
    "redirect-gateway def1",
    "topology subnet",
)
UPDATES = [
    (["route 203.0.113.0", "route 203.0.113.1"], [*BEFORE[2:], "route 203.0.113.0", "route 203.0.113.1"]),
    (["-route"], [*BEFORE[2:]]),
    (["-route", "route 203.0.113.0"], [*BEFORE[2:], "route 203.0.113.0"]),
    (["-?dhcp-option", "?route 203.0.113.0"], [*BEFORE[3:], "route 203.0.113.0"]),
    (["redirect-private block-local"], [*BEFORE[:3], BEFORE[4], "redirect-private block-local"]),
    (["-redirect-gateway"], [*BEFORE[:3], BEFORE[4]]),
    (["dns search-domains a.example"], [*BEFORE, "dns search-domains a.example"]),
    (["?ping 1", "-?ping", "  topology net30"], [*BEFORE[:4], "topology net30"]),
    (["-route 192.0.2.0", "? route a"], [*BEFORE]),
    ([], [*BEFORE]),
]


def updated(*lines: str, profile: tuple[tuple[str, ...], ...] = ()) -> Pushed:
    """What has been pushed after a reply and these lines."""
    pushed = Pushed(profile)
    for line in (reply(*BEFORE), *lines):
        assert pushed.heard(line)
    return pushed


def words(pushed: Pushed) -> list[str]:
    return [" ".join(one) for one in pushed.options]


@pytest.mark.parametrize(("lines", "left"), UPDATES)
def test_an_update_changes_what_it_names(lines: list[str], left: list[str]) -> None:
    pushed = updated(update(*lines))
    assert words(pushed) == left
    assert pushed.reopening


def test_an_update_goes_on_in_further_messages() -> None:
    pushed = updated(update("route 203.0.113.0", "push-continuation 2"))
    assert not pushed.reopening
    assert pushed.heard(update("route 203.0.113.1", "push-continuation 1"))
    assert pushed.reopening
    assert words(pushed) == [*BEFORE[2:], "route 203.0.113.0", "route 203.0.113.1"]
    assert pushed.heard(update("route 203.0.113.2"))
    assert words(pushed) == [*BEFORE[2:], "route 203.0.113.2"]


@pytest.mark.parametrize("line", ["ping 1", "-ping", "-cipher", "- route", "-", "?", "?-route"])
def test_the_engine_connects_anew_for_what_it_does_not_update(line: str) -> None:
    pushed = updated(update("-route", line))
    assert not pushed.reopening


def test_the_engine_may_refuse_an_update_for_other_reasons() -> None:
    pushed = updated(update("-route"))
    pushed.heard("WARNING: Received bad push/pull message: PUSH_UPDATE,-route")
    assert not pushed.reopening


def test_a_new_reply_knows_no_updates() -> None:
    assert words(updated(update("-route"), reply("route 192.0.2.9"))) == ["route 192.0.2.9"]


def test_updates_are_filtered() -> None:
    ignoring = (("pull-filter", "ignore", "route 203"),)
    assert words(updated(update("route 203.0.113.0", "?route 192.0.2.9"), profile=ignoring))[-1] == "route 192.0.2.9"
    rejecting = (("pull-filter", "reject", "route 203"),)
    assert not updated(update("route 203.0.113.0"), profile=rejecting).reopening
    assert updated(update("?route 203.0.113.0"), profile=rejecting).reopening
    assert words(updated(update("dns server 1 address 192.0.2.53"), profile=(("route-nopull",),))) == [
        "topology subnet"
    ]


def test_updates_cannot_fill_the_memory() -> None:
    pushed = updated()
    for _ in range(MAX_PUSHED_OPTIONS // 100 + 1):
        pushed.heard(update(*["route 192.0.2.0"] * 100, "push-continuation 2"))
    assert len(pushed.options) == MAX_PUSHED_OPTIONS
    assert not pushed.complete


# What the profile does not take


def test_secrets_are_not_kept() -> None:
    assert options(reply("auth-token abc", "auth-token-user YQ==", "echo x", "ping 1")) == ["ping 1"]


def test_route_nopull() -> None:
    left = ["ifconfig 198.18.0.2 198.18.0.1", "route-gateway 198.18.0.1", "topology subnet", "ping 1"]
    without = [
        *("route 192.0.2.0", "route-ipv6 2001:db8::/32", "redirect-gateway def1", "redirect-private", "block-ipv6"),
        *("dhcp-option DNS 192.0.2.53", "dns server 1 address 192.0.2.53", "route-metric 5"),
    ]
    assert options(reply(*left, *without), ("route-nopull",)) == left
    assert options(reply(*left, *without)) == left + without


FILTERED = [
    ([("accept", "route 192.0.2."), ("ignore", "route ")], ["route 192.0.2.0", "dhcp-option DNS 192.0.2.53"]),
    ([("ignore", "")], []),
    ([("ignore", "dhcp-option DNS")], ["route 192.0.2.0", "route 203.0.113.0"]),
    ([("accept", ""), ("reject", "")], ["route 192.0.2.0", "route 203.0.113.0", "dhcp-option DNS 192.0.2.53"]),
    ([("reject", "route 203")], []),
]


@pytest.mark.parametrize(("filters", "taken"), FILTERED)
def test_pull_filter(filters: list[tuple[str, str]], taken: list[str]) -> None:
    line = reply("route 192.0.2.0", "  route 203.0.113.0", "dhcp-option DNS 192.0.2.53")
    assert options(line, *(("pull-filter", *words) for words in filters)) == taken


def test_after_a_rejected_message_the_reply_begins_anew() -> None:
    pushed = Pushed([("pull-filter", "reject", "route")])
    pushed.heard(reply("push-continuation 2", "route 192.0.2.0"))
    pushed.heard(reply("ping 1"))
    assert pushed.options == (("ping", "1"),)


@given(st.lists(st.text(max_size=60), max_size=5), st.text(max_size=3))
def test_any_text(texts: list[str], end: str) -> None:
    pushed = Pushed([("pull-filter", "ignore", "a"), ("pull-filter", "reject", "b")])
    for text in texts:
        pushed.heard(f"PUSH: Received control message: 'PUSH_REPLY,{text}{end}")
    assert all(words and all(isinstance(word, str) for word in words) for words in pushed.options)


# How it comes to the session


def test_the_profile_says_what_it_has_about_the_network() -> None:
    profile = compile_profile(
        "client\ndev tun\nremote vpn.example\n<ca>\nx\n</ca>\nroute-nopull\nroute 192.0.2.0 255.255.255.0\n"
        "pull-filter ignore 'dhcp-option DNS'\nredirect-gateway def1 ipv6\ndhcp-option DNS 192.0.2.53\n"
    )
    assert profile.network == (
        ("route-nopull",),
        ("route", "192.0.2.0", "255.255.255.0"),
        ("pull-filter", "ignore", "dhcp-option DNS"),
        ("redirect-gateway", "def1", "ipv6"),
        ("dhcp-option", "DNS", "192.0.2.53"),
    )


def test_the_session_hears_it_and_logs_no_token() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(f">LOG:1700000000,I,{reply('route 192.0.2.0', 'auth-token abc')}")
        assert worker.session.device.pushed.options == (("route", "192.0.2.0"),)
        assert not any(isinstance(one, messages.LogLine) for one in worker.said())


@pytest.mark.parametrize("level", range(7))
def test_the_engine_logs_it_at_any_level(level: int) -> None:
    downlink = Downlink(PhaseMachine(lambda *_: None))
    downlink.set_log_level(level)
    assert downlink.verbosity >= 3
