"""What the stand-in for an engine tries, and which layers of the sandbox stop each act: docs/SECURITY.md shows it.

program/acts.c has the acts.  Each is a single step, to see what stops that: an attacker would combine them.
"""

from collections.abc import Collection, Iterable
from enum import Enum
from typing import NamedTuple

from ...policy.sandbox.layers import Layer

Layers = frozenset[Layer]


class Where(Enum):
    """Where an act is tried; as in program/acts.h."""

    ANYWHERE = "in engine and worker"
    FOR_GOOD = "in the engine, and in a worker with a filter; another might be a worker no more"
    ENGINE_ONLY = "in the engine"


class Act(NamedTuple):
    """One act: its name in the program, what it is, what stops it, and what does where that is no layer."""

    name: str
    what: str
    stopped_by: tuple[Layers, ...]  # each alone is enough
    where: Where = Where.ANYWHERE
    always_by: str = ""


def _by(*layers: Layer | Iterable[Layer]) -> tuple[Layers, ...]:
    return tuple(frozenset({one}) if isinstance(one, Layer) else frozenset(one) for one in layers)


USER, CAPABILITIES, NO_NEW_PRIVS, MOUNT, PID, IPC, UTS, CGROUP_NAMESPACE = (
    Layer.USER, Layer.CAPABILITIES, Layer.NO_NEW_PRIVS, Layer.MOUNT, Layer.PID, Layer.IPC, Layer.UTS,
    Layer.CGROUP_NAMESPACE,
)  # fmt: skip
ROOT, SECCOMP, LANDLOCK, SCOPE, MDWE, RLIMITS, CGROUP, FIREWALL = (
    Layer.ROOT, Layer.SECCOMP, Layer.LANDLOCK, Layer.SCOPE, Layer.MDWE, Layer.RLIMITS, Layer.CGROUP, Layer.FIREWALL,
)  # fmt: skip

NOT_DUMPABLE = "it is not dumpable"
MORE_CAPABLE = "it is not dumpable, and has capabilities that no session has"
CLOSED = "descriptors are closed before the engine is executed"

