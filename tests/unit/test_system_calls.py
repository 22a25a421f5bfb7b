"""The tables of system calls, and filters built from them: loaded in a process of their own, and tried."""

import ctypes
import errno
import fcntl
import functools
import importlib.util
import mmap
import os
import socket
import threading
from collections.abc import Callable

import prctl
import pytest

from ...kernel import process
from ...policy.sandbox import pinned_strings as strings
from ...policy.sandbox import system_calls
from ...policy.sandbox.layers import ALL, NAMESPACES, namespace_flags
from ...policy.sandbox.system_calls import Row, Table
from ...supervisor.sandbox import filters
from ..support.skipping import cannot_run_here

UIDS = range(60707, 61184)
SPAWNER = system_calls.spawner(ALL, UIDS)
WITH_PROVIDERS = system_calls.spawner(ALL, UIDS, 2)
TABLES = {
    "spawner": SPAWNER,
    "spawner with providers": WITH_PROVIDERS,
    "worker": system_calls.WORKER,
    "engine": system_calls.ENGINE,
    "token engine": system_calls.PKCS11_ENGINE,
    "resolver": system_calls.RESOLVER,
    "name setter": system_calls.NAME_SETTER,
}

SPAWNERS, ENGINES = {"spawner", "spawner with providers"}, {"engine", "token engine"}

# What nothing of ours does, and much of what a kernel can be attacked by.
NEVER = [
    "acct",
    "add_key",
    "bpf",
    "chroot",
    "create_module",
    "delete_module",
    "finit_module",
    "fsconfig",
    "fsmount",
    "fsopen",
    "init_module",
    "io_uring_enter",
    "io_uring_setup",
    "ioperm",
    "iopl",
    "kcmp",
    "kexec_file_load",
    "kexec_load",
    "keyctl",
    "memfd_create",
    "mknod",
    "mknodat",
    "mount_setattr",
    "move_mount",
    "move_pages",
    "msgget",
    "name_to_handle_at",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "personality",
    "pidfd_getfd",
    "pivot_root",
    "pkey_mprotect",
    "process_madvise",
    "process_vm_readv",
    "process_vm_writev",
    "ptrace",
    "quotactl",
    "reboot",
    "request_key",
    "semget",
    "setdomainname",
    "setns",
    "shmat",
    "shmget",
    "swapoff",
    "swapon",
    "syslog",
    "umount2",
    "userfaultfd",
    "vmsplice",
]
NOT_AFTER_THE_START = [
    "clone",
    "clone3",
    "connect",
    "execve",
    "execveat",
    "fork",
    "open",
    "openat",
    "socket",
    "unlink",
    "vfork",
    "accept",
    "bind",
]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_ssize_t
PAGE = mmap.PAGESIZE
ANONYMOUS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
READ, WRITE, EXECUTE = mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC


def calls_of(table: Table) -> set[str]:
    return {call for row in table.admitted for call in row.calls.split()}


def outcome(name: str, act: Callable[[], object]) -> str:
    """What an act ends with in a process that has the filters of a table: the name of an errno, or "done"."""
    programs = filters.build(TABLES[name])
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        said = "died"
        try:
            prctl.set_no_new_privs(1)
            for program in programs:
                process.load_filter(program)
            act()
            said = "done"
        except OSError as error:
            said = errno.errorcode[error.errno or 0]
        finally:
            os.write(write_end, said.encode())
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def call(function: str, *arguments: object) -> Callable[[], object]:
    """A call of the C library that fails with -1."""

    def act() -> None:
        if getattr(_libc, function)(*arguments) == -1:
            raise OSError(ctypes.get_errno(), function)

    return act


def mapping(protection: int, flags: int = ANONYMOUS, address: int = 0, descriptor: int = -1) -> Callable[[], object]:
    size, offset = ctypes.c_size_t(PAGE), ctypes.c_long(0)
    return call("mmap", ctypes.c_void_p(address), size, protection, flags, descriptor, offset)


def thread() -> None:
    """A thread of the C library, which asks for clone3(2) first; OSError if there is none."""
    try:
        started = threading.Thread(target=int)
        started.start()
    except RuntimeError:
        raise PermissionError(errno.EPERM, "clone") from None
    started.join()


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_a_reason_and_can_be_built(name: str) -> None:
    rows = (*TABLES[name].admitted, *TABLES[name].refused)
    for row in rows:
        assert row.reason
        arguments = [one.argument for one in row.conditions]
        assert len(set(arguments)) == len(arguments), row  # libseccomp takes one condition on each
    never = set(NEVER) - ({"umount2"} if name == "spawner with providers" else set())
    assert not calls_of(TABLES[name]) & never
    assert [len(program) % 8 for program in filters.build(TABLES[name])] == [0] * (1 + bool(TABLES[name].refused))


