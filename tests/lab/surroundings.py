"""What a run of the lab sees of the machine: its mounts, accounts and devices, all its own."""

import fcntl
import os
import shlex
import socket
import stat
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import kernel

PROJECT = Path(__file__).resolve().parents[2]
IMPORT_ROOT = PROJECT / "src"  # where tests and benchmarks are importable
CACHE = PROJECT / ".cache"
SHARED = Path("/run/lab")  # files that all users of the lab may read
SCRATCH = Path("/run/tmp")  # the lab's /tmp
RESOLV_CONF = SHARED / "resolv.conf"  # rewritten in place, so that binds of it stay fresh

_ALL = 0o755
_STICKY = 0o1777
_SIOCSIFFLAGS = 0x8914
_IFF_UP, _IFF_RUNNING = 0x1, 0x40


@dataclass(frozen=True)
class Account:
    """A user who exists inside only."""

    name: str
    uid: int
    home: str = "/nonexistent"


SERVICE = Account("_openvpn", 4000)
ALICE = Account("alice", 4001)
BOB = Account("bob", 4002)
MORE_USERS = (Account("carol", 4021), Account("dave", 4022), Account("erin", 4023), Account("frank", 4024))
ROOT = Account("root", 0, "/root")
OF_OTHER_SERVICES = (Account("polkitd", 4005), Account("systemd-resolve", 4006))
_ALL_ACCOUNTS = (ROOT, Account("messagebus", 4003), SERVICE, ALICE, BOB, *MORE_USERS, *OF_OTHER_SERVICES)
ACCOUNTS = {account.name: account for account in (*_ALL_ACCOUNTS, Account("nobody", 65534))}


TOKEN_GROUP = "softhsm"  # whose members may read the files of software tokens
_TOKEN_GID = 4010
_GIDS_OF_TESTS = range(4100, 4200)  # of groups that these make


@dataclass(frozen=True)
class OtherRoot:
    """Another system's tree to run in.

    It and the project are only read (but for the project's cache directory): what is written vanishes with the run.
    """

    tree: Path
    project_at: Path  # where the project is shown in it


class SurroundingsError(Exception):
    """This machine lacks something, or forbids it; the text says what to do."""


