"""A service whose engine is somebody else's program, that program's victims, and what came of its acts."""

import contextlib
import ctypes
import platform
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...policy.sandbox.layers import Layer, split
from ..lab import kernel
from ..lab.connection import BusClient
from ..lab.lab import Lab
from ..lab.processes import DEADLINE, Process, until_gone
from ..lab.surroundings import ALICE, SERVICE
from ..support.authentication import answer
from ..support.service_life import after, started
from ..support.sessions import UserSession, begin
from ..support.skipping import cannot_run_here

SOURCES = Path(__file__).parent / "program"
SECRET = "hunter2-of-bob"
_CONTROLLERS = {"memory", "pids"}
_TREE = "/sys/fs/cgroup"  # where the service finds the tree of cgroups
_LOADERS = {"x86_64": "/lib64/ld-linux-x86-64.so.2", "aarch64": "/lib/ld-linux-aarch64.so.1"}
HAS_PUPPETS = platform.machine() == "x86_64"  # program/puppet.c
_ALL_ACTS = 60.0  # seconds

# In which hierarchy a controller is; 0 is cgroup v2 (cgroups(7), /proc/cgroups).
_HIERARCHIES = dict(line.split()[:2] for line in Path("/proc/cgroups").read_text().splitlines())
HAS_CONTROLLERS = all(_HIERARCHIES.get(one) == "0" for one in _CONTROLLERS)

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Outcomes:
    """Of the acts under these layers, by their names: the errno of each, 0 where it came off."""

    layers: frozenset[Layer]
    engine: dict[str, int]
    worker: dict[str, int]


