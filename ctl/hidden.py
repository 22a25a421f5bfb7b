"""The files and sockets of a command with the VPN as its only network, in a mount namespace of its own.

Names are looked up with the VPN's name servers only: whatever else answers for names is not there, since it would ask
outside.
"""

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote

from ..kernel import mounts

_RESOLV_CONF, _NSSWITCH = Path("/etc/resolv.conf"), Path("/etc/nsswitch.conf")
RESOLV_CONF_TITLE = "# The name servers of the VPN, which is the only network"
_MAX_SERVERS = 3  # MAXNS of resolv.conf(5)
# Directories of sockets: systemd-resolved; nscd, two of its kind; the system bus, by which resolved and
# systemd-machined answer; Avahi; SSSD; winbind.
_DIRECTORIES = (
    *("/run/systemd/resolve", "/run/nscd", "/var/run/nscd", "/run/dbus", "/var/run/dbus"),
    *("/run/avahi-daemon", "/var/lib/sss/pipes", "/run/samba/winbindd", "/run/unscd", "/run/nslcd"),
)
_BUS_ADDRESS = "DBUS_SYSTEM_BUS_ADDRESS"
_DEFAULT_NSSWITCH = "passwd: files\ngroup: files\n"


class HiddenNames:
    """Has the mounts made; `set` says what the name servers are."""

    def __init__(self) -> None:
        """Make the mounts, with no name server.  Raises OSError."""
        mounts.make_mounts_private()
        for directory in _DIRECTORIES:
            if Path(directory).is_dir():
                mounts.mount("tmpfs", directory, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=0755,size=64k")
        for path in sockets(os.environ.get(_BUS_ADDRESS, "")):
            if Path(path).exists():
                mounts.mount("/dev/null", path, flags=mounts.MS_BIND)
        place = tempfile.mkdtemp(prefix="ovpnctl-")
        try:
            mounts.mount("tmpfs", place, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV, "mode=0755,size=64k")
            self._resolv_conf = _put(Path(place, "resolv.conf"), _RESOLV_CONF, "")
            text = _NSSWITCH.read_text(encoding="utf-8") if _NSSWITCH.exists() else _DEFAULT_NSSWITCH
            os.close(_put(Path(place, "nsswitch.conf"), _NSSWITCH, nsswitch(text)))
            mounts.detach(place)
        finally:
            Path(place).rmdir()

    def set(self, servers: Iterable[str], domains: Iterable[str]) -> None:
        """Have names looked up with these name servers, in place of those before."""
        data = resolv_conf(servers, domains).encode()
        os.pwrite(self._resolv_conf, data, 0)
        os.ftruncate(self._resolv_conf, len(data))


def resolv_conf(servers: Iterable[str], domains: Iterable[str]) -> str:
    """The text of resolv.conf(5)."""
    plain = usable(servers)
    lines = [RESOLV_CONF_TITLE, *(f"nameserver {one}" for one in plain)]
    if found := list(domains):
        lines.append(f"search {' '.join(found)}")
    return "\n".join([*lines, ""])


def usable(servers: Iterable[str]) -> list[str]:
    """The name servers that resolv.conf can have."""
    return [one for one in servers if not re.search(r"\]:|^[^:]*:[^:]*$", one)][:_MAX_SERVERS]


def nsswitch(text: str) -> str:
    """nsswitch.conf(5), with names of hosts and networks from files and name servers only."""
    kept = [line for line in text.splitlines() if not re.match(r"\s*(hosts|networks)\s*:", line)]
    return "\n".join([*kept, "hosts: files dns", "networks: files", ""])


def sockets(address: str) -> list[str]:
    """The paths of sockets in the address of a bus (D-Bus Specification, "Server Addresses")."""
    return [unquote(path) for path in re.findall(r"unix:(?:[^;]*,)?path=([^,;]+)", address)]


def _put(file: Path, shown_as: Path, text: str) -> int:
    """Write a file, and have it in the place of another one, or of the one that this leads to; a descriptor of it."""
    target = Path(os.path.realpath(shown_as))
    if not target.exists() and str(target.parent) in _DIRECTORIES:
        file = target  # what is there is ours
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    os.write(descriptor, text.encode())
    if file != target and target.exists():
        mounts.mount(str(file), str(target), flags=mounts.MS_BIND)
    return descriptor
