"""What a trial of the sandbox (trial.py) has found, kept until the machine starts again, in the runtime directory.

Only root can have written what is used of it.  The directory is the account's, which root may be unable to write to
(start/directories.py): it lets root in while the file is written.  Where the file no longer tells what this machine
can do, a session's processes cannot be confined, since each step is verified: that ends them, and has the next start
try anew (`forget`).
"""

import os
import pwd
import stat
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import msgspec

from ...policy.limits import MAX_KEPT_TRIAL
from ...policy.sandbox.layers import Layer
from ..start.privileges import acting_as
from .choice import TrialResult

_DIRECTORY = "trial"
_NAME = "found"
_PACKAGE = Path(__file__).parents[2]
_MODULES = (
    "policy/sandbox/system_calls",
    "policy/sandbox/layers",
    "supervisor/sandbox/filters",
    "supervisor/sandbox/probe",
)
_LIBRARIES = (f"/usr/lib/{sys.implementation._multiarch}", "/usr/lib64", "/usr/lib")
_STATUS = ("CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters")  # of proc(5): what whoever has started this has set
_BY_KERNEL = frozenset({Layer.MDWE, Layer.LANDLOCK, Layer.SCOPE})  # as it has been built and booted
_NAMESPACES = ("user", "pid", "net")


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    found: TrialResult


class KeptTrial:
    """The file, and what it must be about to be used."""

    def __init__(
        self,
        runtime_dir: Path,
        account: pwd.struct_passwd,
        layers: Collection[Layer],
        session_uids: range,
        provider_groups: int | None,
    ) -> None:
        """About a trial of `layers` with the other arguments of Trial, on this machine as it is."""
        self._directory = runtime_dir / _DIRECTORY
        self._account = account
        try:
            self._key = repr((sorted(layers), session_uids, provider_groups, *_surroundings()))
        except OSError:
            self._key = ""

    def recall(self) -> TrialResult | None:
        """What has been found by the same trial since the machine has started; as root."""
        try:
            with acting_as(self._account):
                descriptor = os.open(self._directory / _NAME, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                kept = _read(descriptor)
            finally:
                os.close(descriptor)
        except (OSError, ValueError, msgspec.DecodeError):
            return None
        return kept.found if kept.key == self._key else None

    def keep(self, found: TrialResult) -> None:
        """Keep what has been found, if there is room; as root.  Nothing that an administrator can provide may lack."""
        if not self._key or found.missing.keys() - _BY_KERNEL:
            return
        try:
            self._write(msgspec.msgpack.encode(_Kept(self._key, found)))
        except OSError:
            pass  # the next start tries anew

    def _write(self, content: bytes) -> None:
        with acting_as(self._account):
            self._directory.mkdir(mode=stat.S_IRWXU, exist_ok=True)
            directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            with acting_as(self._account):
                os.fchmod(directory, stat.S_IRWXU | stat.S_IWOTH | stat.S_IXOTH)  # none but root gets here
            with suppress(FileNotFoundError):
                os.unlink(_NAME, dir_fd=directory)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(_NAME, flags, stat.S_IRUSR | stat.S_IWUSR, dir_fd=directory), "wb") as file:
                file.write(content)
        finally:
            with acting_as(self._account), suppress(OSError):
                os.fchmod(directory, stat.S_IRWXU)
            os.close(directory)


def forget(runtime_dir: Path) -> None:
    """Have the next start try anew; as the account.  Raises OSError."""
    (runtime_dir / _DIRECTORY / _NAME).unlink(missing_ok=True)


def _read(path_descriptor: int) -> _Kept:
    """The content of a file that root has written.  Raises OSError, ValueError, msgspec.DecodeError."""
    found = os.fstat(path_descriptor)
    # The account can put other files there, but none of root's, unless by a second name for it.
    if not stat.S_ISREG(found.st_mode) or found.st_uid != 0 or found.st_nlink != 1:
        raise ValueError("not a file of root's")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or found.st_size > MAX_KEPT_TRIAL:
        raise ValueError("not a file that root has written here")
    with open(f"/proc/self/fd/{path_descriptor}", "rb") as file:  # noqa: PTH123 (of what has been looked at)
        return msgspec.msgpack.decode(file.read(), type=_Kept)


def _surroundings() -> list[object]:
    """What else decides what a trial finds.  Raises OSError."""
    system = os.uname()
    status = Path("/proc/self/status").read_text(errors="replace").splitlines()
    return [
        Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
        (system.release, system.version, system.machine),
        [line for line in status if line.partition(":")[0] in _STATUS],
        [Path(f"/proc/self/ns/{name}").stat().st_ino for name in _NAMESPACES],
        _label(),
        [_version(_PACKAGE / f"{name}.py") for name in _MODULES],
        _version(_libseccomp()),
    ]


def _label() -> str:
    """What a security module has this process run as, if there is one."""
    try:
        return Path("/proc/self/attr/current").read_text(errors="replace")
    except OSError:
        return ""


def _libseccomp() -> Path:
    """The file of the library that builds the filters.  Raises FileNotFoundError."""
    for directory in _LIBRARIES:
        if (file := Path(directory, "libseccomp.so.2")).exists():
            return file.resolve()
    raise FileNotFoundError("libseccomp.so.2")


def _version(path: Path) -> tuple[str, int, int]:
    """A file as it is."""
    found = path.stat()
    return str(path), found.st_mtime_ns, found.st_size
