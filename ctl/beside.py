"""Running a command in place of this process, beside another one that has made all ready for it."""

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from ..kernel.privileges import ConfinementError
from . import namespaces
from .exits import CommandError, CommandExit
from .run import say

_CANNOT_RUN, _NOT_FOUND = 126, 127  # as env(1)
_SIGNALS = (signal.SIGINT, signal.SIGQUIT)  # a terminal sends them to the other process too
_READY, _AGAIN = b"ready", b"again"
_MESSAGE = 64  # bytes
_TRIES, _PAUSE = 25, 0.2  # of Again; seconds before the next


class Again(Exception):
    """Something was about to end, or to begin: another try may do."""


class Told:
    """What the process that stays has of the one that becomes the command."""

    def __init__(self, answers: socket.socket, command: int) -> None:
        self._answers = answers
        self.command = command  # pidfd

    def ready(self, descriptors: Sequence[int]) -> None:
        """The command is to be run, in these namespaces."""
        self._say(_READY, descriptors)

    def failed(self, status: int) -> None:
        """There is no command to be run; no effect after the others."""
        self._say(b"%d" % status)

    def again(self) -> None:
        """Another try is to be made."""
        self._say(_AGAIN)

    def _say(self, message: bytes, descriptors: Sequence[int] = ()) -> None:
        with suppress(OSError):  # it has ended, which is told otherwise
            socket.send_fds(self._answers, [message], descriptors)
        self._answers.close()


def run_beside(command: list[str], work: Callable[[Told], None]) -> int:
    """Run the command once `work`, in a process that stays, has told that all is ready; else its exit status."""
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _nothing)  # not ignored, which the command would inherit
    for _ in range(_TRIES):
        message, descriptors = _try(work)
        if message == _READY:
            return _become(command, descriptors)
        if message != _AGAIN:
            return int(message or CommandExit.INTERRUPTED)
        time.sleep(_PAUSE)
    raise CommandError("the session ends and begins again and again", CommandExit.REFUSED)


def _try(work: Callable[[Told], None]) -> tuple[bytes, list[int]]:
    """What the process that stays tells, and the namespaces."""
    near, far = socket.socketpair()
    command = os.pidfd_open(os.getpid())
    sys.stdout.flush()
    # Not a child of the command's, which knows its children.
    between = os.fork()
    if between == 0:
        if os.fork() == 0:
            _close_all_but(0, 1, 2, far.fileno(), command)
            _stay(Told(far, command), work)
        os._exit(0)
    os.waitpid(between, 0)
    os.close(command)
    far.close()
    with near:
        message, descriptors, _, _ = socket.recv_fds(near, _MESSAGE, 3, socket.MSG_CMSG_CLOEXEC)
        return message, descriptors


def _close_all_but(*kept: int) -> None:
    """Close descriptors that were inherited: whoever reads from the command waits for nobody else."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _stay(told: Told, work: Callable[[Told], None]) -> None:
    status: int = CommandExit.OTHER
    for number in _SIGNALS:
        if signal.getsignal(number) == _nothing:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        work(told)
    except Again:
        told.again()
    except CommandError as error:
        say(str(error))
        status = error.status
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else CommandExit.OTHER
    finally:
        told.failed(status)
        os._exit(status)


def _become(command: list[str], descriptors: Sequence[int]) -> int:
    """Run the command in these namespaces, in place of this process; the exit status if it cannot be."""
    try:
        namespaces.enter(descriptors)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)
    except FileNotFoundError as error:
        say(f"{command[0]}: {error.strerror}")
        return _NOT_FOUND
    except (OSError, ConfinementError, ValueError) as error:
        say(f"{command[0]}: {getattr(error, 'strerror', None) or error}")
        return _CANNOT_RUN


def _nothing(number: int, frame: object) -> None:
    pass
