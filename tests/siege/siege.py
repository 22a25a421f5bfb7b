"""The course of a siege: put up, warm up, attack in rounds, come to rest, judge."""

import os
import sys
import time
from collections.abc import Callable, Mapping

import msgspec

from ...policy.limits import BUS_SLOW
from ..lab.flows import Flow
from ..lab.lab import Lab
from ..lab.processes import LabError, Process
from ..lab.surroundings import ALICE
from . import census, leaving
from .alice import THROUGH, Alice, Noticed
from .attacker import Orders
from .census import Census
from .field import ATTACKERS, Field
from .wire import Gone

# What may have grown between two rests.  The first large profiles leave each thread a heap; then nothing accumulates.
MOST_KEPT = 64.0  # MB of a process, from before the first attack on
MORE_DESCRIPTORS = 2  # of a process: its log, and a connection that the bus has not yet closed
MORE_MEMORY = 24.0  # MB of a process: heaps of a few threads more
MORE_THREADS = min(32, (os.cpu_count() or 1) + 4)  # of a process: asyncio makes them when needed, and keeps them
# At any time.
MOST_MEMORY = 500.0  # MB of the supervisor
MOST_DESCRIPTORS = 1024  # of the supervisor; the unit allows 4096
# A flow may lose one datagram, and one in so many: queues that were full for a moment on a machine that is busy with
# everything at once.  (Without attackers none is lost, and mostly none with them.)
ORDINARY = 10_000

_QUIET = 3.0  # seconds without attackers, for comparison
_LEAVING = 60.0  # seconds for attackers to end after their time is over
_REST = 60.0  # seconds for what is left to go
_LOOK_AROUND = 5.0  # seconds between the dearer looks
_SLOW = 2000.0  # ms of a call of alice's, from which on it is shown
_TOLD = 30.0  # seconds between lines
_LAST_ACTS = 15
_TROUBLE = ("A fault of the service", "Traceback", "never retrieved", "Exception in callback")
_NOT_TAKEN = "The bus has taken nothing"  # trouble, too, unless the bus stood still for everybody


class Plan(msgspec.Struct, frozen=True):
    """How long, and how many."""

    seed: int
    seconds: float
    warm_up: float
    a_round: float
    connections: int  # of all attackers
    users: int = len(ATTACKERS)  # of whom in the end it is tried whether they get all that a user may have
    without: tuple[str, ...] = ()  # acts and kinds of profiles that are left out


