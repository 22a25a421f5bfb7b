"""The system calls that each kind of process may make, with conditions on arguments, and a reason in every row.

What no row admits fails with EPERM; clone3(2) fails with ENOSYS, so that the C library uses clone(2), whose flags a
filter can see.  A filter also applies to all that its process forks: the spawner's admits what workers and engines do,
and each of those adds a stricter one.  Strings are compared by address, see pinned_strings.py.

Numbers are the kernel's, the same on all 64-bit architectures but for the order of clone(2)'s arguments on s390x.
"""

import os
from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from . import pinned_strings
from .layers import Layer, namespace_flags


class Comparison(StrEnum):
    """How an argument is compared with a value."""

    EQUAL = "equal"
    BELOW = "below"
    ABOVE = "above"
    AT_LEAST = "at least"
    MASKED = "equal after masking"


class Condition(NamedTuple):
    """On one argument, counted from 0."""

    argument: int
    comparison: Comparison
    value: int
    mask: int = 0


class Row(NamedTuple):
    """Calls (names separated by blanks) to which all of the conditions apply, and why they are in the table."""

    calls: str
    reason: str
    conditions: tuple[Condition, ...] = ()


class Table(NamedTuple):
    """A filter: what it admits, and what it refuses of that."""

    admitted: tuple[Row, ...]
    refused: tuple[Row, ...] = ()


def _equal(argument: int, value: int) -> tuple[Condition, ...]:
    return (Condition(argument, Comparison.EQUAL, value),)


def _none_of(argument: int, bits: int) -> tuple[Condition, ...]:
    """No bit of `bits` is set."""
    return (Condition(argument, Comparison.MASKED, 0, bits),)


def _each(calls: str, reason: str, argument: int, values: Collection[int]) -> tuple[Row, ...]:
    return tuple(Row(calls, reason, _equal(argument, value)) for value in values)


# --- constants (from the kernel's uapi headers) ---

_PROT_WRITE, _PROT_EXEC = 2, 4
_MAP_ANONYMOUS = 0x20
_MREMAP_FIXED = 2
_CLONE_FLAGS = 1 if os.uname().machine == "s390x" else 0  # the argument
_CLONE_NEW_NAMESPACES = 0x7E020080
_CLONE_UNTRACED = 0x00800000
_SIGKILL, _SIGABRT = 9, 6
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_SOCK_STREAM, _SOCK_DGRAM, _SOCK_RAW, _SOCK_TYPE = 1, 2, 3, 0xF
_F_SAFE = (1, 2, 3, 4, 1030)  # F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC: none sends signals
_FIONBIO, _FIONREAD, _FIOCLEX, _TCGETS, _TIOCGWINSZ = 0x5421, 0x541B, 0x5451, 0x5401, 0x5413
_MS_PRIVATE_DIRECTORY = 0x2 | 0x4 | 0x8  # MS_NOSUID, MS_NODEV, MS_NOEXEC
_MS_BIND = 0x1000
_MS_READ_ONLY = _MS_BIND | 0x20 | 0x1 | 0x2 | 0x4  # MS_REMOUNT, MS_RDONLY, MS_NOSUID, MS_NODEV
_MNT_DETACH = 0x2
_F_LOCKS = (6, 7)  # F_SETLK, F_SETLKW
# CLONE_VM, _FS, _FILES, _SIGHAND, _THREAD, _SYSVSEM, _SETTLS, _PARENT_SETTID, _CHILD_CLEARTID: the C library's threads.
_CLONE_THREAD = 0x3D0F00
_O_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_TUN_REQUESTS = (
    0x400454CA,  # TUNSETIFF
    0x800454CF,  # TUNGETFEATURES
    0x800454D2,  # TUNGETIFF
)
_INTERFACE_QUERIES = (
    0x8910,  # SIOCGIFNAME
    0x8912,  # SIOCGIFCONF
    0x8913,  # SIOCGIFFLAGS
    0x8915,  # SIOCGIFADDR
    0x891B,  # SIOCGIFNETMASK
    0x8921,  # SIOCGIFMTU
    0x8927,  # SIOCGIFHWADDR
    0x8933,  # SIOCGIFINDEX
)