ACTS = (
    Act("read-passwd", "read /etc/passwd", _by(ROOT, LANDLOCK)),
    Act("read-home", "read a file of a user that everybody may read", _by(ROOT, LANDLOCK)),
    Act(
        "read-as-its-owner",
        "become its owner, and read one that only they may",
        _by(CAPABILITIES, ROOT, SECCOMP, LANDLOCK),
    ),
    Act("write-elsewhere", "make a file in a directory like /tmp", _by(ROOT, LANDLOCK)),
    Act("read-proc", "read the supervisor's files in /proc", _by(ROOT, LANDLOCK)),
    Act("read-session-file", "read another session's profile", _by(USER, MOUNT, LANDLOCK)),
    Act("find-group", "learn the service's place among the cgroups", _by(CGROUP_NAMESPACE, ROOT, LANDLOCK)),
    Act("learn-host-name", "learn this machine's name", _by(UTS)),
    Act("signal-session", "signal another session's engine: kill(2)", _by(USER, PID, SECCOMP, SCOPE)),
    Act("abort-session", "the same: tgkill(2) with SIGABRT", _by(USER, PID, SCOPE)),
    Act(
        "signal-supervisor",
        "become the service's user, and signal the supervisor",
        _by(CAPABILITIES, PID, SECCOMP, SCOPE),
    ),
    Act("signal-worker", "signal the own worker", _by(SECCOMP, SCOPE), Where.ENGINE_ONLY),
    Act("trace-session", "trace another session's engine: ptrace(2)", _by(USER, PID, SECCOMP, LANDLOCK, SCOPE)),
    Act("read-session-memory", "read its memory: process_vm_readv(2)", _by(USER, PID, SECCOMP, LANDLOCK, SCOPE)),
    Act("open-session-memory", "read its memory: /proc/PID/mem", _by(USER, ROOT, LANDLOCK, SCOPE)),
    Act("take-descriptor", "take a descriptor of it: pidfd_getfd(2)", _by(USER, PID, SECCOMP, LANDLOCK, SCOPE)),
    Act("bound-session", "ask for its bounds: prlimit(2)", _by(USER, PID, SECCOMP)),
    Act("read-worker-memory", "read the own worker's memory", (), Where.ENGINE_ONLY, NOT_DUMPABLE),
    Act(
        "read-supervisor-memory",
        "become the service's user, and read the supervisor's memory",
        (),
        always_by=MORE_CAPABLE,
    ),
    Act(
        "sample-supervisor",
        "have the kernel sample its stack: perf_event_open(2)",
        _by(CAPABILITIES, SECCOMP),
        Where.ENGINE_ONLY,
    ),
    Act("attach-shared-memory", "attach shared memory of this machine (System V)", _by(IPC, SECCOMP)),
    Act("connect-bus", "connect to the bus's socket", _by(ROOT)),
    Act("speak-on-bus", "become a user, and be let in by the bus", _by(CAPABILITIES, ROOT, SECCOMP)),
    Act("connect-abstract", "connect to an abstract Unix socket of others", _by(SCOPE)),
    Act("connect-loopback", "connect to a service at 127.0.0.1", _by(FIREWALL)),
    Act("serve-others", "wait for connections at 127.0.0.1", _by(SECCOMP)),
    Act("other-family", "make a socket of another family than Unix, IPv4, IPv6, netlink", _by(SECCOMP)),
    Act("other-netlink", "make a netlink socket that is not for routing", _by(SECCOMP)),
    Act("attach-device", "attach another session's tun", _by(USER)),
    Act("mount", "mount a file system", _by(CAPABILITIES, SECCOMP, LANDLOCK)),
    Act("execute-program", "execute /usr/bin/true", _by(ROOT, SECCOMP, LANDLOCK), Where.FOR_GOOD),
    Act("execute-loader", "execute the dynamic loader, which can run what it is given", _by(SECCOMP), Where.FOR_GOOD),
    Act(
        "execute-set-user-id",
        "execute a set-user-ID program",
        _by(NO_NEW_PRIVS, ROOT, SECCOMP, LANDLOCK),
        Where.FOR_GOOD,
    ),
    Act("execute-memory", "execute a program in memory: memfd_create(2)", _by(SECCOMP), Where.FOR_GOOD),
    Act("map-executable", "map memory that is writable and executable", _by(SECCOMP, MDWE)),
    Act("make-executable", "make memory executable that was writable", _by(SECCOMP, MDWE)),
    Act("handle-faults", "handle its own page faults: userfaultfd(2)", _by(SECCOMP)),
    Act("fork-many", "fork 12 processes", _by(SECCOMP, (CAPABILITIES, RLIMITS), CGROUP), Where.FOR_GOOD),
    Act("fill-memory", "use 208 MB of memory", _by(RLIMITS, CGROUP), Where.FOR_GOOD),
    Act("write-large-file", "write a file of 9 MB", _by(RLIMITS)),
    Act("fill-directory", "write 21 MB into the private directory", _by(MOUNT)),
    Act("open-many", "open a file 100 times", _by(RLIMITS)),
    Act("find-descriptors", "use a descriptor of its worker's", (), Where.ENGINE_ONLY, CLOSED),
    Act("new-network", "enter a new network namespace", _by(CAPABILITIES, SECCOMP)),
    Act("become-root", "become user 0", _by(CAPABILITIES, SECCOMP)),
    Act("new-user-namespace", "enter a new user namespace", _by(SECCOMP)),
)


# What the filter of a worker, which serves its engine, still admits; all other calls that the acts make it does not.
WORKER_MAY = ("abort-session", "fill-memory")


def stopped_in_engine(act: Act, layers: Collection[Layer]) -> bool:
    """Whether something stops the act where these layers are on."""
    return bool(act.always_by) or any(enough <= set(layers) for enough in act.stopped_by)


def stopped_in_worker(act: Act, layers: Collection[Layer]) -> bool:
    """The same in a worker that serves."""
    return stopped_in_engine(act, layers) or (SECCOMP in layers and act.name not in WORKER_MAY)


def row(act: Act) -> str:
    """The act as a line of the table in docs/SECURITY.md."""
    enough = [" with ".join(f"`{layer}`" for layer in Layer if layer in one) for one in act.stopped_by]
    where = "" if act.where is not Where.ENGINE_ONLY else " (engine)"
    return f"| {act.what}{where} | {act.always_by or ', '.join(enough)} |"
