"""The layers that confine the processes of a session, one row each: what it does, what it needs.

Each works without the others, with the exception in `unmet_dependency`; so each can be tested alone.
"""

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import NamedTuple


class Layer(StrEnum):
    """One layer; its value names it on the command line and in messages."""

    USER = "user"
    CAPABILITIES = "capabilities"
    NO_NEW_PRIVS = "no_new_privs"
    MOUNT = "mount"
    PID = "pid"
    IPC = "ipc"
    UTS = "uts"
    CGROUP_NAMESPACE = "cgroup_namespace"
    ROOT = "root"
    SECCOMP = "seccomp"
    LANDLOCK = "landlock"
    SCOPE = "scope"
    MDWE = "mdwe"
    RLIMITS = "rlimits"
    CGROUP = "cgroup"
    FIREWALL = "firewall"


ALL = frozenset(Layer)


class Row(NamedTuple):
    """What a layer does, and what it needs from the kernel or the machine."""

    does: str
    needs: str


LAYERS = {
    Layer.USER: Row("a user id for each session", "user ids that nobody else uses (--session-uids)"),
    Layer.CAPABILITIES: Row("no capability in any set", "any kernel"),
    Layer.NO_NEW_PRIVS: Row("no privilege by running a program", "Linux 3.5"),
    Layer.MOUNT: Row("mounts of its own", "mount namespaces"),
    Layer.PID: Row("sees, and can signal, its own processes only", "pid namespaces (CONFIG_PID_NS)"),
    Layer.IPC: Row("System V and POSIX queues of its own", "ipc namespaces (CONFIG_IPC_NS)"),
    Layer.UTS: Row("a host name of its own", "uts namespaces (CONFIG_UTS_NS)"),
    Layer.CGROUP_NAMESPACE: Row("sees no cgroup but its own", "Linux 4.6 with CONFIG_CGROUPS"),
    Layer.ROOT: Row("a read-only root directory with what the engine needs", "mounting and pivot_root(2)"),
    Layer.SECCOMP: Row(
        "system calls by list", "a 64-bit Linux 4.14 with CONFIG_SECCOMP_FILTER, libseccomp and its Python binding"
    ),
    Layer.LANDLOCK: Row("files by list, below the permissions of the files", "Linux 5.13 with Landlock switched on"),
    Layer.SCOPE: Row("no signal, no abstract socket to others", "Linux 6.12 with Landlock switched on"),
    Layer.MDWE: Row("no memory becomes executable", "Linux 6.3"),
    Layer.RLIMITS: Row("bounds on memory, processes, files of each process", "any kernel"),
    Layer.CGROUP: Row(
        "bounds on memory and processes of the session as a whole",
        "cgroup v2 with the controllers memory and pids, delegated to the service (systemd: Delegate=memory pids)",
    ),
    Layer.FIREWALL: Row(
        "no connection to services of this machine", "nf_tables (CONFIG_NF_TABLES_INET, CONFIG_NFT_REJECT_INET)"
    ),
}  # fmt: skip

# clone(2)'s flags.
NAMESPACES = {
    Layer.MOUNT: 0x00020000,
    Layer.CGROUP_NAMESPACE: 0x02000000,
    Layer.UTS: 0x04000000,
    Layer.IPC: 0x08000000,
    Layer.PID: 0x20000000,
}

# The kernel takes these from a process that could still gain privileges only if it has CAP_SYS_ADMIN (seccomp(2),
# landlock_restrict_self(2)).
_RESTRICTIONS = (Layer.SECCOMP, Layer.LANDLOCK, Layer.SCOPE)


def namespace_flags(layers: Collection[Layer]) -> int:
    """The flags for unshare(2) of the namespaces among `layers`."""
    return sum(flag for layer, flag in NAMESPACES.items() if layer in layers)


def unmet_dependency(layers: Collection[Layer]) -> str:
    """Which of these layers needs one that is not among them; "" if none does."""
    if Layer.CAPABILITIES in layers and Layer.NO_NEW_PRIVS not in layers:
        for layer in _RESTRICTIONS:
            if layer in layers:
                return f"{layer} with {Layer.CAPABILITIES} needs {Layer.NO_NEW_PRIVS} too"
    return ""


def join(layers: Iterable[Layer]) -> str:
    """Layers separated by commas, in the order of the enumeration; "none" for none."""
    chosen = set(layers)
    return ",".join(layer for layer in Layer if layer in chosen) or "none"


STRICT, AVAILABLE = "strict", "available"  # all, or as many as there are


def parse(text: str) -> str | frozenset[Layer]:
    """The layers that the administrator wants: STRICT, AVAILABLE, or exactly these.  Raises ValueError."""
    if text in (STRICT, AVAILABLE):
        return text
    try:
        chosen = split(text)
    except ValueError as error:
        raise ValueError(f"{error}; there are {', '.join(Layer)}") from None
    if reason := unmet_dependency(chosen):
        raise ValueError(reason)
    return chosen


def split(text: str) -> frozenset[Layer]:
    """The layers in a text as `join` makes it.  Raises ValueError naming one that does not exist."""
    return frozenset(Layer(name) for name in text.split(",")) if text != "none" else frozenset()
