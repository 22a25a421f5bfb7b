"""The resolver as a process of its own, asking name servers on the other machine."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ....ipc import helpers
from ....ipc.channel import Channel, channel_pair
from ....policy.limits import MAX_LOOKUPS_PER_SESSION, MAX_RESOLVED, RESOLVE_DEADLINE
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS6
from ...lab.processes import until_gone, wait_gone

DEADLINE = 20.0  # seconds, for what ought to happen at once, on a machine that may be busy
SLOW = 1.0  # seconds that a slow server takes
# As if there were no more sessions than these: a busy machine takes longer to make hundreds of processes than the first
# of them may run.
SESSIONS = 4
MOST = MAX_LOOKUPS_PER_SESSION * SESSIONS

# As the spawner does it.
PROGRAM = """
import socket, sys
from openvpn3_sessionmgr.policy import limits
limits.MAX_SESSIONS = int(sys.argv[2])
from openvpn3_sessionmgr.ipc.channel import Channel
from openvpn3_sessionmgr.worker.helpers import keeper, resolver
channel = Channel(socket.socket(fileno=int(sys.argv[1])))
keeper.keep_serving("resolver", lambda anew, keeper: resolver.serve(channel, keeper, anew=anew), 1.0)
"""


class Resolver:
    """A running resolver, and the supervisor's end of its channel."""

    def __init__(self, pid: int, channel: Channel) -> None:
        self.pid = pid
        self.channel = channel

    def ask(self, number: int, host: str) -> None:
        self.channel.send(helpers.encode(helpers.Lookup(number, host)))

    def cancel(self, number: int) -> None:
        self.channel.send(helpers.encode(helpers.Cancel(number)))

    def answer(self, deadline: float = DEADLINE) -> helpers.LookupResult:
        """The next answer."""
        said = self.said(deadline)
        assert isinstance(said, helpers.LookupResult)
        return said

    def said(self, deadline: float = DEADLINE) -> helpers.FromResolver:
        """What it says next."""
        if not select.select([self.channel], [], [], deadline)[0]:
            raise TimeoutError(f"no answer within {deadline:g} s")
        return helpers.decode_from_resolver(self.channel.receive().data)

    def serving(self) -> int:
        """The process that reads requests: the only child of the one that keeps it alive."""
        (child,) = children(self.pid)
        return child

    def lookups(self) -> set[int]:
        """The processes of look-ups under way."""
        return children(self.serving())


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@pytest.fixture
def running(lab: Lab) -> Iterator[Resolver]:
    """A resolver on the client's machine; it must end once its channel closes.  The lab finds what it leaves."""
    ours, theirs = channel_pair()
    end = str(theirs.fileno())
    process = subprocess.Popen(
        lab.client_side.command([sys.executable, "-c", PROGRAM, end, str(SESSIONS)]), pass_fds=[theirs.fileno()]
    )
    theirs.close()
    try:
        yield Resolver(process.pid, ours)
        ours.close()
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()


def test_addresses_of_both_families(lab: Lab, running: Resolver) -> None:
    many = [f"192.0.2.{number}" for number in range(1, MAX_RESOLVED + 9)]
    lab.dns({"vpn.example": ["192.0.2.7", "2001:db8::7", "192.0.2.8"], "many.example": many})
    running.ask(1, "vpn.example")
    found = running.answer()
    assert (found.number, found.error) == (1, "")
    assert sorted(found.addresses) == ["192.0.2.7", "192.0.2.8", "2001:db8::7"]
    running.ask(2, "many.example")
    assert len(set(running.answer().addresses) & set(many)) == MAX_RESOLVED
    running.ask(3, "198.51.100.9")
    assert running.answer() == helpers.LookupResult(3, ("198.51.100.9",))


@pytest.mark.parametrize("host", ["missing.example", "", "a..b", "x" * 300, "a b", "\u00e9" * 100, "\0"])
def test_what_has_no_address_is_an_error(lab: Lab, running: Resolver, host: str) -> None:
    lab.dns()
    running.ask(1, host)
    found = running.answer()
    assert found.addresses == () and found.error