class Siege:
    """The service, alice, and five who attack."""

    def __init__(self, lab: Lab, plan: Plan, say: Callable[[str], None]) -> None:
        self._lab = lab
        self._plan = plan
        self._say = say
        self._attackers: dict[str, Process] = {}
        self._began = time.monotonic()
        self._told = self._looked = 0.0
        self._bus_read = 0
        self._log_read = 0
        self._most = Most()
        self.field = Field(lab)
        self.alice = Alice(self.field)

    def run(self) -> list[str]:
        """All of it; what is wrong in the end."""
        try:
            return self._course()
        except (Noticed, LabError, Gone) as error:
            return [str(error), *self._last_acts(), *self._last_log()]
        finally:
            self.alice.leave()
            for process in self._attackers.values():
                process.stop(0)
            self.field.close()

    def _course(self) -> list[str]:
        self._watch(lambda: time.monotonic() < self._began + _QUIET)
        for where, flow in self.alice.flows().items():
            self._say(f"without attackers, {where}: {_flow(flow)}")
        at_first = census.take(self.field)
        self._attack("warm-up", self._plan.warm_up)
        warm = self._rest(at_first, at_first, MOST_KEPT)
        until = time.monotonic() + self._plan.seconds
        number = 0
        while (left := until - time.monotonic()) > 1:
            number += 1
            self._attack(str(number), min(left, self._plan.a_round))
        after = self._rest(at_first, warm, MORE_MEMORY)
        self._say(f"{time.monotonic() - self._began:5.0f} s: at rest; are all quotas there?")
        leaving.check_unread(self.field, ATTACKERS[:4], self.field.texts)
        leaving.check_quotas(self.field, ATTACKERS[: self._plan.users], self.field.texts)
        self._rest(at_first, warm, MORE_MEMORY)
        self._watch_log()
        self._say(f"{time.monotonic() - self._began:5.0f} s: over")
        wrong = self._most.beyond()
        flows = self.alice.stop_flows()
        for where, flow in flows.items():
            self._say(f"{where}: {_flow(flow)}")
        wrong += _unordinary(flows)
        self._say(f"alice: {self.alice.speed()}")
        self._say(f"at most: {self._most}")
        self._say(f"at rest, first: {_rest(at_first)}; warm: {_rest(warm)}; in the end: {_rest(after)}")
        return wrong

    # Attacking

    def _attack(self, name: str, seconds: float) -> None:
        """One round."""
        for process in self._attackers.values():
            process.stop(0)
        self._attackers = {}
        for account in ATTACKERS:
            seed = f"{self._plan.seed}-{name}-{account.name}"
            orders = Orders(
                address=self.field.bus.address,
                seed=seed,
                seconds=seconds,
                connections=self._plan.connections // len(ATTACKERS),
                texts=self.field.texts,
                uids=[*(one.uid for one in ATTACKERS), ALICE.uid],
                alices=[self.alice.session, self.alice.profile],
                without=list(self._plan.without),
            )
            file = self._lab.file("orders", msgspec.json.encode(orders).decode(), account.name)
            program = [sys.executable, "-m", f"{__package__}.attack", str(file)]
            self._attackers[seed] = self._lab.start_as_user(account.name, program)
        self._say(f"round {name}, {seconds:.0f} s: seeds {' '.join(self._attackers)}")
        until = time.monotonic() + seconds + _LEAVING
        self._watch(lambda: any(one.running() for one in self._attackers.values()) and time.monotonic() < until)
        for seed, process in self._attackers.items():
            status = process.wait(0.1)
            if status or "over" not in process.lines[-1:]:
                raise Noticed(f"the attacker {seed} ended with status {status}:\n" + "\n".join(process.lines[-25:]))
        self._watch_log()

    def _watch(self, goes_on: Callable[[], bool]) -> None:
        """Be alice, and look at the service, for as long as it goes on."""
        while goes_on():
            self.alice.look()
            now = time.monotonic()
            if self.alice.took[-1] > _SLOW:
                last = [f"{seed}: {'; '.join(one.lines[-3:])}" for seed, one in self._attackers.items()]
                self._say(f"{now - self._began:5.0f} s: alice waited {self.alice.took[-1]:.0f} ms, after {last}")
            if now > self._looked + _LOOK_AROUND:
                self._looked = now
                self.alice.look_around()
                if not self.field.service.process.running():
                    raise Noticed("the service has ended")
                if lost := _unordinary(self.alice.flows()):
                    raise Noticed("; ".join(lost))
                self._most.note(census.take(self.field))
            if now > self._told + _TOLD:
                self._told = now
                through = self.alice.flows()[THROUGH]
                self._say(f"{now - self._began:5.0f} s: {self._most.last}; {_flow(through)}; {self.alice.speed()}")

    def _watch_log(self) -> None:
        lines = self.field.service.process.lines
        bus_stood_still = max(self.alice.bus_took[self._bus_read :], default=0.0) > BUS_SLOW * 1000
        self._bus_read = len(self.alice.bus_took)
        for number, line in enumerate(lines[self._log_read :], self._log_read):
            if any(trouble in line for trouble in _TROUBLE) or (_NOT_TAKEN in line and not bus_stood_still):
                raise Noticed("in the log:\n" + "\n".join(lines[max(number - 5, 0) : number + 25]))
        self._log_read = len(lines)

    # Resting

    def _rest(self, empty: Census, before: Census, memory: float) -> Census:
        """Take away what attackers own, and wait until nothing is there that was not when all was `empty`.

        Nor may anything have grown since `before` beyond its bounds, memory by more than so many MB.  What there is
        then.  Raises Noticed.
        """
        for process in self._attackers.values():
            process.stop(0)
        until = time.monotonic() + _REST
        while True:
            # Again, since a call of theirs may have waited for its turn and start a session only now.
            leaving.leave(self.field, ATTACKERS)
            after = census.take(self.field)
            wrong = census.left(empty, after)
            wrong += census.grown(before, after, descriptors=MORE_DESCRIPTORS, threads=MORE_THREADS, memory=memory)
            if not wrong:
                return after
            if time.monotonic() > until:
                raise Noticed("at rest: " + "; ".join(wrong))
            self.alice.look()

    def _last_acts(self) -> list[str]:
        return [
            f"last acts of {seed}:\n  " + "\n  ".join(process.lines[-_LAST_ACTS:])
            for seed, process in self._attackers.items()
        ]

    def _last_log(self) -> list[str]:
        return ["last lines of the service:\n  " + "\n  ".join(self.field.service.process.lines[-15:])]


def _unordinary(flows: Mapping[str, Flow]) -> list[str]:
    """The flows that have lost more than what is ordinary."""
    return [
        f"{flow.missing} of {flow.sent} datagrams are lost {where}"
        for where, flow in flows.items()
        if flow.missing > 1 + flow.sent // ORDINARY
    ]


class Most:
    """The most that there was at any time."""

    def __init__(self) -> None:
        self.memory = self.all_memory = 0.0
        self.descriptors = self.processes = self.files = 0
        self.last = ""

    def note(self, now: Census) -> None:
        self.memory = max(self.memory, now.supervisor.memory)
        self.all_memory = max(self.all_memory, now.memory)
        self.descriptors = max(self.descriptors, now.supervisor.descriptors)
        self.processes = max(self.processes, len(now.processes))
        self.files = max(self.files, len(now.files))
        self.last = _rest(now)

    def beyond(self) -> list[str]:
        """What was beyond its bound."""
        found = []
        if self.memory > MOST_MEMORY:
            found.append(f"the supervisor had {self.memory:.0f} MB")
        if self.descriptors > MOST_DESCRIPTORS:
            found.append(f"the supervisor had {self.descriptors} descriptors")
        return found

    def __str__(self) -> str:
        return (
            f"supervisor {self.memory:.0f} MB and {self.descriptors} descriptors; {self.processes} processes, "
            f"{self.all_memory:.0f} MB; {self.files} files"
        )


def _rest(found: Census) -> str:
    one = found.supervisor
    return (
        f"supervisor {one.memory:.1f} MB, {one.descriptors} descriptors, {one.threads} threads; "
        f"{len(found.processes)} processes, {found.memory:.1f} MB, {found.descriptors} descriptors; "
        f"{len(found.files)} files"
    )


def _flow(flow: Flow) -> str:
    return (
        f"{flow.missing} of {flow.sent} datagrams lost, {flow.twice} twice, {flow.late} late, "
        f"longest {flow.longest:.0f} ms"
    )
