"""Profiles that attackers import: good ones, and such as harm if they can."""

import random

import msgspec

from ...policy.limits import MAX_PROFILE

_LINE = "x" * 100 + "\n"
_WORDS = (
    *(
        "remote",
        "proto",
        "up /bin/sh",
        "script-security 2",
        "plugin /tmp/x.so",
        "config /etc/passwd",
        "cd /",
        "user root",
    ),
    *("management 127.0.0.1 7505", "<ca>", "</ca>", "<connection>", "setenv UV_A 1", "route-up x", "tun-mtu 99999999"),
    *("verb 11", "route 0.0.0.0 0.0.0.0", "http-proxy a 1", "socks-proxy b", "log /etc/x", "pkcs11-id x", "daemon"),
)


class Texts(msgspec.Struct):
    """Profiles with working papers."""

    good: list[str]  # of servers that push nothing
    grasping: list[str]  # of servers that push what is not theirs


def good(choose: random.Random, texts: Texts) -> str:
    """One that connects to a server which lets it in."""
    return choose.choice(texts.good)


def asking(choose: random.Random, texts: Texts) -> str:
    """One that wants something typed."""
    return choose.choice(texts.good).replace("nobind\n", 'nobind\nauth-user-pass\nstatic-challenge "PIN" 0\n')


def large(choose: random.Random, texts: Texts) -> str:
    """One of nearly the size that is admitted, most of it in its <ca>."""
    text = choose.choice(texts.good)
    count = (MAX_PROFILE - len(text) - 100_000) // len(_LINE)
    return text.replace("<ca>\n", "<ca>\n" + _LINE * count)


def too_large(choose: random.Random, texts: Texts) -> str:
    """One that is larger than what is admitted."""
    return _LINE * (choose.choice((MAX_PROFILE, MAX_PROFILE + 60_000, 8_000_000)) // len(_LINE) + 1)


def grasping(choose: random.Random, texts: Texts) -> str:
    """One whose server pushes what is not its own: routes, addresses."""
    return choose.choice(texts.grasping)


def unanswered(choose: random.Random, texts: Texts) -> str:
    """One whose servers do not answer."""
    remotes = "".join(f"remote 198.51.100.{choose.randrange(100, 250)} {choose.choice((9, 1194))}\n" for _ in range(3))
    return _with_remotes(choose, texts, remotes)


def unresolved(choose: random.Random, texts: Texts) -> str:
    """One whose servers' names do not exist, or take their time."""
    names = [
        f"n{choose.randrange(10_000)}.{choose.choice(('invalid', 'example'))}" for _ in range(choose.choice((1, 5, 60)))
    ]
    return _with_remotes(choose, texts, "".join(f"remote {name} 1194\n" for name in names))


def long_lists(choose: random.Random, texts: Texts) -> str:
    """One with thousands of routes or remotes."""
    count = choose.choice((500, 3000))
    if choose.random() < 0.5:
        remotes = "".join(f"remote 198.51.100.{100 + number % 150} {1 + number}\n" for number in range(count))
        return _with_remotes(choose, texts, remotes)
    routes = "".join(f"route 203.0.{number // 250}.{number % 250} 255.255.255.255\n" for number in range(count))
    return choose.choice(texts.good).replace("nobind\n", "nobind\n" + routes)


def nonsense(choose: random.Random, texts: Texts) -> str:
    """No profile, or one with what is not admitted in it."""
    lines = choose.choice(texts.good).splitlines()
    for _ in range(choose.randrange(1, 12)):
        at = choose.randrange(len(lines))
        match choose.randrange(5):
            case 0:
                del lines[at:]
                lines.append("")
            case 1:
                lines.insert(at, choose.choice(_WORDS))
            case 2:
                lines[at] = lines[at][::-1]
            case 3:
                lines[at] = chr(choose.randrange(1, 0xD7FF)) * choose.choice((1, 300, 5000))
            case 4:
                lines.insert(at, '"' + "\\" * choose.randrange(300))
    return "\n".join(lines)


def _with_remotes(choose: random.Random, texts: Texts, remotes: str) -> str:
    kept = [line for line in choose.choice(texts.good).splitlines() if not line.startswith("remote ")]
    return "\n".join([kept[0], remotes.rstrip(), *kept[1:]]) + "\n"


KINDS = (good, asking, grasping, unanswered, unresolved, long_lists, nonsense)