def test_the_worker_is_given_least() -> None:
    assert not calls_of(system_calls.WORKER) & set(NOT_AFTER_THE_START)
    # A filter binds what its process forks: the spawner's must not be in the way of the others'.
    for table in (system_calls.WORKER, system_calls.ENGINE):
        assert set(table.admitted) <= set(SPAWNER.admitted)
    assert set(system_calls.PKCS11_ENGINE.admitted) <= set(WITH_PROVIDERS.admitted)


def test_an_unknown_call_is_an_error() -> None:
    with pytest.raises(filters.CannotBuild, match="the rule for opne: "):
        filters.build(Table((Row("opne", "a slip"),)))


def test_both_bindings_make_the_same() -> None:
    for name in ("seccomp", "pyseccomp"):
        if not importlib.util.find_spec(name):
            cannot_run_here(f"there is no Python module {name}")
    built = []
    for name in ("seccomp", "pyseccomp"):
        filters_of = pytest.MonkeyPatch()
        filters_of.setattr(filters, "_BINDINGS", (name,))
        built.append([filters.build(table) for table in TABLES.values()])
        filters_of.undo()
    assert built[0] == built[1]


@pytest.mark.parametrize("name", TABLES)
def test_what_every_process_may_do(name: str) -> None:
    assert outcome(name, mapping(READ | WRITE)) == "done"
    assert outcome(name, os.getpid) == "done"


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    ("act", "ends"),
    [
        pytest.param(mapping(READ | EXECUTE), "EPERM", id="executable memory"),
        pytest.param(mapping(READ | WRITE | EXECUTE), "EPERM", id="writable and executable memory"),
        pytest.param(mapping(READ, address=strings.AT), "EPERM", id="memory where the texts are"),
        pytest.param(mapping(READ, address=strings.FLOOR - PAGE), "EPERM", id="memory below the floor"),
        pytest.param(call("mprotect", ctypes.c_void_p(strings.AT), PAGE, READ | EXECUTE), "EPERM", id="mprotect"),
        pytest.param(call("syscall", 435, 0, 0), "ENOSYS", id="clone3"),
        pytest.param(call("ptrace", 0, 0, 0, 0), "EPERM", id="ptrace"),
        pytest.param(call("unshare", 0x10000000), "EPERM", id="user namespace"),
        pytest.param(call("kill", os.getppid(), 15), "EPERM", id="signal"),
        pytest.param(call("tgkill", 1, 1, 15), "EPERM", id="signal to a thread"),
        pytest.param(call("prctl", 31, 0, 0, 0, 0), "EPERM", id="prctl"),
        pytest.param(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW), "EPERM", id="packet socket"),
        pytest.param(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1), "EPERM", id="raw socket"),
        pytest.param(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12), "EPERM", id="nf_tables"),
        pytest.param(lambda: socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM), "EPERM", id="vsock"),
        pytest.param(lambda: fcntl.ioctl(0, 0x5412, b"x"), "EPERM", id="TIOCSTI"),
        pytest.param(lambda: fcntl.fcntl(0, 8, os.getppid()), "EPERM", id="F_SETOWN"),
        pytest.param(lambda: os.execv("/bin/true", ["true"]), "EPERM", id="another program"),
        pytest.param(lambda: os.memfd_create("x"), "EPERM", id="memfd"),
        pytest.param(lambda: os.mkfifo("/tmp/never"), "EPERM", id="fifo"),
    ],
)
def test_what_no_process_may_do(name: str, act: Callable[[], object], ends: str) -> None:
    assert outcome(name, act) == ends


@pytest.mark.parametrize(
    ("act", "admitted_to"),
    [
        pytest.param(lambda: os.open("/dev/null", os.O_RDONLY),
                     SPAWNERS | ENGINES | {"resolver", "name setter"}, id="open"),
        pytest.param(lambda: os.open("/dev/null", os.O_RDWR), SPAWNERS | ENGINES | {"name setter"}, id="open to write"),
        pytest.param(
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), SPAWNERS | ENGINES | {"resolver"}, id="socket"
        ),
        pytest.param(lambda: os.fork() or os._exit(0), SPAWNERS | {"resolver"}, id="fork"),
        pytest.param(lambda: os.setresuid(-1, -1, -1), set(), id="setresuid to none"),
        pytest.param(call("sched_getaffinity", 0, 8, ctypes.create_string_buffer(8)),
                     SPAWNERS | ENGINES | {"resolver", "name setter"}, id="affinity"),
        pytest.param(lambda: fcntl.lockf(os.open("/dev/null", os.O_RDWR), fcntl.LOCK_EX),
                     {"spawner with providers", "token engine"}, id="lock"),
        pytest.param(thread, SPAWNERS | {"resolver", "token engine"}, id="thread"),
        pytest.param(lambda: os.eventfd(0), {"spawner with providers", "token engine", "resolver"}, id="eventfd"),
    ],
)  # fmt: skip
def test_who_may_what(act: Callable[[], object], admitted_to: set[str]) -> None:
    assert {name for name in TABLES if outcome(name, act) == "done"} == admitted_to


