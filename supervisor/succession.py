"""What no instance can get back, the next one has: whether and when this one leaves to that by itself.

A helper is root's, or was started by root, which this process no longer is.  When both of its processes have ended at
once, nobody is left to replace them.
"""

import asyncio

from ..policy.exit_status import ExitStatus
from ..policy.limits import SERVING_AT_LEAST
from .bus.connection import BusConnection
from .bus.manager_api import BUS_NAME
from .bus.transport import BusLost
from .logging.log import Log
from .services.unit_job import restarts_failed
from .start.starter import by_bus, by_systemd

_BY_HAND = (
    "Nobody would start this service again if it ended now: end it by SIGUSR2, which leaves its sessions to the next "
    "instance, and start it"
)


class Succession:
    """Sets the event `due` when this instance lacks something and is to leave to the next one."""

    def __init__(self, connection: BusConnection, log: Log, lacks: list[str]) -> None:
        """`lacks` is what this instance cannot do."""
        self.due = asyncio.Event()
        self._connection = connection
        self._log = log
        self._lacks = lacks
        self._not_before = 0.0  # on the loop's clock
        self._deciding: asyncio.Task[None] | None = None

    def start(self) -> None:
        """This instance begins to serve."""
        self._not_before = asyncio.get_running_loop().time() + SERVING_AT_LEAST

    def stop(self) -> None:
        """This instance ends."""
        if self._deciding is not None:
            self._deciding.cancel()

    def look(self) -> None:
        """This instance may lack something, or have the bus again, by which it learns who would start the next one."""
        if self._lacks and not self.due.is_set() and (self._deciding is None or self._deciding.done()):
            self._deciding = asyncio.get_running_loop().create_task(self._decide())

    def call_next(self, work: int) -> None:
        """Have the next one started, when the names are released; `work` is how much this one leaves to it.

        Raises BusLost.
        """
        if work and by_bus():  # systemd does it by the exit status; and with nothing to do, the next call
            self._connection.start_service(BUS_NAME)

    @property
    def status(self) -> ExitStatus:
        """With which this process is to end."""
        return ExitStatus.HELPER_LOST if by_systemd() else ExitStatus.OK

    async def _decide(self) -> None:
        try:
            if not by_bus() and not (by_systemd() and await restarts_failed(self._connection)):
                self._log.crit(_BY_HAND)
                return
        except BusLost:
            return  # `look` is called again when it is back
        wait = max(0.0, self._not_before - asyncio.get_running_loop().time())
        self._log.crit(f"Leaving to the next instance, which has all of it, {f'in {wait:.0f} s' if wait else 'now'}")
        await asyncio.sleep(wait)
        self.due.set()
