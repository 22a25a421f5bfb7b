"""Debian systems in directories, made once by mmdebstrap, kept under .cache/, and only read afterwards.

Making one needs the package archive, so it is done before a run enters the lab.  When the archive cannot be reached,
that is said and counted as one skipped item.
"""

import fcntl
import hashlib
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import kernel, skips
from .surroundings import CACHE, SurroundingsError

_UNREACHABLE = (
    "Could not resolve", "Temporary failure", "Could not connect", "Unable to connect", "Connection failed",
    "Connection timed out", "Network is unreachable", "Could not wait for server", "Cannot initiate the connection",
)  # fmt: skip


class Unreachable(Exception):
    """The archive does not answer."""


@dataclass(frozen=True)
class DebianTree:
    """What a tree is made from; another list of packages is another tree."""

    name: str
    suite: str
    packages: tuple[str, ...]
    hook: str = ""  # run by a shell when the packages are installed, or unpacked, with the tree as $1
    apt_options: tuple[str, ...] = ()
    variant: str = "apt"  # mmdebstrap(1); "extract" only unpacks the packages and what they depend on

    @property
    def path(self) -> Path:
        """Where it is, or will be."""
        key = hashlib.sha256(" ".join((self.suite, *self.packages, self.hook)).encode()).hexdigest()[:12]
        return CACHE / f"{self.name}-{key}"

    def make(self) -> Path:
        """Make it if need be; its path.  Raises Unreachable, or SurroundingsError when it cannot be made."""
        CACHE.mkdir(exist_ok=True)
        # One at a time: what runs side by side would install packages, or make the same tree, twice.
        with (CACHE / "trees.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in CACHE.glob(f"{self.name}-*"):
                _detach_mounts(left)
            if not self.path.exists():
                self._make()
        return self.path

    def _make(self) -> None:
        if shutil.which("mmdebstrap") is None:
            _run("apt-get", "install", "--yes", "--no-install-recommends", "mmdebstrap")
        for stale in CACHE.glob(f"{self.name}-*"):
            shutil.rmtree(stale)
        print(f"Making the Debian tree {self.path.name} (once, up to a minute) …", flush=True)
        # The name tells an unfinished tree from a finished one.
        growing = self.path.with_suffix(".part")
        options = [f"--aptopt={option}" for option in self.apt_options]
        when = "extract" if self.variant == "extract" else "customize"
        options += [f"--{when}-hook={self.hook}"] if self.hook else []
        packages = ",".join(self.packages)
        try:
            # In a mount namespace of its own: it does not insist when something keeps /proc of the tree busy.
            _run(
                *("unshare", "--mount", "mmdebstrap"),
                *(f"--variant={self.variant}", f"--include={packages}", *options, self.suite, str(growing)),
            )
            growing.rename(self.path)
        finally:
            shutil.rmtree(growing, ignore_errors=True)


def _detach_mounts(directory: Path) -> None:
    """Detach what is mounted below a directory (proc(5), mountinfo), the last one first."""
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for point in map(Path, reversed(points)):
        if point.is_relative_to(directory):
            kernel.unmount(point)


def note_unreachable(what: str) -> None:
    """Say that the archive does not answer, and count it as one skipped item."""
    reason = f"{what}: {skips.CANNOT_RUN}the package archive cannot be reached"
    print(reason)
    skips.note([reason])


def _run(*command: str) -> None:
    """Run a command that needs the archive.  Raises Unreachable or SurroundingsError."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == 0:
        return
    if any(sign in done.stdout for sign in _UNREACHABLE):
        raise Unreachable
    raise SurroundingsError(f"{' '.join(command[:3])} … failed:\n{done.stdout[-3000:]}")
