"""Puts the firewall back when another program removes it, as `nft flush ruleset` does; to be used on the loop."""

import asyncio

from ...policy.dbus_numbers import LogGroup
from ..logging.log import Log
from .contest import Contest
from .firewall import TABLE, Firewall
from .serial_executor import SerialExecutor
from .table_events import TableEvents


class FirewallWatch:
    """Until it is put back, sessions are not kept from this machine's services, nor others from their addresses."""

    def __init__(self, executor: SerialExecutor, firewall: Firewall, log: Log) -> None:
        """`firewall` is used in `executor` only."""
        self._executor = executor
        self._firewall = firewall
        self._log = log
        self._events = TableEvents(TABLE, self._removed)
        self._contest = Contest()
        self._due: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to watch, unless begun already.  Raises SystemFailure."""
        self._events.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._events.stop()
        if self._due is not None:
            self._due.cancel()

    def _removed(self, alone: bool, by: str) -> None:
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(self._contest.pause(), self._restore, by)

    def _restore(self, by: str) -> None:
        self._due = None
        job = asyncio.wrap_future(self._executor.submit(self._firewall.restore))

        def told(job: asyncio.Future[bool]) -> None:
            if job.cancelled():
                return
            if error := job.exception():
                text = f"The firewall of sessions, which {by} has removed, is not there again: {error}"
                self._log.error(text, group=LogGroup.NETCFG)
            elif job.result():
                self._contest.missing()
                text = f"{by} removed the firewall of sessions; it is there again"
                self._log.warn(text, group=LogGroup.NETCFG)

        job.add_done_callback(told)