def test_a_slow_server_holds_up_nobody_else(lab: Lab, running: Resolver) -> None:
    lab.dns({"a.example": ["192.0.2.1"]}, delay=SLOW)
    running.ask(1, "a.example")
    running.ask(2, "localhost")  # from /etc/hosts
    assert running.answer().number == 2
    assert running.answer() == helpers.LookupResult(1, ("192.0.2.1",))


def test_a_dead_server_is_an_error_in_time_while_others_are_answered(lab: Lab, running: Resolver) -> None:
    dead = lab.dns(dead=True)
    running.ask(1, "a.example")
    dead.wait_line("asked a.example")
    lab.dns({"b.example": ["192.0.2.2"]}, address=SERVER_ADDRESS6)  # resolv.conf as it is now counts
    running.ask(2, "b.example")
    assert running.answer() == helpers.LookupResult(2, ("192.0.2.2",))
    found = running.answer(RESOLVE_DEADLINE + 1)
    assert (found.number, found.addresses) == (1, ()) and found.error
    assert running.lookups() == set()


def under_way(lab: Lab, running: Resolver, count: int) -> set[int]:
    """The processes of `count` look-ups, numbered from 1, that nobody will answer."""
    dead = lab.dns(dead=True)
    for number in range(1, count + 1):
        running.ask(number, f"n{number}.example")
    for number in range(1, count + 1):
        dead.wait_line(f"asked n{number}.example", RESOLVE_DEADLINE)
    processes = running.lookups()
    assert len(processes) == count
    return processes


def test_a_cancelled_look_up_is_killed_and_not_answered(lab: Lab, running: Resolver) -> None:
    (process,) = under_way(lab, running, 1)
    running.cancel(1)
    running.cancel(1)
    running.cancel(77)
    assert wait_gone(process, DEADLINE)
    running.ask(1, "192.0.2.1")  # its number is free again
    assert running.answer() == helpers.LookupResult(1, ("192.0.2.1",))


def test_a_look_up_that_is_killed_is_a_named_error(lab: Lab, running: Resolver) -> None:
    (process,) = under_way(lab, running, 1)
    os.kill(process, signal.SIGKILL)
    assert running.answer() == helpers.LookupResult(1, (), "the look-up's process died")


def test_look_ups_are_bounded(lab: Lab, running: Resolver) -> None:
    lab.dns(dead=True)
    for number in range(1, MOST + 2):
        running.ask(number, "a.example")
    assert running.answer() == helpers.LookupResult(MOST + 1, (), "too many names are being resolved")
    assert len(running.lookups()) == MOST
    running.cancel(1)
    running.ask(MOST + 2, "192.0.2.1")
    assert running.answer() == helpers.LookupResult(MOST + 2, ("192.0.2.1",))


def test_it_ends_with_its_supervisor_and_takes_everything_along(lab: Lab, running: Resolver) -> None:
    processes = {*under_way(lab, running, 5), running.serving(), running.pid}
    running.channel.close()
    assert not until_gone(lambda: {pid for pid in processes if not _ended(pid)}, DEADLINE)


def _ended(pid: int) -> bool:
    """Gone, or only waits for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_killed_it_comes_back(lab: Lab, running: Resolver) -> None:
    lab.dns({"a.example": ["192.0.2.1"]})
    running.ask(1, "a.example")
    running.answer()
    before = running.serving()
    os.kill(before, signal.SIGKILL)
    running.ask(2, "a.example")
    assert running.said() == helpers.ServesAnew()
    assert running.answer() == helpers.LookupResult(2, ("192.0.2.1",))
    assert running.serving() != before


def test_a_request_that_is_none_ends_only_the_serving_process(lab: Lab, running: Resolver) -> None:
    lab.dns({"a.example": ["192.0.2.1"]})
    running.channel.send(b"junk")
    running.ask(2, "a.example")
    assert running.said() == helpers.ServesAnew()
    assert running.answer() == helpers.LookupResult(2, ("192.0.2.1",))
