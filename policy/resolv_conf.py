"""The text of /etc/resolv.conf with a session's name servers, and as it was: pure.

What was there before stays in the file, as comments, so that whoever reads it can restore it, also after a crash, and
what others write beside it meanwhile is kept.
"""

from collections.abc import Iterable, Sequence

from .dns import MARK

_END = "# openvpn3-sessionmgr: end of these"
_BEFORE = "#openvpn3-sessionmgr-had# "
_REPLACED = ("nameserver", "search", "domain")


def with_servers(text: str, servers: Sequence[str], search: Iterable[str]) -> str:
    """The text with these name servers in place of those it had, and these domains before those it had."""
    lines = without_servers(text).split("\n")
    searched = list(search)
    for words in map(str.split, lines):
        if len(words) > 1 and words[0] in ("search", "domain"):
            searched += words[1:]
    block = [MARK, *(f"nameserver {server}" for server in servers)]
    if searched:
        block.append(f"search {' '.join(dict.fromkeys(searched))}")
    had = [f"{_BEFORE}{line}" if line.split()[:1] and line.split()[0] in _REPLACED else line for line in lines]
    return "\n".join([*block, _END, *had])


def without_servers(text: str) -> str:
    """The text as it was; what others have written since is kept, also in place of all of it."""
    lines = text.split("\n")
    if MARK in lines:
        start = lines.index(MARK)
        # Without its end, somebody has taken it for their own.
        end = lines.index(_END, start) if _END in lines[start:] else start
        del lines[start : end + 1]
    return "\n".join(line.removeprefix(_BEFORE) for line in lines)
