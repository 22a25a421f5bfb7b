"""Which back end sets name servers, by what this machine has."""

import os
import stat
from pathlib import Path
from typing import Literal

import msgspec

from ..dns import BackEnd, NameSetter
from ..limits import MAX_RESOLV_CONF

Kind = Literal["resolved", "resolvectl", "openresolv", "resolvconf", "file", "none"]

_ACTIVATION = ("usr/share/dbus-1/system-services", "usr/local/share/dbus-1/system-services")
_POLKIT = "org.freedesktop.PolicyKit1.service"
_PROGRAM = "/sbin/resolvconf"
_MAX_PROGRAM = 64 * 1024  # bytes that are looked at

# Where resolved itself writes what /etc/resolv.conf is a link to (systemd-resolved.service(8)).
_OF_RESOLVED = ("run/systemd/resolve", "usr/lib/systemd", "lib/systemd")
_STUBS = ("127.0.0.53", "127.0.0.54")  # where it listens; a container may have the file without the link


class Choice(msgspec.Struct, frozen=True):
    """A back end, and why this one."""

    kind: Kind
    reason: str

    @property
    def name_setter(self) -> NameSetter:
        """What a helper that is root has to work with, if that is needed."""
        return self.kind if self.kind in ("file", "openresolv", "resolvconf", "resolvectl") else ""


def choose(option: BackEnd, root: Path = Path("/")) -> Choice:
    """What to use, by the files below `root`; nothing is asked."""
    if option == "resolvconf":
        return Choice(_resolvconf(root) or "resolvconf", "--dns-backend=resolvconf")
    if option == "resolved":
        return _resolved(root, "--dns-backend=resolved")
    if option != "auto":
        return Choice(option, f"--dns-backend={option}")
    if reason := leads_to_resolved(root):
        return _resolved(root, reason)
    usual = root / "etc/resolv.conf"
    match _resolvconf(root):
        case "openresolv":
            return Choice("openresolv", f"{_PROGRAM} is openresolv")
        # Without the link, it changes nothing that programs read.
        case "resolvconf" if "resolvconf" in usual.resolve().parts:
            return Choice("resolvconf", f"/etc/resolv.conf is a link to what {_PROGRAM} makes")
    try:
        if not stat.S_ISREG(usual.stat().st_mode):
            return Choice("none", "/etc/resolv.conf is no file")
        if os.statvfs(usual).f_flag & os.ST_RDONLY:
            return Choice("none", "/etc/resolv.conf is in a file system that is read-only")
    except OSError as error:
        return Choice("none", f"/etc/resolv.conf: {error.strerror}")
    return Choice("file", "nothing else maintains /etc/resolv.conf")


def _resolved(root: Path, reason: str) -> Choice:
    """By its bus, or where there is no polkit to admit us there, by its program."""
    if any((root / place / _POLKIT).exists() for place in _ACTIVATION):
        return Choice("resolved", reason)
    return Choice("resolvectl", f"{reason}; there is no polkit")


def _resolvconf(root: Path) -> Literal["openresolv", "resolvconf", ""]:
    """Which resolvconf(8) there is; "" if none, or only the one that is systemd-resolved's."""
    program = root / _PROGRAM.removeprefix("/")
    try:
        if program.resolve().name == "resolvectl":
            return ""
        with program.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_MAX_PROGRAM)
    except OSError:
        return ""
    return "openresolv" if "openresolv" in text or "Roy Marples" in text else "resolvconf"


def leads_to_resolved(root: Path = Path("/")) -> str:
    """Why programs that read resolv.conf(5) ask systemd-resolved; "" if they do not."""
    usual = root / "etc/resolv.conf"
    try:
        target = usual.resolve()
        if any(target.is_relative_to(root / place) for place in _OF_RESOLVED):
            return f"/etc/resolv.conf is a link to its {target.name}"
        with usual.open(encoding="ascii", errors="replace") as file:
            text = file.read(MAX_RESOLV_CONF)
    except OSError:
        return ""
    servers = [words[1] for line in text.splitlines() if len(words := line.split()) > 1 and words[0] == "nameserver"]
    return f"/etc/resolv.conf names {servers[0]}" if servers and servers[0] in _STUBS else ""
