"""The lock of a runtime directory, between real processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...policy.exit_status import ExitStatus
from ...supervisor.errors import StartError
from ...supervisor.start.instance import InstanceLock

IMPORT_ROOT = str(Path(__file__).resolve().parents[2] / "src")
DEADLINE = 10.0  # seconds

# Holds the lock; does what each line of its input says.
_HOLDER = """
import asyncio, sys
from pathlib import Path
from openvpn3_sessionmgr.supervisor.start.instance import InstanceLock
lock = InstanceLock(Path(sys.argv[1]))
asyncio.run(lock.acquire())
print("held", flush=True)
for line in sys.stdin:
    getattr(lock, line.strip())()
    print(line, end="", flush=True)
"""


class Holder:
    """Another process that has the lock."""

    def __init__(self, directory: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": IMPORT_ROOT},
            text=True,
        )
        assert self.heard() == "held"

    def heard(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        assert self.heard() == what


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    made = Holder(tmp_path)
    yield made
    made.process.kill()
    made.process.communicate()


async def _acquire(directory: Path) -> None:
    async with asyncio.timeout(DEADLINE):
        await InstanceLock(directory).acquire()


def test_a_held_lock_is_refused_and_the_holder_named(tmp_path: Path, holder: Holder) -> None:
    with pytest.raises(StartError, match=rf"process {holder.process.pid}\) uses {tmp_path}.*--runtime-dir") as caught:
        asyncio.run(_acquire(tmp_path))
    assert caught.value.status == ExitStatus.ALREADY_RUNNING


def test_a_holder_that_leaves_is_waited_for(tmp_path: Path, holder: Holder) -> None:
    holder.say("leaving")

    async def main() -> None:
        waiting = asyncio.create_task(_acquire(tmp_path))
        # It has asked, and waits for the holder's end by now.
        while not _watches(holder.process.pid):
            assert not waiting.done()
            await asyncio.sleep(0)
        holder.process.kill()
        await waiting

    asyncio.run(main())


def test_a_holder_that_stays_after_all_is_not(tmp_path: Path, holder: Holder) -> None:
    holder.say("leaving")
    holder.say("staying")
    with pytest.raises(StartError, match="Another instance"):
        asyncio.run(_acquire(tmp_path))


def test_a_killed_holder_leaves_a_free_lock(tmp_path: Path, holder: Holder) -> None:
    holder.process.send_signal(signal.SIGKILL)
    holder.process.wait(DEADLINE)
    asyncio.run(_acquire(tmp_path))


@pytest.mark.parametrize("content", ["", "serving", "leaving x\n", "nonsense 1\n"])
def test_whatever_the_file_says_the_lock_counts(tmp_path: Path, holder: Holder, content: str) -> None:
    (tmp_path / "lock").write_text(content)
    with pytest.raises(StartError, match="Another instance"):
        asyncio.run(_acquire(tmp_path))


def test_a_lock_that_cannot_be_made_is_an_error_of_the_start(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StartError, match=r"The lock .* cannot be used") as caught:
        InstanceLock(tmp_path)
    assert caught.value.status == ExitStatus.CANNOT_START
    assert not (tmp_path / "elsewhere").exists()


def _watches(pid: int) -> bool:
    """Whether this process has a pidfd of `pid`."""
    for descriptor in Path("/proc/self/fdinfo").iterdir():
        try:
            if f"Pid:\t{pid}\n" in descriptor.read_text():
                return True
        except FileNotFoundError:  # closed since, such as the directory's own
            continue
    return False
