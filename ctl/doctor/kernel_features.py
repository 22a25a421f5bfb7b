"""What sessions need of the kernel."""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from ...kernel import landlock, process
from ...policy.sandbox.layers import LAYERS, NAMESPACES, Layer
from .finding import Finding, Machine, fault, ok, unknown, warning
from .kernel_lists import tables

_NODE = Path("/dev/net/tun")
_TUN = os.makedev(10, 200)  # the kernel's admin-guide/devices.txt
_MISC = Path("/proc/misc")  # drivers that are loaded
_SYSCTL = Path("/proc/sys")
_LOAD_TUN = "modprobe tun; in a container, its host has to do so and let it use the device (10:200)."


def tun(_: Machine, node: Path = _NODE, misc: Path = _MISC) -> Iterable[Finding]:
    """The driver, and the device node."""
    try:
        loaded = any(line.split()[1:] == ["tun"] for line in misc.read_text().splitlines())
        found = node.stat()
    except FileNotFoundError:
        if loaded:
            yield warning(
                f"{node} is missing; the service makes a node of its own where it may",
                f"mknod {node} c 10 200; without CAP_MKNOD the service cannot make devices.",
            )
        else:
            yield fault(f"{node} is missing, and the kernel has not loaded tun", _LOAD_TUN)
        return
    except OSError as error:
        yield unknown(f"{node} cannot be looked at: {error.strerror}")
        return
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _TUN:
        yield fault(f"{node} is not the device 10:200", f"rm {node}; mknod {node} c 10 200; chmod 0666 {node}")
        return
    try:
        os.close(os.open(node, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid():
            yield ok(f"{node} is there, for root alone; the service makes a node of its own")
        elif error.errno in (errno.EACCES, errno.EPERM):
            yield fault(f"{node} cannot be opened: {error.strerror}", "Let this container use the device 10:200.")
        else:
            yield fault(f"{node} cannot be opened: {error.strerror}", _LOAD_TUN)
    else:
        yield ok(f"{node} can be opened")


def nf_tables(_: Machine) -> Iterable[Finding]:
    """Whether the kernel answers by nf_tables."""
    missing = "modprobe nf_tables nft_ct nft_reject_inet (CONFIG_NF_TABLES_INET, CONFIG_NFT_REJECT_INET)."
    try:
        tables()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            yield unknown("Whether the kernel has nf_tables is told to root only")
        else:
            what = "no kill switch, nor is this machine kept from sessions"
            yield fault(f"nf_tables cannot be used: {error.strerror}; {what}", missing)
    else:
        yield ok("nf_tables answers")


def kernel_layers(machine: Machine) -> Iterable[Finding]:
    """Landlock, seccomp and namespaces, by what every user may ask."""
    strict = machine.options.sandbox != "available"
    missing = list[str]()
    for layer, needed in _NEEDED.items():
        if not isinstance(machine.options.sandbox, str) and layer not in machine.options.sandbox:
            continue
        try:
            needed()
        except OSError as error:
            missing.append(layer)
            text = f"No layer {layer} ({LAYERS[layer].does}): {error.strerror or error}"
            to_do = f"It needs {LAYERS[layer].needs}."
            yield fault(text, f'{to_do} Until then: sandbox = "available".') if strict else warning(text, to_do)
    if not missing:
        yield ok(f"The kernel has {', '.join(_NEEDED)}")


def _scopes() -> None:
    if (abi := landlock.abi()) < landlock.SCOPES_SINCE:
        raise OSError(errno.ENOSYS, f"Landlock {landlock.SCOPES_SINCE} has it, this kernel has {abi}")


def _seccomp() -> None:
    if "errno" not in (_SYSCTL / "kernel/seccomp/actions_avail").read_text().split():
        raise OSError(errno.ENOSYS, "filters cannot refuse calls with an error")


def _namespace(name: str) -> Callable[[], None]:
    def needed() -> None:
        Path(f"/proc/self/ns/{name}").stat()
        try:
            if int((_SYSCTL / f"user/max_{name}_namespaces").read_text()) == 0:
                raise OSError(errno.ENOSPC, f"the sysctl user.max_{name}_namespaces is 0")
        except FileNotFoundError:
            pass

    return needed


_KERNEL_NAMES = {Layer.MOUNT: "mnt", Layer.CGROUP_NAMESPACE: "cgroup"}  # of namespaces, where they differ
_NEEDED: dict[Layer, Callable[[], object]] = {
    **{layer: _namespace(_KERNEL_NAMES.get(layer, layer.value)) for layer in NAMESPACES},
    Layer.SECCOMP: _seccomp,
    Layer.LANDLOCK: landlock.abi,
    Layer.SCOPE: _scopes,
}


def user_namespaces(_: Machine) -> Iterable[Finding]:
    """Whether users may make the namespaces that `ovpnctl exec` needs, found by making them."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        reason = b""
        try:
            process.unshare(process.CLONE_NEWUSER | process.CLONE_NEWNET)
        except OSError as error:
            reason = os.strerror(error.errno or 0).encode()
        os.write(write_end, reason)
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        why = pipe.read().decode()
    os.waitpid(pid, 0)
    if why:
        yield warning(
            f"This user cannot make user and network namespaces ({why}): `ovpnctl exec` does not work",
            "sysctl user.max_user_namespaces, user.max_net_namespaces, kernel.unprivileged_userns_clone, "
            "kernel.apparmor_restrict_unprivileged_userns say why.",
        )
    else:
        yield ok("User and network namespaces can be made: `ovpnctl exec` works")


def bounds(_: Machine, root: Path = _SYSCTL) -> Iterable[Finding]:
    """Bounds of the whole machine that sessions may meet."""
    least = {"user/max_pid_namespaces": 100, "kernel/pid_max": 4096, "fs/inotify/max_user_instances": 16}
    small = []
    for name, wanted in least.items():
        try:
            if (value := int((root / name).read_text())) < wanted:
                small.append(f"{name.replace('/', '.')} is {value}")
        except (OSError, ValueError):
            continue
    if small:
        yield warning(f"Few sessions fit: {', '.join(small)}", "Raise them in /etc/sysctl.d (sysctl.d(5)).")
    else:
        yield ok("The kernel's bounds leave room for sessions")
