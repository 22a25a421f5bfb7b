"""Which back end sets name servers, by what this machine has."""

from pathlib import Path
from typing import Literal

import msgspec

Option = Literal["auto", "resolved", "resolvconf", "file", "none"]  # of the command line
Who = Literal["any", "root", "refuse"]  # whose sessions may have this machine use their name servers
Kind = Literal["resolved", "resolvconf", "file", "none"]

_MAX_RESOLV_CONF = 64 * 1024  # bytes that are looked at
# Where resolved itself writes what /etc/resolv.conf is a link to (systemd-resolved.service(8)).
_OF_RESOLVED = ("run/systemd/resolve", "usr/lib/systemd", "lib/systemd")
_STUBS = ("127.0.0.53", "127.0.0.54")  # where it listens; a container may have the file without the link


class Choice(msgspec.Struct, frozen=True):
    """A back end, and why this one."""

    kind: Kind
    reason: str


def choose(option: Option, root: Path = Path("/")) -> Choice:
    """What to use, by the files below `root`; nothing is asked."""
    if option != "auto":
        return Choice(option, f"--dns-backend={option}")
    if reason := _leads_to_resolved(root):
        return Choice("resolved", reason)
    return Choice("none", "/etc/resolv.conf does not lead to systemd-resolved")


def _leads_to_resolved(root: Path) -> str:
    """Why programs that read resolv.conf(5) ask systemd-resolved; "" if they do not."""
    usual = root / "etc/resolv.conf"
    try:
        target = usual.resolve()
        if any(target.is_relative_to(root / place) for place in _OF_RESOLVED):
            return f"/etc/resolv.conf is a link to its {target.name}"
        with usual.open(encoding="ascii", errors="replace") as file:
            text = file.read(_MAX_RESOLV_CONF)
    except OSError:
        return ""
    servers = [words[1] for line in text.splitlines() if len(words := line.split()) > 1 and words[0] == "nameserver"]
    return f"/etc/resolv.conf names {servers[0]}" if servers and servers[0] in _STUBS else ""
