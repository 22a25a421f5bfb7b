"""For whom a right is: what the administrator may write, what is said to others, and who is looked up."""

import asyncio
import grp
import os
import pwd
import threading

import pytest

from ...policy.limits import MAX_ACCOUNT_LOOKUPS_PER_USER, MAX_WHO
from ...policy.rights import DEFAULTS, Right, Rule, described, parse_who, refused
from ...supervisor.accounts import look_up
from ...supervisor.errors import SystemFailure
from ...supervisor.rights import Rights

NOBODY = 4_000_000_000
FILE = "redirect in /etc/openvpn3-sessionmgr/config.toml"


@pytest.mark.parametrize(
    "words",
    [
        ("any",),
        ("refuse",),
        ("root", "@sudo", "seat", "alice"),
        ("CORP\\alice", "alice@example.org", "@Domain Users", "@vpn-admins@example.org", "_apt", "élise"),
    ],
)
def test_who_a_right_may_be_for(words: tuple[str, ...]) -> None:
    assert parse_who(words) == words
    assert parse_who((*words, words[0])) == words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), 'it names nobody: for that there is "refuse"'),
        (("any", "alice"), '"any" stands alone'),
        (("refuse", "root"), '"refuse" stands alone'),
        (("",), "'' is not any, root, seat, refuse, the name of a user, or @ and a group's"),
        (("@",), "'@' is not"),
        (("@@wheel",), "is not"),
        (("-v",), "is not"),
        (("1000",), "'1000' is not"),
        (("a\nb",), r"'a\nb' is not"),
        ((" alice",), "' alice' is not"),
        (("%wheel",), "'%wheel' is not"),
        (tuple(f"u{number}" for number in range(MAX_WHO + 1)), f"more than {MAX_WHO}: make a group of them"),
    ],
)
def test_what_it_may_not_be(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_who(words)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Rule(("root",), FILE), f"the default route is only for root ({FILE})"),
        (Rule(("@vpn",), FILE), f"the default route is only for group vpn ({FILE})"),
        (
            Rule(("seat", "@a", "bob", "root", "@b"), "--redirect"),
            "the default route is only for root, user bob, group a, group b and users active on a local seat "
            "(--redirect)",
        ),
        (Rule(("refuse",)), "the default route is for nobody (the default of redirect)"),
    ],
)
def test_what_is_said_to_others(rule: Rule, said: str) -> None:
    assert refused(Right.REDIRECT, rule) == said


def test_the_defaults_can_be_written() -> None:
    for who in DEFAULTS.values():
        assert parse_who(who) == who
        assert described(Rule(who))


async def _on_seat(uid: int) -> bool:
    return uid == NOBODY


def decided(*who: str, uid: int) -> str:
    rights = Rights({Right.DNS: Rule(who)}, _on_seat)
    return asyncio.run(rights.refusal(Right.DNS, uid))


def test_users_and_groups_are_looked_up() -> None:
    nobody = pwd.getpwnam("nobody")
    group = f"@{grp.getgrgid(nobody.pw_gid).gr_name}"
    assert decided("no such user", "nobody", uid=nobody.pw_uid) == ""
    assert decided("@no such group", group, uid=nobody.pw_uid) == ""
    said = "setting name servers is only for root and group root (the default of dns)"
    assert decided("@root", "root", uid=nobody.pw_uid) == said
    assert decided("nobody", group, uid=NOBODY)


def test_root_has_what_anybody_has() -> None:
    for who in (("any",), ("root",), ("nobody",), ("@root",), ("seat",)):
        assert decided(*who, uid=0) == ""
    assert decided("refuse", uid=0) and decided("root", uid=NOBODY) and not decided("any", uid=NOBODY)


def test_a_seat_is_asked_about_when_nothing_else_lets_the_user() -> None:
    assert decided("seat", uid=NOBODY) == decided("nobody", "seat", uid=NOBODY) == ""
    assert decided("seat", uid=NOBODY - 1)
    rights = Rights({Right.DNS: Rule(("seat", "nobody"))})
    assert asyncio.run(rights.refusal(Right.DNS, pwd.getpwnam("nobody").pw_uid)) == ""
    assert asyncio.run(rights.refusal(Right.DNS, NOBODY)).endswith(
        "; who uses a local seat is not known: there is no systemd-logind"
    )


def test_what_fails_counts_against_the_user() -> None:
    async def fails(uid: int) -> bool:
        raise SystemFailure("systemd-logind does not answer in 1 s")

    rights = Rights(on_seat=fails)
    assert asyncio.run(rights.refusal(Right.KILL_SWITCH, os.getuid() or NOBODY)) == (
        "the kill switch is only for root, group sudo, group wheel and users active on a local seat (the default of "
        "kill-switch); who uses a local seat is not known: systemd-logind does not answer in 1 s"
    )


def test_a_directory_that_hangs_counts_against_the_user() -> None:
    """The places for look-ups of this user are taken by some that do not end."""
    answers = threading.Event()

    async def test() -> str:
        hanging = [asyncio.create_task(look_up(answers.wait, NOBODY)) for _ in range(MAX_ACCOUNT_LOOKUPS_PER_USER)]
        await asyncio.sleep(0)
        said = await Rights({Right.DNS: Rule(("@root",))}).refusal(Right.DNS, NOBODY)
        await asyncio.gather(*hanging, return_exceptions=True)
        return said

    assert asyncio.run(test()).endswith("; users and groups could not be looked up in 1 s")
    answers.set()


def test_other_rules_are_in_force_at_once() -> None:
    async def test() -> None:
        rights = Rights()
        assert await rights.refusal(Right.REDIRECT, NOBODY) == ""
        rights.replace({Right.REDIRECT: Rule(("root",), FILE)})
        assert FILE in await rights.refusal(Right.REDIRECT, NOBODY)
        assert await rights.refusal(Right.DNS, NOBODY) == ""

    asyncio.run(test())