# prctl(2): options that say something of the process itself.
_PR_QUERIES = (
    3,  # PR_GET_DUMPABLE
    7,  # PR_GET_KEEPCAPS
    16,  # PR_GET_NAME
    21,  # PR_GET_SECCOMP
    23,  # PR_CAPBSET_READ
    27,  # PR_GET_SECUREBITS
    39,  # PR_GET_NO_NEW_PRIVS
    66,  # PR_GET_MDWE
)
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_VMA = 1, 15, 0x53564D41
_PR_CONFINING = (
    1,  # PR_SET_PDEATHSIG
    4,  # PR_SET_DUMPABLE
    8,  # PR_SET_KEEPCAPS
    22,  # PR_SET_SECCOMP
    24,  # PR_CAPBSET_DROP
    38,  # PR_SET_NO_NEW_PRIVS
    47,  # PR_CAP_AMBIENT
    65,  # PR_SET_MDWE
)


# --- what every process does ---

_ANY_PROCESS = (
    Row("read readv pread64 write writev pwrite64 close lseek", "descriptors that it has"),
    Row("brk munmap madvise", "memory of its own"),
    Row("mmap", "memory that is not executable", (*_none_of(2, _PROT_EXEC), *_equal(0, 0))),
    Row("mmap", "the same, in a place of the program's choice", (
        *_none_of(2, _PROT_EXEC), Condition(0, Comparison.AT_LEAST, pinned_strings.FLOOR))),
    Row("mremap", "memory of its own, grown; not over other memory", _none_of(3, _MREMAP_FIXED)),
    Row("mprotect", "memory of its own, never made executable", _none_of(2, _PROT_EXEC)),
    Row("futex set_robust_list rseq membarrier sched_yield", "locks of the C library"),
    Row("rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall", "signals that it gets"),
    *_each("tgkill", "abort(3)", 2, (_SIGABRT,)),
    Row("getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid", "who it is"),
    Row("exit exit_group", "its end"),
    Row("clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time", "the time"),
    Row("getrandom", "random numbers"),
    Row("poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2", "waiting for events"),
    *_each("fcntl", "flags of its descriptors", 1, _F_SAFE),
    Row("fstat fstatfs", "what its descriptors are"),
    *_each("ioctl", "descriptors that do not block, or do", 1, (_FIONBIO, _FIONREAD, _FIOCLEX)),
    Row("sendto recvfrom sendmsg recvmsg shutdown", "sockets that it has"),
    Row("getsockopt setsockopt getsockname getpeername", "what its sockets are"),
    *_each("prctl", "names of its own memory (glibc)", 0, (_PR_SET_VMA,)),
)  # fmt: skip

_LOADS_PROGRAMS = (
    Row("mmap", "code of libraries, from files", (
        Condition(2, Comparison.MASKED, _PROT_EXEC, _PROT_WRITE | _PROT_EXEC), *_none_of(3, _MAP_ANONYMOUS),
        Condition(0, Comparison.AT_LEAST, pinned_strings.FLOOR))),
    Row("mmap", "the same, wherever there is room", (
        Condition(2, Comparison.MASKED, _PROT_EXEC, _PROT_WRITE | _PROT_EXEC), *_none_of(3, _MAP_ANONYMOUS),
        *_equal(0, 0))),
    Row("arch_prctl set_tid_address", "start of a program"),
    Row("getrlimit", "its bounds"),
    Row("prlimit64", "its own bounds, which only go down", _equal(0, 0)),
    Row("uname sysinfo sched_getaffinity getcpu getrusage", "what machine it is on"),
)  # fmt: skip

_READS_FILES = (
    Row("stat lstat newfstatat statx access faccessat faccessat2 readlink readlinkat", "looking for files"),
    Row("getdents64 getcwd statfs", "looking for files"),
)

