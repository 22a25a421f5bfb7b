"""Processes of the lab: what they print is read all the time, and waited for without polling."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

DEADLINE = 10.0  # seconds, for anything that ought to happen at once
PROGRAMS = Path(sys.executable).parent  # where the project's own programs are installed
HERE = Path(__file__).resolve().parent


class LabError(Exception):
    """Something in the lab did not do what it should; the text has what is known about it."""


def clean_environment(**more: str) -> dict[str, str]:
    """What a program needs from its environment, and nothing of the test run's."""
    return {
        "PATH": f"{PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),
        **more,
    }


def helper(program: str, *arguments: str) -> list[str]:
    """The command that runs one of the lab's own programs, isolated from the test run's Python path."""
    return [sys.executable, "-I", str(HERE / program), *arguments]


class Process:
    """A running program and every line it has printed so far.

    `stop` is safe to call any number of times.  Lines come from standard output and standard error together.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(clean_environment() if environment is None else environment),
        )
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._on_end: Callable[[], None] | None = None
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for raw in self._popen.stdout:
            with self._changed:
                self._lines.append(raw.decode("utf-8", "replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            on_end = self._on_end
        if on_end is not None:
            on_end()

    @contextlib.contextmanager
    def ending(self, report: Callable[[], None]) -> Iterator[None]:
        """Within this block, `report` is called (in another thread) when its output ends, or has ended."""
        with self._changed:
            self._on_end = report
            ended = self._ended
        if ended:
            report()
        try:
            yield
        finally:
            with self._changed:
                self._on_end = None

    @property
    def pid(self) -> int:
        """Process id, as seen inside."""
        return self._popen.pid

    @property
    def lines(self) -> list[str]:
        """All lines printed so far."""
        with self._changed:
            return list(self._lines)

    @property
    def text(self) -> str:
        """All lines printed so far, as one text."""
        return "\n".join(self.lines)

    def wait_line(self, pattern: str, deadline: float = DEADLINE, since: int = 0) -> str:
        """The first line, from number `since` on, in which `pattern` is found.

        Raises LabError when it does not come within `deadline` seconds, or the program ends without it.
        """
        wanted = re.compile(pattern)
        until = time.monotonic() + deadline
        with self._changed:
            while True:
                for line in self._lines[since:]:
                    if wanted.search(line):
                        return line
                since = len(self._lines)
                if self._ended or not self._changed.wait(until - time.monotonic()):
                    tail = "\n  ".join(self._lines[-15:])
                    cause = "ended without" if self._ended else f"within {deadline:g} s did not print"
                    raise LabError(f"{self.name} {cause} {pattern!r}; its last lines:\n  {tail}")

    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._popen.poll() is None

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._popen.send_signal(number)

    def freeze(self) -> None:
        """Stop it where it stands; it keeps everything and answers nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.signal(signal.SIGCONT)

    def wait(self, deadline: float = DEADLINE) -> int:
        """Its exit status (negative for a signal) once it has ended; LabError after `deadline` seconds."""
        try:
            status = self._popen.wait(deadline)
        except subprocess.TimeoutExpired:
            tail = "\n  ".join(self.lines[-15:])
            raise LabError(f"{self.name} did not end within {deadline:g} s; its last lines:\n  {tail}") from None
        # A child of it may hold the pipe open for longer; its lines still arrive.
        self._reader.join(0.2)
        return status

    def stop(self, deadline: float = DEADLINE) -> int:
        """Ask it to end, make it end after `deadline` seconds; its exit status."""
        if self.running():
            self.signal(signal.SIGTERM)
            self.thaw()
            try:
                self._popen.wait(deadline)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        return self.wait()


def pids() -> set[int]:
    """All processes inside that have not ended (those that merely wait for their parent to notice have)."""
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _lives(entry)}


def _lives(entry: Path) -> bool:
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_gone(pid: int, deadline: float) -> bool:
    """Wait until a process that is not ours has ended; False after `deadline` seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], max(deadline, 0))[0])
    finally:
        os.close(descriptor)


def describe(pid: int) -> str:
    """A process in one line, for messages."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return f"{pid} (gone)"
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return f"{pid} uid {fields['Uid'].split()[0]} {fields['State']} {title or fields['Name']}"


def until_gone(candidates: Callable[[], set[int]], deadline: float) -> set[int]:
    """Wait until `candidates` gives no processes any more; those left after `deadline` seconds."""
    until = time.monotonic() + deadline
    while left := candidates():
        if not wait_gone(next(iter(left)), until - time.monotonic()):
            return left
    return set()
