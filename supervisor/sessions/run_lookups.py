"""The names that one worker has looked up: it cannot do so itself."""

import asyncio
from collections.abc import Callable

from ...ipc import messages
from ...policy.dbus_numbers import LogCategory, LogGroup
from ...policy.limits import MAX_LOOKUPS_PER_SESSION
from ..errors import ProtocolViolation, SystemFailure
from .context import SessionContext
from .run_network import RunNetwork
from .session_log import SessionLog


class RunLookups:
    """Look-ups that are under way for one run."""

    def __init__(
        self,
        session: str,
        log: SessionLog,
        context: SessionContext,
        network: RunNetwork,
        answer: Callable[[messages.Resolved], None],
    ) -> None:
        """`session` is its name; `answer` tells the worker what was found."""
        self._session = session
        self._log = log
        self._context = context
        self._network = network
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, host: str) -> None:
        """Have a name looked up; the answer goes to the worker when it comes.

        Raises ProtocolViolation if there are too many at once.
        """
        if len(self._tasks) >= MAX_LOOKUPS_PER_SESSION:
            raise ProtocolViolation(f"it asked for more than {MAX_LOOKUPS_PER_SESSION} names at once")
        task = asyncio.create_task(self._resolve(host))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Nobody waits for the answers any more."""
        for task in self._tasks:
            task.cancel()

    async def _resolve(self, host: str) -> None:
        try:
            await self._context.network.kill_switch.name_wanted()
        except SystemFailure as failure:
            self._log.write(LogCategory.WARN, f"{failure}: {host} may not be found", LogGroup.NETCFG)
        addresses, error = await self._context.lookups.resolve(self._session, self._network.device, host)
        # No longer under way: the worker may ask for the next one as soon as it reads this.
        self._tasks.discard(asyncio.current_task())
        self._answer(messages.Resolved(host, addresses, error))
