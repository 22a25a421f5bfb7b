"""Two processes for each helper: a keeper that only waits, and one that serves.

The keeper forks the other again when that dies, or does not go on.  When the keeper dies, the one that serves takes its
place: from then on it only waits, and another serves, forked from it on the same socket.  Both are confined alike.
"""

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable

import prctl

from ...ipc.channel import Channel
from ...kernel import process
from ...kernel.privileges import ConfinementError
from ...policy.exit_status import ExitStatus, describe

_FORK_RETRY = 0.5  # seconds


class KeeperGone(Exception):
    """The keeper has ended: the process that serves is to take its place."""


class ApartFailed(Exception):
    """A process that was forked for one thing has not done it; the text says how it ended."""


class Keeper:
    """The keeper, as the process that serves sees it."""

    def __init__(self, pid: int) -> None:
        """`pid` is the parent's when this process was forked.  Raises KeeperGone."""
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise KeeperGone from None
        if os.getppid() != pid:  # and another process has its id
            self.close()
            raise KeeperGone

    def fileno(self) -> int:
        """A descriptor that is readable when the keeper has ended."""
        return self._pidfd

    def wait_for(self, requests: Channel) -> None:
        """Wait until there is something to be received.  Raises KeeperGone."""
        readable, _, _ = select.select([requests.fileno(), self._pidfd], [], [])
        if self._pidfd in readable:
            self.close()
            raise KeeperGone

    def close(self) -> None:
        """Forget it, as a process must that is to do something else."""
        os.close(self._pidfd)


def keep_serving(title: str, serve_requests: Callable[[bool, Keeper], None], stopped_grace: float) -> None:
    """Fork a process that runs `serve_requests`, and fork it again when it dies; return when it ended in order.

    Its arguments are whether it takes another one's place, and its keeper; it raises KeeperGone when that has ended.
    One that is stopped (SIGSTOP) for `stopped_grace` seconds is killed; 0: never.  `title` is what ps(1) shows of a
    keeper, which reads nothing from anybody.
    """
    anew = False
    _go_on_alone()
    while True:
        keeper = os.getpid()
        try:
            child = os.fork()
        except OSError as error:  # no process or memory is available, and no event tells when one is
            print(f"cannot fork: {error.strerror}; trying again", file=sys.stderr, flush=True)
            time.sleep(_FORK_RETRY)
            continue
        if child == 0:
            _go_on_alone()
            _serve_or_take_place(serve_requests, anew, keeper)
            prctl.set_proctitle(title)
            print(f"{title}: the keeper has ended, and is replaced", file=sys.stderr, flush=True)
        else:
            status = _wait_for_end(child, stopped_grace)
            if status == 0:
                return
            print(f"a helper {describe(status)}, and is replaced", file=sys.stderr, flush=True)
        anew = True


def run_apart(body: Callable[[], None], stopped_grace: float) -> None:
    """Run `body` in a process forked for it, and wait for its end; stopped ones as above.  Raises ApartFailed.

    It ends with its parent: whoever takes that one's place does anew what it was asked for.
    """
    child = os.fork()
    if child == 0:
        process.signal_at_parents_end(signal.SIGKILL)
        end_with(body)
    if status := _wait_for_end(child, stopped_grace):
        raise ApartFailed(describe(status))


def end_with(body: Callable[[], None]) -> None:
    """Run `body` and end this process with a status that says how it went; never return into the caller's frames."""
    os._exit(_status_of(body))


def _go_on_alone() -> None:
    """When its parent ends, nobody is left to see that this process is stopped: have it go on."""
    process.signal_at_parents_end(signal.SIGCONT)


def _serve_or_take_place(serve_requests: Callable[[bool, Keeper], None], anew: bool, keeper: int) -> None:
    """Serve, and end; return only if the keeper has ended."""
    try:
        status = _status_of(lambda: serve_requests(anew, Keeper(keeper)))
    except KeeperGone:
        return
    os._exit(status)


def _status_of(body: Callable[[], None]) -> int:
    """Run `body`; the status that says how it went.  Raises KeeperGone."""
    try:
        body()
    except KeeperGone:
        raise
    except ConfinementError as error:
        print(f"openvpn3-service-sessionmgr: cannot confine a process: {error}", file=sys.stderr, flush=True)
        return ExitStatus.CONFINEMENT
    except ApartFailed as error:
        print(f"openvpn3-service-sessionmgr: a process {error}", file=sys.stderr, flush=True)
        return ExitStatus.INTERNAL
    except BaseException:
        traceback.print_exc()
        return ExitStatus.INTERNAL
    return ExitStatus.OK


def _wait_for_end(child: int, stopped_grace: float) -> int:
    """The status with which a child ends, if need be by our killing it."""
    pidfd = os.pidfd_open(child)
    try:
        _, status = os.waitpid(child, os.WUNTRACED)
        while os.WIFSTOPPED(status):
            how = f"is stopped ({signal.Signals(os.WSTOPSIG(status)).name})"
            if stopped_grace:
                time.sleep(stopped_grace)
            changed, status = os.waitpid(child, os.WUNTRACED | os.WCONTINUED | (os.WNOHANG if stopped_grace else 0))
            if not changed:
                print(f"a helper {how}, and is killed", file=sys.stderr, flush=True)
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            if not changed or os.WIFCONTINUED(status):
                _, status = os.waitpid(child, os.WUNTRACED)
        return status
    finally:
        os.close(pidfd)