def arrange(other_root: OtherRoot | None = None) -> None:
    """Arrange the mounts of this process's own, new mount and pid namespaces."""
    _leave_chroot()
    kernel.mount("none", Path("/"), flags=kernel.MS_REC | kernel.MS_PRIVATE)
    if other_root is None:
        kernel.mount("proc", Path("/proc"), "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
        _open_ways([PROJECT, Path(sys.prefix), Path(sys.base_prefix)])
    else:
        _change_root(other_root)
    # Everything that a run writes outside the checkout lands here; no service of the machine can be reached.
    kernel.mount("tmpfs", Path("/run"), "tmpfs", kernel.MS_NOSUID, "mode=755")
    for directory, mode in ((SHARED, _ALL), (SCRATCH, _STICKY), (Path("/run/netns"), _ALL)):
        directory.mkdir()
        directory.chmod(mode)
    _bring_accounts()
    _bring_tun()
    _bring_resolv_conf()
    _silence_syslog()
    _raise_loopback()


def _leave_chroot() -> None:
    """If this runs in a chroot, make the same tree a proper root: in a chroot, nothing can pivot.

    Joining one's own mount namespace once more leads to its real root.
    """
    tree = os.open("/", os.O_PATH)
    own = os.pidfd_open(os.getpid())
    kernel.setns(own, kernel.CLONE_NEWNS)
    os.close(own)
    if not os.path.samestat(os.fstat(tree), Path("/").stat()):
        os.fchdir(tree)
        root = Path.cwd()
        kernel.mount("none", Path("/"), flags=kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.bind(root, root)
        kernel.pivot_root(root)
    os.close(tree)


def _open_ways(targets: list[Path]) -> None:
    """Let ordinary users reach `targets` through directories closed to them (/root, a private temporary directory).

    A closed directory is covered by an empty one that holds only the way to the targets, at their usual paths.
    """
    for target in targets:
        for directory in [*reversed(target.parents), target]:
            if directory.stat().st_mode & stat.S_IXOTH:
                continue
            inside = [one for one in targets if one == directory or directory in one.parents]
            wanted = set[Path]()
            for one in inside:
                wanted.update(directory.iterdir() if one == directory else [one])
            held = {path: os.open(path, os.O_PATH) for path in wanted if not path.is_symlink()}
            links = {path: path.readlink() for path in wanted if path.is_symlink()}
            kernel.mount("tmpfs", directory, "tmpfs", kernel.MS_NOSUID, "mode=755")
            for path, link in links.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(link)
            for path, descriptor in held.items():
                path.parent.mkdir(parents=True, exist_ok=True)
                if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    path.mkdir(exist_ok=True)
                else:
                    path.touch()
                kernel.bind(f"/proc/self/fd/{descriptor}", path)
                os.close(descriptor)
    for sample in (PROJECT / "pyproject.toml", Path(sys.prefix)):
        if not sample.stat().st_mode & stat.S_IROTH:
            raise SurroundingsError(
                f"{sample} cannot be read by ordinary users, who run parts of the tests and the demo.\n"
                f"Cure: chmod -R o+rX {shlex.quote(str(PROJECT))}"
            )


def _change_root(other_root: OtherRoot) -> None:
    """Pivot into a throw-away layer over another system's tree.

    pivot_root, because the service itself makes mount namespaces and pivots, which a chroot forbids.
    """
    layers = Path("/run")
    kernel.mount("tmpfs", layers, "tmpfs", 0, "mode=755")
    root = _layer(layers / "root", other_root.tree)
    project = root / other_root.project_at.relative_to("/")
    project.mkdir(parents=True)
    kernel.bind(_layer(layers / "project", PROJECT), project)
    kernel.bind(CACHE, project / CACHE.relative_to(PROJECT))
    kernel.mount("proc", root / "proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.bind("/dev", root / "dev")
    kernel.mount("sysfs", root / "sys", "sysfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")  # made at first boot elsewhere
    kernel.pivot_root(root)


def _layer(place: Path, lower: Path) -> Path:
    """`lower` with a throw-away layer over it."""
    upper, work, merged = place / "upper", place / "work", place / "merged"
    for directory in (upper, work, merged):
        directory.mkdir(parents=True)
    kernel.mount("overlay", merged, "overlay", options=f"lowerdir={lower},upperdir={upper},workdir={work}")
    merged.chmod(_ALL)
    return merged


def _bring_accounts() -> None:
    passwd = SHARED / "passwd"
    passwd.write_text("".join(f"{a.name}:x:{a.uid}:{a.uid}:{a.name}:{a.home}:/bin/sh\n" for a in ACCOUNTS.values()))
    group = SHARED / "group"
    groups = {"tty": 5, TOKEN_GROUP: _TOKEN_GID, **{account.name: account.uid for account in ACCOUNTS.values()}}
    group.write_text("".join(f"{name}:x:{gid}:\n" for name, gid in groups.items()))
    kernel.bind(passwd, Path("/etc/passwd"))
    kernel.bind(group, Path("/etc/group"))


def members(**groups: Sequence[str]) -> None:
    """From now on there are these groups besides, with these users in them, and no others of an earlier call."""
    file = SHARED / "group"
    of_others = [line for line in file.read_text().splitlines() if int(line.split(":")[2]) not in _GIDS_OF_TESTS]
    rows = zip(_GIDS_OF_TESTS, groups.items(), strict=False)
    made = [f"{name}:x:{gid}:{','.join(users)}" for gid, (name, users) in rows]
    file.write_text("".join(f"{line}\n" for line in (*of_others, *made)))  # in place, as it is bound


def _bring_tun() -> None:
    """A /dev/net/tun that root alone may open, as on a hardened system."""
    usual = Path("/dev/net/tun")
    if not usual.exists():
        raise SurroundingsError("/dev/net/tun is missing. Cure: modprobe tun")
    node = SHARED / "tun"
    os.mknod(node, stat.S_IFCHR, os.makedev(10, 200))
    node.chmod(0o600)
    kernel.bind(node, usual)


def _bring_resolv_conf() -> None:
    RESOLV_CONF.write_text("")
    usual = Path("/etc/resolv.conf").resolve()
    if usual.is_relative_to("/run"):
        usual.parent.mkdir(parents=True, exist_ok=True)
        usual.touch()
    if not usual.exists():
        raise SurroundingsError("/etc/resolv.conf is missing. Cure: touch /etc/resolv.conf")
    kernel.bind(RESOLV_CONF, usual)


def _silence_syslog() -> None:
    """Keep the service's lines out of the machine's log."""
    log = Path("/dev/log")
    if log.is_socket() and not log.is_symlink():
        nothing = SHARED / "nothing"
        nothing.touch()
        kernel.bind(nothing, log)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", _IFF_UP | _IFF_RUNNING)
        fcntl.ioctl(control, _SIOCSIFFLAGS, request)
