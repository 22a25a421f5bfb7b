"""The lock that admits one instance for each runtime directory."""

import asyncio
import fcntl
import os
from pathlib import Path

from ...policy.exit_status import ExitStatus
from ...policy.limits import INSTANCE_DEADLINE
from ..errors import StartError

_SERVING = b"serving"
_LEAVING = b"leaving"
_HANDS_OVER = b"hands-over"  # on SIGUSR2, its sessions to the next instance: read when a package is upgraded


class InstanceLock:
    """A lock (flock(2)) on a file that names its holder; held until the process ends."""

    def __init__(self, runtime_dir: Path) -> None:
        """Raises StartError if the file cannot be made."""
        self._directory = runtime_dir
        self._file = runtime_dir / "lock"
        try:
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise self._unusable(error) from error

    async def acquire(self) -> None:
        """Take the lock; wait for an instance that has released its bus names and is about to end.

        Raises StartError if another instance, on another bus, holds it, or if it cannot be written.
        """
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._note(_SERVING)
            except BlockingIOError:
                await self._await_holder()
            except OSError as error:
                raise self._unusable(error) from error
            else:
                return

    def leaving(self) -> None:
        """Tell the next instance that this one is about to end."""
        self._note(_LEAVING)

    def staying(self) -> None:
        """Undo `leaving`."""
        self._note(_SERVING)

    def _unusable(self, error: OSError) -> StartError:
        return StartError(f"The lock {self._file} cannot be used: {error.strerror}", ExitStatus.CANNOT_START)

    def _note(self, what: bytes) -> None:
        content = b"%s %d %s\n" % (what, os.getpid(), _HANDS_OVER)
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    async def _await_holder(self) -> None:
        what, number, *_ = (*os.pread(self._descriptor, 64, 0).split(), b"", b"")
        pid = int(number) if number.isdigit() else 0
        try:
            pidfd = os.pidfd_open(pid) if pid else -1
        except ProcessLookupError:
            return  # it has just ended
        try:
            if what == _LEAVING and pidfd >= 0 and await _ended(pidfd):
                return
        finally:
            if pidfd >= 0:
                os.close(pidfd)
        raise StartError(
            f"Another instance (process {pid or 'unknown'}) uses {self._directory}; stop it, or start this one with "
            "another --runtime-dir",
            ExitStatus.ALREADY_RUNNING,
        )


async def _ended(pidfd: int) -> bool:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(INSTANCE_DEADLINE):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)
    return True
