"""What the tests of the service's own life share: odd ways to start it, and looks at its processes."""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from zlib import crc32

from ...policy import limits as policy_limits
from ...policy.dbus_numbers import StatusMinor
from ...policy.exit_status import ExitStatus
from ...policy.sandbox.confinement import OPTIONAL_CAPABILITIES
from ..lab.connection import SESSIONS, BusClient
from ..lab.lab import Lab
from ..lab.processes import DEADLINE, Process, pids, wait_gone
from ..lab.service import service_command, wait_answer
from ..lab.surroundings import SERVICE

_T = TypeVar("_T")
_BUS = ("/org/freedesktop/DBus", "org.freedesktop.DBus")


@contextmanager
def started(
    lab: Lab,
    *options: str,
    user: str = "root",
    through: Sequence[str] = (),
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Process]:
    """Start the service, by the command `through` if given; it may end by itself, and is ended afterwards.

    Its files are below `directory`.
    """
    argv = [*through, *service_command(directory or lab.directory / "own", *options)]
    process = lab.client_side.start("service", argv, user, environment or lab.bus.environment())
    try:
        yield process
    finally:
        process.stop()


def refused(
    lab: Lab,
    *options: str,
    user: str = "root",
    through: Sequence[str] = (),
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    status: int = ExitStatus.CANNOT_START,
) -> str:
    """Start the service, which must end by itself with `status`; what it said."""
    with started(lab, *options, user=user, through=through, directory=directory, environment=environment) as process:
        found = process.wait()
        text = process.text
    assert found == status, text
    assert "Traceback" not in text
    return text


def after(*commands: str) -> list[str]:
    """A command line that runs `commands` in a mount namespace of their own, then the arguments it is given."""
    script = " && ".join(["mount --make-rprivate /", *commands, 'exec "$@"'])
    return ["unshare", "--mount", "sh", "-c", script, "sh"]


def over(source: Path | str, target: str) -> str:
    """A shell command that covers `target` with `source`."""
    return f"mount --bind {shlex.quote(str(source))} {shlex.quote(target)}"


def without(*names: str) -> list[str]:
    """A command that runs others without these capabilities, for good."""
    dropped = ",".join(f"cap_{name}" for name in names)
    return ["capsh", f"--drop={dropped}", "--", "-c", 'exec "$@"', "sh"]


def with_only(lab: Lab, *names: str) -> list[str]:
    """The same with these and the optional ones only, and no way to more: what the systemd unit leaves to it."""
    shown = lab.client_side.run(["capsh", "--print"]).stdout
    [held] = [line.partition("=")[2] for line in shown.splitlines() if line.startswith("Bounding set")]
    others = {name.removeprefix("cap_") for name in held.split(",")} - {*names, *OPTIONAL_CAPABILITIES}
    assert others >= {"chown", "dac_override", "fowner"} - set(names)
    return [*without(*others), "setpriv", "--no-new-privs"]


def make_directories(lab: Lab) -> None:
    """Make those that the unit has systemd make: only their owner gets in, not even root with few capabilities."""
    own = lab.directory / "own"
    own.mkdir()
    for name in ("runtime", "state"):
        (own / name).mkdir(mode=0o700)
        os.chown(own / name, SERVICE.uid, SERVICE.uid)


def wait_ready(lab: Lab) -> None:
    """Wait until the service has all its names, one after the other, and answers what it holds until then."""
    wait_answer(lab.watcher)


def field(pid: int, name: str, task: int = 0) -> str:
    """A line of proc(5)'s status of a process, or of one thread of it."""
    path = Path(f"/proc/{pid}/task/{task}/status" if task else f"/proc/{pid}/status")
    [found] = [line for line in path.read_text().splitlines() if line.startswith(f"{name}:")]
    return " ".join(found.split()[1:])


def title(pid: int) -> str:
    """The command line of a process as ps(1) shows it; "" if there is none (any more)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def parent(pid: int) -> int:
    """The parent of a process."""
    return int(field(pid, "PPid"))


def processes(wanted: str) -> list[int]:
    """The processes whose title begins with `wanted`, oldest first; not this one, which unit tests name as a worker."""
    return sorted(pid for pid in pids() if pid != os.getpid() and title(pid).startswith(wanted))


def owner_pid(connection: BusClient, name: str = SESSIONS) -> int:
    """The process that owns a bus name."""
    pid: int = connection.call(*_BUS, "GetConnectionUnixProcessID", "s", name, to=_BUS[1])
    return pid


def kill_and_wait(pid: int, number: int) -> None:
    """Send a process a signal that ends it, and wait until it has."""
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, number)
    finally:
        os.close(descriptor)
    assert wait_gone(pid, DEADLINE)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what nobody announces."""
    until = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < until


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Within this block, a process stands still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def connected(
    lab: Lab, count: int = 1, *, user: str = "alice", protocol: str = "udp", more: Sequence[str] = ()
) -> tuple[BusClient, list[str]]:
    """A user's connection with sessions that are up, and their paths."""
    connection = lab.connection(user)
    paths = []
    for number in range(count):
        profile = connection.import_profile(f"profile {number}", lab.profile(protocol=protocol, more=more))
        paths.append(connection.new_tunnel(profile))
    for path in paths:
        connection.session(path, "Connect")
    for path in paths:
        connection.wait_status(path, StatusMinor.CONN_CONNECTED)
    return connection, paths


def make_read_only(pid: int, place: Path) -> Callable[[], None]:
    """Make a file or directory read-only for the processes of the service; returns what undoes that.

    What is open for writing stays so: the kernel would not let anybody have more than that.
    """
    target = str(place)
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)
    enter = ("nsenter", f"--mount=/proc/{os.getpid()}/fd/{namespace}")

    def run(*command: str) -> None:
        subprocess.run([*enter, *command], check=True)

    def undo() -> None:
        run("umount", "--lazy", target)
        os.close(namespace)

    run("mount", "--bind", target, target)
    run("mount", "-o", "remount,bind,ro", target)
    return undo


def line_after(process: Process, pattern: str, action: Callable[[], _T]) -> str:
    """Do something, and wait for a line about it that was not there before."""
    since = len(process.lines)
    action()
    return process.wait_line(pattern, since=since)


def with_limits(directory: Path, **limits: float) -> list[str]:
    """A command that runs others with other numbers in policy/limits.py, for themselves alone."""
    original = Path(policy_limits.__file__).resolve()
    text = original.read_text()
    for name, value in limits.items():
        text, found = re.subn(rf"^{name} = \S+", f"{name} = {value}", text, flags=re.MULTILINE)
        assert found == 1, name
    other = directory / "limits.py"
    other.write_text(text)
    # Python finds bytecode by the size and the second of its source, and helpers, started with -I, keep theirs.
    second = crc32(text.encode())
    os.utime(other, (second, second))
    return [*after(over(other, str(original))), "env", "PYTHONDONTWRITEBYTECODE=1"]