def build(directory: Path) -> Path:
    """The program, compiled into `directory`; it needs no other file, and has the same addresses in each process."""
    made = directory / "hostile"
    loader = _LOADERS.get(platform.machine())
    if loader is None:
        cannot_run_here(f"the dynamic loader of {platform.machine()} is not known")
    options = ["-static", "-no-pie", "-O1", "-Wall", "-Wextra", "-Werror", f'-DLOADER="{loader}"']
    command = ["gcc", *options, "-o", str(made), *map(str, sorted(SOURCES.glob("*.c")))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made.chmod(0o755)
    return made


class Victims:
    """What the acts are aimed at, beside the processes of the service.  A context manager."""

    def __init__(self, lab: Lab, program: Path) -> None:
        self._lab, self._program = lab, program
        self._parts = contextlib.ExitStack()
        self.directory = lab.directory / "others"
        self._groups = self.directory / "groups"
        self.group = f"openvpn3-sessionmgr-{lab.directory.name}"  # the tree is the whole machine's

    def __enter__(self) -> "Victims":
        with contextlib.ExitStack() as parts:
            self._make_files(parts)
            self._make_services(parts)
            self._mount_groups(parts)
            self._parts = parts.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    def _make_files(self, parts: contextlib.ExitStack) -> None:
        for name, mode in ((".", 0o755), ("home", 0o755), ("tmp", 0o1777), ("programs", 0o755), ("groups", 0o755)):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
            (self.directory / name).chmod(mode)
        for name, mode in (("home/notes", 0o644), ("home/diary", 0o600)):
            file = self.directory / name
            file.write_text("private\n")
            file.chmod(mode)
            shutil.chown(file, ALICE.uid, ALICE.uid)
        # The lab's own directories make nothing of the bit.
        programs = self.directory / "programs"
        kernel.mount("programs", programs, "tmpfs")
        parts.callback(kernel.unmount, programs)
        copied = programs / "set-user-id"
        shutil.copyfile(self._program, copied)
        shutil.chown(copied, ALICE.uid, ALICE.uid)
        copied.chmod(0o4755)

    def _make_services(self, parts: contextlib.ExitStack) -> None:
        with self._lab.client_side.entered():
            listener = parts.enter_context(socket.create_server(("127.0.0.1", 0)))
            abstract = parts.enter_context(socket.socket(socket.AF_UNIX))
        self.port: int = listener.getsockname()[1]
        abstract.bind(f"\0{self.directory}")
        abstract.listen()
        self.memory = _libc.shmget(0, 4096, 0o1666)  # IPC_PRIVATE, IPC_CREAT
        assert self.memory >= 0
        parts.callback(_libc.shmctl, self.memory, 0, None)  # IPC_RMID

    def _mount_groups(self, parts: contextlib.ExitStack) -> None:
        try:
            kernel.mount("groups", self._groups, "cgroup2")
        except OSError as error:
            cannot_run_here(f"no cgroup v2: {error}")
        parts.callback(kernel.unmount, self._groups)
        if HAS_CONTROLLERS:
            control = self._groups / "cgroup.subtree_control"
            added = _CONTROLLERS - set(control.read_text().split())
            control.write_text(" ".join(f"+{one}" for one in added))
            parts.callback(control.write_text, " ".join(f"-{one}" for one in added))

    @contextlib.contextmanager
    def service(self, wanted: str) -> Iterator[Process]:
        """The service with the program for an engine, in a group of its own; `wanted` is as in --sandbox."""
        group = self._groups / self.group
        group.mkdir()
        enter = after(f"mount -t cgroup2 none {_TREE}", f"echo $$ >{_TREE}/{group.name}/cgroup.procs")
        try:
            options = (f"--sandbox={wanted}", f"--openvpn={self._program}")
            with started(self._lab, *options, through=enter) as process:
                process.wait_line("runs as user")
                yield process
        finally:
            groups = [*group.glob("*/"), group]
            until_gone(
                lambda: {int(pid) for one in groups for pid in (one / "cgroup.procs").read_text().split()}, DEADLINE
            )
            for one in groups:
                one.rmdir()

    def told(self, other: UserSession, supervisor: int) -> str:
        """The words that tell the program about them; `other` is another session."""
        numbers = (other.engine.pid, supervisor, SERVICE.uid, ALICE.uid, self.port, self.memory)
        device, profile = (argument(other, option) for option in ("--dev", "--config"))
        bus = self._lab.bus.address.removeprefix("unix:path=")
        words = " ".join(
            [*map(str, numbers), device, profile, socket.gethostname(), f"/{self.group}", str(self.directory), bus]
        )
        assert len(words) <= 255, words  # of a password
        return words


class Trials:
    """The victims, and two users who start sessions of the program's."""

    def __init__(self, lab: Lab, program: Path, victims: Victims) -> None:
        self._program, self._victims = program, victims
        self._lab = lab
        self._users = {user: lab.connection(user) for user in ("alice", "bob")}
        self._runs: dict[str, Outcomes | BaseException] = {}

    def outcomes(self, wanted: str) -> Outcomes:
        """What came of all acts under the layers `wanted` of --sandbox, which are tried when first asked for."""
        if wanted not in self._runs:
            try:
                self._runs[wanted] = self._run(wanted)
            except BaseException as error:
                self._runs[wanted] = error
        found = self._runs[wanted]
        if isinstance(found, BaseException):
            raise found
        return found

    def _run(self, wanted: str) -> Outcomes:
        """Have them tried, first in an engine, then in a worker."""
        with self._victims.service(wanted) as service:
            victim = log_in(self._lab, self._users["bob"], "victim", SECRET)
            service.wait_line("now a victim")
            whom = self._victims.told(victim, service.pid)
            attacker = log_in(self._lab, self._users["alice"], "attack", whom)
            service.wait_line("all acts done", _ALL_ACTS)
            layers = split(service.wait_line("Confined by").rpartition(" ")[2])
            by_worker = self._run_puppet(attacker, whom, filtered=Layer.SECCOMP in layers) if HAS_PUPPETS else {}
            for session in (victim, attacker):
                assert session.engine.is_running()
                session.call("Disconnect")
            assert "Traceback" not in service.text
            return Outcomes(layers, reported(service.text), by_worker)

    def _run_puppet(self, attacker: UserSession, whom: str, *, filtered: bool) -> dict[str, int]:
        words = [str(attacker.worker.pid), whom, argument(attacker, "--config"), *(["filtered"] if filtered else [])]
        command = [str(self._program), "puppet", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_ALL_ACTS, check=False)
        assert done.returncode == 0, (done.stdout, done.stderr)
        return reported(done.stdout)


def log_in(lab: Lab, connection: BusClient, name: str, password: str) -> UserSession:
    """A user's session, in which the program is told these as user name and password (program/engine.c)."""
    session = begin(lab, name, connection=connection, more=["auth-user-pass"])
    answer(session, username=name, password=password)
    session.call("Connect")
    return session


def argument(session: UserSession, option: str) -> str:
    """What follows an option on the command line of a session's engine."""
    line: list[str] = session.engine.cmdline()
    return line[line.index(option) + 1]


def reported(report: str) -> dict[str, int]:
    """The outcomes that the program reports."""
    return {name: int(number) for name, number in re.findall(r"\bact ([a-z-]+) (\d+)$", report, re.MULTILINE)}
