"""Look-ups that take for ever: what ends them, and that nothing of them stays."""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import prctl
import psutil
import pytest

from ...ipc import helpers
from ...ipc.channel import Channel, channel_pair
from ...worker.helpers import resolver
from ...worker.helpers.keeper import Keeper
from ..support.forked import kill_group

DEADLINE = 20.0  # seconds
AT_ONCE = "at-once.example"
DIES = "dies.example"


def resolve(request: helpers.Lookup) -> helpers.LookupResult:
    """In place of asking name servers, of which only AT_ONCE is answered."""
    if request.host == DIES:
        os._exit(1)
    if request.host != AT_ONCE:
        prctl.set_pdeathsig(signal.SIGKILL)
        signal.pause()
    return helpers.LookupResult(request.number, ("192.0.2.1",))


class Resolver:
    """One in a process of its own."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel

    def ask(self, number: int, host: str = "for-ever.example") -> None:
        self.channel.send(helpers.encode(helpers.Lookup(number, host)))

    def cancel(self, number: int) -> None:
        self.channel.send(helpers.encode(helpers.Cancel(number)))

    def answer(self) -> helpers.LookupResult:
        assert select.select([self.channel], [], [], DEADLINE)[0]
        return helpers.decode_lookup_result(self.channel.receive().data)

    def lookups(self, count: int) -> list[psutil.Process]:
        """The processes of look-ups, once there are so many."""
        end = time.monotonic() + DEADLINE
        while True:
            found: list[psutil.Process] = psutil.Process(self.pid).children()
            if len(found) == count:
                return found
            assert time.monotonic() < end, found


@contextmanager
def running(most: int = 10, deadline: float = 60.0) -> Iterator[Resolver]:
    """One that has at most so many look-ups, and gives each so many seconds."""
    ours, theirs = channel_pair()
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            prctl.set_pdeathsig(signal.SIGKILL)
            os.setpgid(0, 0)
            vars(resolver).update(_MAX_LOOKUPS=most, RESOLVE_DEADLINE=deadline, resolve=resolve)
            resolver.serve(theirs, Keeper(os.getppid()), anew=False)
            os._exit(0)
        finally:
            os._exit(1)
    theirs.close()
    pidfd = os.pidfd_open(child)
    try:
        yield Resolver(child, ours)
        ours.close()
        assert select.select([pidfd], [], [], DEADLINE)[0]
    finally:
        kill_group(child)
        _, status = os.waitpid(child, 0)
        os.close(pidfd)
    assert os.waitstatus_to_exitcode(status) == 0


def test_each_is_answered_when_it_is_done() -> None:
    with running() as one:
        one.ask(1)
        one.ask(2, AT_ONCE)
        one.ask(3, DIES)
        answers = {answer.number: answer for answer in (one.answer(), one.answer())}
        assert answers[2] == helpers.LookupResult(2, ("192.0.2.1",))
        assert answers[3] == helpers.LookupResult(3, (), "the look-up's process died")
        one.lookups(1)


def test_one_that_is_cancelled_ends() -> None:
    with running() as one:
        one.ask(1)
        [first] = one.lookups(1)
        one.ask(2)
        one.lookups(2)
        one.cancel(1)
        one.cancel(7)  # there is none
        [left] = one.lookups(1)
        assert left != first
        one.ask(1, AT_ONCE)  # the number is free
        assert one.answer().number == 1


def test_one_that_takes_too_long_ends() -> None:
    with running(deadline=0.3) as one:
        one.ask(1)
        assert one.answer() == helpers.LookupResult(1, (), "no answer from the name servers within 0 s")
        one.lookups(0)


@pytest.mark.parametrize("most", [1, 2])
def test_so_many_at_once_and_no_more(most: int) -> None:
    with running(most) as one:
        for number in range(most):
            one.ask(number)
        one.ask(7)
        assert one.answer() == helpers.LookupResult(7, (), "too many names are being resolved")
        one.lookups(most)
        one.cancel(0)
        one.ask(8, AT_ONCE)
        assert one.answer().number == 8


def test_all_end_with_the_supervisor() -> None:
    with running() as one:
        for number in range(3):
            one.ask(number)
        processes = one.lookups(3)
    assert psutil.wait_procs(processes, DEADLINE)[1] == []