_SOCKETS = (
    *(
        Row("socket", reason, (*_equal(0, domain), Condition(1, Comparison.MASKED, kind, _SOCK_TYPE)))
        for domain, reason in ((_AF_UNIX, "the management interface"), (_AF_INET, "IPv4"), (_AF_INET6, "IPv6"))
        for kind in (_SOCK_STREAM, _SOCK_DGRAM)
    ),
    *(
        Row("socket", "what addresses this machine has (NETLINK_ROUTE)", (
            *_equal(0, _AF_NETLINK), *_equal(2, 0), Condition(1, Comparison.MASKED, kind, _SOCK_TYPE)))
        for kind in (_SOCK_RAW, _SOCK_DGRAM)
    ),
    Row("connect bind sendmmsg recvmmsg", "the server; what it knows of itself"),
)  # fmt: skip


# --- one table for each kind of process ---

ENGINE = Table((
    *_ANY_PROCESS,
    *_LOADS_PROGRAMS,
    *_READS_FILES,
    *_SOCKETS,
    *_each("execve", "becoming the engine; elsewhere nothing is at this address", 0, (pinned_strings.ENGINE,)),
    Row("open openat", "libraries, the profile, its device; Landlock and the root directory say which"),
    Row("unlink unlinkat umask", "its temporary files"),
    Row("dup dup2 dup3 pipe pipe2", "its descriptors"),
    *_each("ioctl", "its device: a tun belongs to one user", 1, _TUN_REQUESTS),
    *_each("ioctl", "the interface of the default route", 1, _INTERFACE_QUERIES),
    *_each("ioctl", "whether its output is a terminal", 1, (_TCGETS, _TIOCGWINSZ)),
    *_each("prctl", "what privileges it has (libcap-ng)", 0, (*_PR_QUERIES, 47)),
    *_each("prctl", "its name", 0, (_PR_SET_NAME,)),
    Row("capget", "what privileges it has (libcap-ng)"),
))  # fmt: skip

# Of a session that uses PKCS#11 providers, whose modules the engine loads; the paths are those of the providers that
# the session is shown (worker/sandbox/pkcs11_providers.py).
_MODULES = (
    *_each("fcntl", "locks on files of tokens (SoftHSM)", 1, _F_LOCKS),
    # Not sched_setattr(2): GLib starts one thread more where it cannot have threads scheduled as it likes.
    *_each("clone", "threads of OpenSC (GLib)", _CLONE_FLAGS, (_CLONE_THREAD,)),
    Row("eventfd2", "how these are woken"),
)  # fmt: skip

PKCS11_ENGINE = Table((*ENGINE.admitted, *_MODULES))

# From the moment on that it has accepted the engine's management connection.
WORKER = Table((
    *_ANY_PROCESS,
    Row("ftruncate", "the engine's hosts file, which is held open"),
    Row("wait4 waitid pidfd_send_signal", "its engine"),
    Row("accept4", "the next supervisor, when its own is gone"),
    *_each("prctl", "read-back of what confines it", 0, _PR_QUERIES),
))  # fmt: skip

RESOLVER = Table((
    *_ANY_PROCESS,
    *_LOADS_PROGRAMS,
    *_READS_FILES,
    *_SOCKETS,
    Row("openat", "resolv.conf, modules of the name service; nothing is written", _none_of(2, _O_CHANGES)),
    Row("open", "the same", _none_of(1, _O_CHANGES)),
    Row("clone", "a process for each look-up", _none_of(_CLONE_FLAGS, _CLONE_NEW_NAMESPACES | _CLONE_UNTRACED)),
    Row("fork vfork wait4 waitid pipe2", "a process for each look-up"),
    *_each("kill", "a look-up that is cancelled", 1, (_SIGKILL,)),
    Row("pidfd_open pidfd_send_signal", "keeper and serving process, each of which watches the other"),
    Row("dup dup2 dup3 socketpair eventfd2 timerfd_create timerfd_settime", "modules of the name service"),
    *_each("ioctl", "Python asks each file that it reads whether it is a terminal", 1, (_TCGETS,)),
    *_each("prctl", "modules of the name service", 0, (*_PR_QUERIES, _PR_SET_NAME)),
    *_each("prctl", "one that is stopped goes on when its keeper ends", 0, (_PR_SET_PDEATHSIG,)),
))  # fmt: skip


