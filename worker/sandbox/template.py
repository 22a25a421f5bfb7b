"""The root directory that every worker sees: only what the engine needs, read-only, built once by the spawner.

Without /proc, /sys, /home, and with an /etc that knows no name server: a name resolves by the worker's own hosts file,
or not at all.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from ...ipc.helpers import StagedProvider
from ...kernel import by_address, mounts
from ...policy.sandbox import pinned_strings
from . import pkcs11_providers

ENGINE_PATH = "/usr/sbin/openvpn"  # where the engine is inside, wherever it is outside
PRIVATE_DIRECTORY = "/run"  # the worker's own tmpfs
OUTSIDE_DIRECTORY = (
    "/mnt"  # in its place where workers keep the host's root; every system has it, and every user gets there
)
_HOSTS_PATH = f"{PRIVATE_DIRECTORY}/hosts"  # what the engine resolves its servers' names with
_PRIVATE_SIZE = "16m"  # the profile in two forms, a socket; the engine's temporary files

# Character devices the engine opens: name, major, minor (the kernel's admin-guide/devices.txt).
_TUN = (10, 200)
_DEVICES = (("null", 1, 3), ("random", 1, 8), ("urandom", 1, 9), ("net/tun", *_TUN))


def build_and_enter(engine: str, directory: str, staged: Sequence[StagedProvider] = ()) -> None:
    """Build the template on `directory` and make it this process's root.

    The caller has a mount namespace of its own, and need not be able to enter what it covers.  `engine` is the path of
    the openvpn program outside, "" for none.
    `staged` are the PKCS#11 providers that a worker may be shown.  Raises OSError.
    """
    mounts.mount("template", directory, "tmpfs", mounts.MS_NOSUID, "mode=0755,size=1m")
    root = Path(directory)
    for name in ("usr/lib", "usr/sbin", "dev/net", "etc", PRIVATE_DIRECTORY.lstrip("/")):
        (root / name).mkdir(parents=True)
    for library_directory in _library_directories():
        target = root / library_directory.relative_to("/")
        target.mkdir(parents=True, exist_ok=True)
        mounts.bind_read_only(str(library_directory), str(target))
    if engine:
        inside = root / ENGINE_PATH.lstrip("/")
        inside.touch()
        mounts.bind_read_only(engine, str(inside))
    for link, destination in (("lib", "usr/lib"), ("lib64", "usr/lib64"), ("bin", "usr/bin"), ("sbin", "usr/sbin")):
        (root / link).symlink_to(destination)
    (root / "etc/hosts").symlink_to(_HOSTS_PATH)
    (root / "etc/nsswitch.conf").write_text("hosts: files\n")
    _make_devices(root / "dev")
    pkcs11_providers.stage(root, staged)
    mounts.pivot_into(directory)
    pkcs11_providers.make_places(staged)
    mounts.mount("none", "/", flags=mounts.MS_REMOUNT | mounts.MS_RDONLY | mounts.MS_NOSUID)


def map_pinned_strings(engine: str, base: str, staged: Sequence[StagedProvider]) -> None:
    """Map the strings of policy/sandbox/pinned_strings.py at their addresses.

    They are the engine's path, where private directories are mounted, and the paths of PKCS#11 providers.
    """
    contents = {
        pinned_strings.ENGINE: engine.encode(),
        pinned_strings.PRIVATE: base.encode(),
        pinned_strings.TMPFS: b"tmpfs",
        pinned_strings.STAGE: pkcs11_providers.STAGE.encode(),
        **pkcs11_providers.paths(staged),
    }
    by_address.map_strings(pinned_strings.AT, pinned_strings.SIZE, contents)


def mount_private_directory(uid: int, *, open_to_root: bool = False) -> None:
    """Give the calling worker its own writable directory; call in its own mount namespace.

    With `open_to_root`, group 0 may write there too: root without CAP_DAC_OVERRIDE, which makes mount points in it.
    """
    flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
    access = f"mode=0770,uid={uid},gid=0" if open_to_root else f"mode=0700,uid={uid},gid={uid}"
    options = f"{access},size={_PRIVATE_SIZE},nr_inodes=64"
    by_address.mount(pinned_strings.PRIVATE, pinned_strings.TMPFS, flags, options)


def share_private_directory(base: str) -> None:
    """Where workers have no mounts of their own: let each make a directory in `base`."""
    mounts.mount("private", base, "tmpfs", mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC, "mode=1777")


def bring_device() -> None:
    """Where workers keep the host's root: have all users open /dev/net/tun, whatever the mode of the host's node."""
    mounts.mount("device", OUTSIDE_DIRECTORY, "tmpfs", mounts.MS_NOSUID | mounts.MS_NOEXEC, "mode=0755,size=4k")
    node = Path(OUTSIDE_DIRECTORY, "tun")
    try:
        _make_node(node, *_TUN)
        mounts.mount(str(node), "/dev/net/tun", flags=mounts.MS_BIND)
    except (PermissionError, FileNotFoundError):
        pass  # without CAP_MKNOD, or without a node to cover, they have the host's
    finally:
        mounts.detach(OUTSIDE_DIRECTORY)


def loaders() -> tuple[str, ...]:
    """The dynamic loaders, one of which the kernel executes when it executes the engine (ld.so(8))."""
    return tuple(str(file) for directory in _library_directories() for file in directory.glob("ld*.so*"))


def _library_directories() -> list[Path]:
    """Debian keeps libraries in /usr/lib/<triplet>, others in /usr/lib64; the loader is in one of the two."""
    candidates = [*Path("/usr/lib").glob("*-linux-gnu*"), Path("/usr/lib64")]
    return [candidate for candidate in candidates if candidate.is_dir()]


def _make_devices(directory: Path) -> None:
    for name, major, minor in _DEVICES:
        node = directory / name
        try:
            _make_node(node, major, minor)
        except PermissionError:
            # Containers often lack CAP_MKNOD: use the host's node instead.
            node.touch()
            mounts.mount(f"/dev/{name}", str(node), flags=mounts.MS_BIND)


def _make_node(node: Path, major: int, minor: int) -> None:
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(major, minor))
    node.chmod(0o666)  # the umask took bits away
