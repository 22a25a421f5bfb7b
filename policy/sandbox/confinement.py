"""Capabilities, resource limits and files of each kind of process, one row each with its reason.

Sources: capabilities(7), setrlimit(2), landlock(7), the kernel's cgroup-v2.rst.  System calls are in system_calls.py,
the names of the layers in layers.py.
"""

from typing import NamedTuple

# Capability names as python-prctl spells them.
SUPERVISOR_CAPABILITIES = {
    "net_admin": "tun devices, addresses, routes",
    "kill": "signals to workers and engines, which have user ids of their own",
}

SPAWNER_CAPABILITIES = {
    "sys_admin": "namespaces and the private tmpfs of each worker",
    "setuid": "becoming the session's user",
    "setgid": "becoming the session's group, giving up supplementary groups",
    "setpcap": "emptying the worker's bounding set",
}

# The capabilities that root needs to start the service.  It makes its directories as its own account; only if that is
# not permitted, root makes them and changes their owner, which also takes CAP_CHOWN.
START_CAPABILITIES = {**SUPERVISOR_CAPABILITIES, **SPAWNER_CAPABILITIES}

# It does without these, which the start gives up as well.
OPTIONAL_CAPABILITIES = {
    "mknod": "device nodes for supervisor and sessions, on a host whose own /dev/net/tun is not for everybody",
}

# setrlimit(2) of workers and their engines: RLIMIT_ name, bound, reason.
_MB = 1024 * 1024
WORKER_RLIMITS = (
    ("CORE", 0, "a core file would hold keys"),
    ("NOFILE", 64, "a handful of sockets, the device, the profile"),
    ("NPROC", 8, "the worker and its engine, or the compiler of its profile; counts all of the session's user id"),
    ("FSIZE", 8 * _MB, "the profile is the largest file it writes"),
    ("DATA", 192 * _MB, "compiling the largest profile takes a third of that"),
    ("AS", 512 * _MB, "address space that is only reserved; system_calls.py relies on its being small"),
    ("MEMLOCK", 0, "nothing is locked; mlock is not allowed in profiles"),
    ("MSGQUEUE", 0, "no message queues"),
)

# Of all sessions together, as nice(1) means it: three times the weight of a login session, so that a busy machine still
# sends and receives.  CPUWeight= of the unit is the same.
SESSIONS_NICE = -5

HELPER_RLIMITS = (("CORE", 0, "a helper's memory has data of sessions"),)

# Files of cgroup v2 for each session as a whole: controller, file, bound, reason (the kernel's cgroup-v2.rst).
CGROUP_BOUNDS = (
    ("memory", "memory.max", 192 * _MB, "worker, engine and their private directory"),
    ("memory", "memory.swap.max", 0, "keys are not written to disk"),
    ("pids", "pids.max", 8, "as NPROC, but nobody else's processes count"),
)


class Files(NamedTuple):
    """What Landlock lets a process do below a path; the words are those of kernel/landlock.py."""

    rights: str
    reason: str


# Landlock's rules for workers and their engines, by path in the workers' root directory.  "ENGINE", "LOADER",
# "PROVIDERS" and "PRIVATE" stand for the engine's program, the dynamic loaders, the files of the session's PKCS#11
# providers, and the session's private directory.
WORKER_FILES = {
    "/usr": Files("read list", "libraries of the engine"),
    # One by one, since this is the host's directory where there is no root directory of the workers' own.
    "/etc/nsswitch.conf": Files("read", "where names are looked up"),
    "/etc/hosts": Files("read", "addresses of names"),
    "/etc/resolv.conf": Files("read", "name servers, where the host's root directory is seen"),
    "/etc/ld.so.cache": Files("read", "where libraries are"),
    "/etc/ssl/openssl.cnf": Files("read", "settings of OpenSSL"),
    "ENGINE": Files("read execute", "the engine; the worker executes nothing else"),
    "LOADER": Files("read execute", "what the kernel executes to load the engine's libraries"),
    "PROVIDERS": Files("read list", "modules (loaded, not executed), their configuration and tokens"),
    "/dev/null": Files("read write truncate", "standard input and output"),
    "/dev/random": Files("read", "random numbers"),
    "/dev/urandom": Files("read", "random numbers"),
    "/dev/net/tun": Files("read write device", "the session's device"),
    "PRIVATE": Files("read list write truncate make remove", "profile, hosts file, management socket, temporary files"),
}

# The resolver may read all files that its modules need, and write none.
RESOLVER_FILES = {
    "/": Files("read list", "resolv.conf, modules of the name service and their files"),
    "/dev/null": Files("read write truncate", "standard input and output"),
}

# The name setter where it writes resolv.conf itself: that file, wherever it is, and no other.
NAME_SETTER_FILES = {
    "/": Files("read list", "modules of Python"),
    "/dev/null": Files("read write truncate", "standard input and output"),
    "/etc/resolv.conf": Files("read write truncate", "name servers"),
}
