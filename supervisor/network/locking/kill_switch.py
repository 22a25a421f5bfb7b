"""The kill switch: while a session wants it, nothing leaves this machine but what lock_rules.py lists.

It outlives sessions that fail, and the service.  To be used on the loop.
"""

import asyncio
import time
from collections.abc import Callable
from typing import NamedTuple

from ....policy.dbus_numbers import LogGroup
from ....policy.limits import KERNEL_DEADLINE, NETWORK_DEADLINE
from ...accounts import account_id
from ...errors import SystemFailure
from ...logging.log import Log
from ..serial_executor import SerialExecutor, limited
from ..table_events import TableEvents
from .lock import MachineLock
from .lock_rules import TABLE, Hold

_RESOLVED = "systemd-resolve"  # the account of systemd-resolved


class Held(NamedTuple):
    """Who wants the lock, and whether the session is still there."""

    hold: Hold
    live: bool


def _nobody(session: str, text: str) -> None:
    pass


class KillSwitch:
    """Sessions want the machine locked (`hold`) until they `let_go`, or somebody ends it."""

    def __init__(self, lock: MachineLock, executor: SerialExecutor, log: Log) -> None:
        self.on_notice: Callable[[str, str], None] = _nobody  # for the log and the notices of this session
        self._lock = lock
        self._executor = executor
        self._log = log
        self._live = set[str]()  # sessions of this instance that want it, until nothing is left of them
        self._events = TableEvents(TABLE, self._removed)
        self._tasks = set[asyncio.Task[None]]()

    @property
    def holds(self) -> list[Held]:
        """Who wants the lock; empty if the machine is not locked."""
        return [Held(hold, hold.session in self._live) for hold in self._lock.holds]

    @property
    def pass_left(self) -> float:
        """The seconds that everything passes, 0 if it does not."""
        return self._lock.pass_left if self._lock.holds else 0

    async def recover(self) -> None:
        """Take charge of the lock of an earlier instance.  Raises SystemFailure."""
        try:
            async with limited("looking at the kill switch", NETWORK_DEADLINE):
                await self._executor.run(self._lock.recover)
        finally:
            for hold in self._lock.holds:
                self._write("The machine is still locked by the kill switch of an earlier session", hold)
            if self._lock.holds:
                self._events.start()

    async def hold(self, session: str, user: int, profile: str) -> None:
        """Lock the machine for a session that this user has started.  Raises SystemFailure."""
        self._live.add(session)
        self._events.start()
        hold = Hold(user, session, int(time.time()), profile)
        live = frozenset(self._live)

        def superseded(other: Hold) -> bool:
            return other.user == user and other.session not in live

        async with limited("locking the machine", NETWORK_DEADLINE):
            await self._executor.run(self._lock.hold, hold, superseded)
        self._write("The kill switch is on: nothing leaves this machine but by tunnels", hold)

    def go_on(self, session: str) -> None:
        """A session of an earlier instance goes on, for which the machine may be locked."""
        self._live.add(session)

    def ended(self, session: str) -> None:
        """Nothing is left of a session; what it wanted stays."""
        self._live.discard(session)

    def let_go(self, session: str, ended: asyncio.Event) -> None:
        """Its user has ended a session: it no longer wants the lock once `ended` is set."""
        task = asyncio.create_task(self._let_go(session, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _let_go(self, session: str, ended: asyncio.Event) -> None:
        await ended.wait()
        try:
            await self.end(lambda hold: hold.session == session, "its session was disconnected")
        except SystemFailure as error:
            self._log.error(f"The kill switch cannot be switched off: {error}", group=LogGroup.NETCFG, session=session)

    async def end(self, ends: Callable[[Hold], bool], why: str) -> None:
        """These no longer want the lock.  Raises SystemFailure."""
        async with limited("unlocking the machine", NETWORK_DEADLINE):
            ended = await self._executor.run(self._lock.end, ends)
        for hold in ended:
            self._say(f"The kill switch is off: {why}", hold)

    async def give_pass(self, seconds: int, user: int) -> bool:
        """Let everything through for so long, for root, or who alone wants the lock; whether that is so.

        Raises SystemFailure.
        """
        async with limited("lifting the kill switch", NETWORK_DEADLINE):
            given = await self._executor.run(self._lock.give_pass, seconds, lambda hold: user in (0, hold.user))
        if given:
            for hold in self._lock.holds:
                self._say(f"The kill switch is lifted for {seconds} s by user {user}: everything passes", hold)
        return given

    async def name_wanted(self) -> None:
        """A name is about to be looked up for a session.  Raises SystemFailure."""
        if not self._lock.holds:
            return
        try:
            resolved = await account_id(_RESOLVED, user=0)
        except (KeyError, TimeoutError):
            return  # then it is not systemd-resolved that asks
        async with limited("letting a name be looked up", KERNEL_DEADLINE):
            await self._executor.run(self._lock.let_ask, resolved)

    async def close(self) -> None:
        """Finish what was begun; the lock stays."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._events.stop()

    def _removed(self, alone: bool, by: str) -> None:
        holds = self._lock.holds
        job = asyncio.wrap_future(self._executor.submit(self._lock.removed, alone))

        def told(job: asyncio.Future[bool]) -> None:
            if job.cancelled():
                return
            if error := job.exception():
                self._log.error(f"The kill switch, which {by} has removed, is not there again: {error}")
            elif job.result():
                what = "switched the kill switch off" if alone else "removed the kill switch; it is there again"
                for hold in holds:
                    self._say(f"{by} {what}", hold)

        job.add_done_callback(told)

    def _write(self, text: str, hold: Hold) -> None:
        self._log.info(text, group=LogGroup.NETCFG, session=hold.session, user=hold.user)

    def _say(self, text: str, hold: Hold) -> None:
        """In the log, and to who uses the session."""
        self._write(text, hold)
        if hold.session in self._live:
            self.on_notice(hold.session, text)