@pytest.mark.parametrize("act", [call("setresuid", *ids) for ids in ((0, 0, 0), (60707, 0, 60707), (61184,) * 3)])
def test_the_spawner_becomes_sessions_only(act: Callable[[], object]) -> None:
    """As root, who could otherwise."""
    assert outcome("spawner", act) == "EPERM"


def test_the_spawner_may_become_a_session() -> None:
    wanted = "done" if os.geteuid() == 0 else "EPERM"
    assert outcome("spawner", call("setresuid", *[UIDS.start] * 3)) == wanted
    assert outcome("spawner", call("setresuid", *[UIDS.stop - 1] * 3)) == wanted


def test_the_spawner_mounts_its_own_kind_only() -> None:
    """At the right addresses the kernel itself looks, and finds nothing there: EFAULT, or EPERM without privileges."""
    right = (
        b"x",
        ctypes.c_void_p(strings.PRIVATE),
        ctypes.c_void_p(strings.TMPFS),
        ctypes.c_ulong(14),
        None,
    )
    assert outcome("spawner", call("mount", *right)) == "EFAULT"
    for index, other in ((1, b"/mnt"), (2, b"proc"), (3, ctypes.c_ulong(0))):
        assert outcome("spawner", call("mount", *right[:index], other, *right[index + 1 :])) == "EPERM"


# mount(2)'s flags of a bind mount, and of making one read-only.
BIND, READ_ONLY = 0x1000, 0x1000 | 0x20 | 0x1 | 0x2 | 0x4


def test_the_spawner_binds_listed_paths_only() -> None:
    """As above; what is admitted ends in the kernel, which finds nothing at the addresses."""
    listed, last = (
        ctypes.c_void_p(strings.PATHS),
        ctypes.c_void_p(strings.PATHS + strings.PATHS_SIZE - 1),
    )
    beyond = ctypes.c_void_p(strings.PATHS + strings.PATHS_SIZE)
    for source, target, flags, wanted in (
        (listed, last, BIND, "EFAULT"),
        (listed, beyond, BIND, "EPERM"),
        (beyond, listed, BIND, "EPERM"),
        (ctypes.c_void_p(strings.PRIVATE), listed, BIND, "EPERM"),
        (listed, ctypes.c_void_p(strings.PRIVATE), BIND, "EPERM"),
        (b"/usr", listed, BIND, "EPERM"),
        (listed, b"/mnt", BIND, "EPERM"),
        (listed, listed, BIND | 0x4000, "EPERM"),  # MS_REC
        (None, listed, READ_ONLY, "EFAULT"),
        (None, b"/mnt", READ_ONLY, "EPERM"),
        (None, listed, READ_ONLY & ~0x1, "EPERM"),  # not read-only any more
        (None, listed, READ_ONLY & ~0x2, "EPERM"),  # with set-uid programs
    ):
        act = call("mount", source, target, None, ctypes.c_ulong(flags), None)
        assert outcome("spawner with providers", act) == wanted, (source, target, flags)
        assert outcome("spawner", act) == "EPERM"


def test_the_spawner_detaches_the_stage_only() -> None:
    stage = ctypes.c_void_p(strings.STAGE)
    assert outcome("spawner with providers", call("umount2", stage, 2)) == "EFAULT"
    for target, flags in ((stage, 0), (b"/proc", 2), (ctypes.c_void_p(strings.PATHS), 2)):
        assert outcome("spawner with providers", call("umount2", target, flags)) == "EPERM"


def test_the_spawner_joins_no_more_groups_than_are_listed() -> None:
    may = "done" if os.geteuid() == 0 else "EPERM"
    for name, most in (("spawner", 0), ("spawner with providers", 2)):
        for count in range(4):
            wanted = may if count <= most else "EPERM"
            assert outcome(name, functools.partial(os.setgroups, [65533] * count)) == wanted, (name, count)


def test_the_engine_becomes_one_program() -> None:
    at_the_text = call("execve", ctypes.c_void_p(strings.ENGINE), None, None)
    assert outcome("engine", at_the_text) == "EFAULT"  # where nothing is mapped
    assert outcome("engine", call("execve", b"/bin/true", None, None)) == "EPERM"


def test_the_texts_cannot_be_made_writable() -> None:
    make_writable = call("mprotect", ctypes.c_void_p(strings.AT), PAGE, READ | WRITE)
    assert outcome("spawner", make_writable) == "EPERM"
    assert outcome("engine", make_writable) == "ENOMEM"  # it has none


def test_the_namespaces_of_the_spawner_are_those_of_the_layers() -> None:
    flags = namespace_flags(ALL)
    assert flags.bit_count() == len(NAMESPACES)
    assert outcome("spawner", call("unshare", flags & ~0x20000000)) == "EPERM"


def test_the_spawner_makes_all_namespaces_of_the_layers_at_once() -> None:
    if os.geteuid() != 0:
        cannot_run_here("without privileges the kernel refuses what the filter admits")
    assert outcome("spawner", call("unshare", namespace_flags(ALL))) == "done"
