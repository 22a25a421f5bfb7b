"""What sets the name servers of sessions, and whether it can."""

import fcntl
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from ...policy.machine.dns_backend import choose
from .bus_facts import RESOLVED
from .finding import Finding, Machine, fault, ok, unknown, warning

_FS_IOC_GETFLAGS = 0x80086601  # linux/fs.h
_FS_IMMUTABLE_FL = 0x10
_RULES = (Path("/usr/share/polkit-1/rules.d"), Path("/etc/polkit-1/rules.d"))
_RULE = "net.openvpn.v3.sessionmgr.rules"


def back_end(machine: Machine, root: Path = Path("/")) -> Iterable[Finding]:
    """The back end, as the service would choose it, and whether that works."""
    choice = choose(machine.options.dns_backend, root)
    if choice.kind == "none":
        if machine.options.dns_backend == "none":
            yield ok("Sessions set no name servers, as dns-backend says")
        else:
            yield warning(
                f"Sessions set no name servers: {choice.reason}",
                "Make /etc/resolv.conf a file that root can write, or run systemd-resolved.",
            )
        return
    if choice.kind in ("resolved", "resolvectl"):
        if machine.bus.unreachable:
            yield unknown("Whether systemd-resolved runs is not known without the bus", "See `bus` above.")
        elif RESOLVED not in machine.bus.owners and RESOLVED not in machine.bus.activatable:
            yield fault(
                f"systemd-resolved is to set name servers ({choice.reason}), and is not on the bus",
                "systemctl enable --now systemd-resolved",
            )
        else:
            yield ok(f"systemd-resolved sets name servers: {choice.reason}")
        return
    if choice.kind == "file" and (why := _unwritable(root / "etc/resolv.conf")):
        yield fault(
            f"Name servers of sessions cannot be set: {why}", "chattr -i, or remount it; or run systemd-resolved."
        )
        return
    yield ok(f"Name servers are set by {choice.kind}: {choice.reason}")


def _unwritable(file: Path) -> str:
    """Why not even root can write a file; "" if it can."""
    try:
        if os.statvfs(file).f_flag & os.ST_RDONLY or os.statvfs(file.resolve().parent).f_flag & os.ST_RDONLY:
            return f"{file} is in a file system that is read-only"
        with file.open("rb") as opened:
            flags = fcntl.ioctl(opened, _FS_IOC_GETFLAGS, bytes(8))
    except OSError:
        return ""  # this file system has no such flags, or a user may not look
    return f"{file} is immutable (chattr)" if struct.unpack("=q", flags)[0] & _FS_IMMUTABLE_FL else ""


def polkit(machine: Machine, places: Iterable[Path] = _RULES, root: Path = Path("/")) -> Iterable[Finding]:
    """Whether polkit admits the service to systemd-resolved."""
    if choose(machine.options.dns_backend, root).kind != "resolved":
        yield ok("No rule of polkit is needed: name servers are not set by systemd-resolved's bus")
        return
    to_do = f"Install {_RULE} into /usr/share/polkit-1/rules.d (it is in the package)."
    if machine.bus.polkit_admits is not None:
        if machine.bus.polkit_admits:
            yield ok("polkit admits the service to systemd-resolved")
        else:
            yield fault("polkit does not admit the service to systemd-resolved", to_do)
        return
    closed = []
    for place in places:
        try:
            if _RULE in os.listdir(place):  # noqa: PTH208 (which says that it may not be read)
                yield ok(f"{place / _RULE} is there")
                return
        except FileNotFoundError:
            continue
        except OSError:
            closed.append(place)
    if closed:
        yield unknown(f"Whether polkit has the rule {_RULE} is not for this user to see")
    else:
        yield fault(f"polkit has no rule {_RULE}", to_do)
