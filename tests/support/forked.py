"""Tests in a process of their own."""

import asyncio
import contextlib
import os
import select
import signal
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import prctl

_DEADLINE = 60.0  # seconds, for a test that has its own


async def _without_errors(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Fail as well when a callback of the loop does."""
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    await body()
    assert errors == []


def kill_group(leader: int) -> None:
    """Kill a child that leads a process group, and what it forked: one that dies of its parent's end may miss that."""
    for kill in (os.killpg, os.kill):  # it may not have come to lead one
        with contextlib.suppress(ProcessLookupError):
            kill(leader, signal.SIGKILL)


def run_forked(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `body` in a child of one thread, which blocks SIGCHLD: a reaper collects its children, and no others."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            prctl.set_pdeathsig(signal.SIGKILL)
            os.setpgid(0, 0)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
            asyncio.run(_without_errors(body))
            status = 0
        except BaseException:
            os.write(write_end, traceback.format_exc().encode()[-60_000:])
        finally:
            os._exit(status)
    os.close(write_end)
    pidfd = os.pidfd_open(child)
    try:
        ended = select.select([pidfd], [], [], _DEADLINE)[0]
        kill_group(child)
        _, status = os.waitpid(child, 0)
        if not ended or status:
            os.set_blocking(read_end, False)
            said = os.read(read_end, 1 << 16).decode() if select.select([read_end], [], [], 0)[0] else ""
            raise AssertionError(said or f"no end within {_DEADLINE:g} s")
    finally:
        os.close(read_end)
        os.close(pidfd)