# The name setter's, where it writes resolv.conf itself; what it executes otherwise is the administrator's own.
NAME_SETTER = Table((
    *_ANY_PROCESS,
    *_LOADS_PROGRAMS,
    *_READS_FILES,
    Row("open openat ftruncate", "resolv.conf; Landlock says which file"),
    *_each("ioctl", "Python asks each file that it reads whether it is a terminal", 1, (_TCGETS,)),
    *_each("prctl", "read-back of what confines it", 0, _PR_QUERIES),
))  # fmt: skip


def spawner(layers: Collection[Layer], uids: range, provider_groups: int | None = None) -> Table:
    """The spawner's, when its template is built: its own, its workers' until they load theirs, the engine's.

    `uids` are the ids that a process may become.  `provider_groups` is how many groups a worker may join for PKCS#11
    providers; None where there is no provider.
    """
    mount = (
        Condition(1, Comparison.EQUAL, pinned_strings.PRIVATE),
        Condition(2, Comparison.EQUAL, pinned_strings.TMPFS),
        Condition(3, Comparison.EQUAL, _MS_PRIVATE_DIRECTORY),
    )
    own = (
        Row("clone", "a process for each worker, compiler of a profile, and engine",
            _none_of(_CLONE_FLAGS, _CLONE_NEW_NAMESPACES | _CLONE_UNTRACED)),
        Row("fork vfork", "the same"),
        Row("unshare", "the namespaces of a worker, all at once", _equal(0, namespace_flags(layers))),
        Row("mount", "a worker's private directory, and nothing else", mount),
        Row("sethostname", "a worker's host name; in the namespace of its own"),
        Row("setpgid", "a worker's process group", (*_equal(0, 0), *_equal(1, 0))),
        Row("setgroups", "giving up supplementary groups", _equal(0, 0)),
        *(() if provider_groups is None else _shows_providers(provider_groups)),
        Row("getgroups getpgrp getpgid", "read-back"),
        Row("setresuid setresgid", "becoming a session's user, see below"),
        Row("capset", "giving up capabilities"),
        Row("setrlimit", "a worker's bounds"),
        *_each("prctl", "giving up privileges", 0, _PR_CONFINING),
        Row("seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self", "further confinement"),
        Row("pidfd_open", "a handle of each worker and engine, for whoever ends it"),
        Row("signalfd4", "a worker learns that its engine is stopped"),
        Row("mkdir mkdirat", "a cgroup for each session"),
        Row("listen accept4", "the engine's management connection, and the next supervisor's"),
        Row("chmod fchmod fchmodat close_range", "the files of a worker, and its descriptors"),
    )  # fmt: skip
    outside = tuple(
        Row("setresuid setresgid", "ids of others, root's above all", (Condition(argument, comparison, bound),))
        for argument in range(3)
        for comparison, bound in ((Comparison.BELOW, uids.start), (Comparison.ABOVE, uids.stop - 1))
    )
    page = Condition(0, Comparison.MASKED, pinned_strings.AT, 2**64 - pinned_strings.SIZE)
    relied_on = Row("mprotect", "the pinned strings, which the filters rely on", (page,))
    return Table((*own, *ENGINE.admitted, *WORKER.admitted), (*outside, relied_on))


def _shows_providers(groups: int) -> tuple[Row, ...]:
    """The calls that show a worker the files of its PKCS#11 providers, and those of modules in engines."""
    to_place = Condition(1, Comparison.MASKED, pinned_strings.PATHS, 2**64 - pinned_strings.PATHS_SIZE)
    from_stage = Condition(0, Comparison.MASKED, pinned_strings.PATHS, 2**64 - pinned_strings.PATHS_SIZE)
    return (
        Row("mount", "a file of a provider in its place, both paths as the administrator lists them",
            (from_stage, to_place, Condition(3, Comparison.EQUAL, _MS_BIND))),
        Row("mount", "the same made read-only", (to_place, Condition(3, Comparison.EQUAL, _MS_READ_ONLY))),
        Row("umount2", "the files of all providers", (*_equal(0, pinned_strings.STAGE), *_equal(1, _MNT_DETACH))),
        *_each("setgroups", "groups of providers; a filter sees how many, not which", 0, range(1, groups + 1)),
        *_MODULES,
    )  # fmt: skip
