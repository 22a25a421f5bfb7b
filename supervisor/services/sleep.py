"""When the machine sleeps, and has slept: systemd-logind tells (org.freedesktop.login1(5)), where there is one."""

import asyncio
import os
from collections.abc import Awaitable, Callable

from dbus_fast import Message, MessageType

from ...policy.limits import BEFORE_SLEEP_DEADLINE
from ..bus.connection import BUS_PATH, BusConnection, BusRefused
from ..bus.inbound import BUS
from ..bus.transport import BusLost
from ..logging.log import Log

_LOGIND = "org.freedesktop.login1"
_PATH = "/org/freedesktop/login1"
_MANAGER = "org.freedesktop.login1.Manager"
_OWNER_RULE = f"type='signal',sender='{BUS}',path='{BUS_PATH}',interface='{BUS}',member='NameOwnerChanged'"
_RULES = (
    f"{_OWNER_RULE},arg0='{_LOGIND}'",
    f"type='signal',sender='{_LOGIND}',path='{_PATH}',interface='{_MANAGER}',member='PrepareForSleep'",
)


class Sleep:
    """Calls `prepare` when the machine is about to sleep, and `resumed` when it has slept.

    While something is to be done before, logind is asked to wait for it (an inhibitor of the kind "delay"); where it
    does not answer or refuses, all goes on without.
    """

    def __init__(
        self, connection: BusConnection, log: Log, prepare: Callable[[], Awaitable[None]], resumed: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._log = log
        self._prepare = prepare
        self._resumed = resumed
        self._owner = ""  # the connection that is logind
        self._wanted = False
        self._asleep = False
        self._inhibitor = -1  # logind waits while this descriptor is open
        self._asking: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None
        connection.add_message_handler(self._signalled)

    def want(self, wanted: bool) -> None:
        """From now on there is something to do before the machine sleeps, or not any more."""
        self._wanted = wanted
        self._update()

    async def start(self) -> None:
        """Have the bus pass on what logind tells, now or once it runs; for each connection anew.  Raises BusLost."""
        ask = self._connection.ask_bus
        # One batch; the bus answers that logind has no owner with an error.
        *matches, owner = await asyncio.gather(
            *(ask("AddMatch", "s", rule) for rule in _RULES),
            ask("GetNameOwner", "s", _LOGIND),
            return_exceptions=True,
        )
        for outcome in (*matches, owner):
            if isinstance(outcome, BusLost):
                raise outcome
        refused = next((one for one in matches if isinstance(one, BusRefused)), None)
        if refused is not None:
            self._log.warn(f"That the machine has slept will not be noticed: {refused}")
        self._runs(owner[0] if isinstance(owner, list) else "")

    def _runs(self, owner: str) -> None:
        """Logind is this connection; none: it has ended."""
        heard = self._connection.inbound.heard
        heard.discard(self._owner.encode())
        self._owner = owner
        if owner:
            heard.add(owner.encode())
        self._asleep = False
        self._release()
        self._update()

    def _update(self) -> None:
        """Have logind wait, or not, as is wanted."""
        if self._preparing is not None:
            return  # until that is done
        if not self._wanted:
            self._release()
        elif self._owner and not self._asleep and self._inhibitor < 0 and self._asking is None:
            self._asking = asyncio.create_task(self._ask_to_wait(self._owner))

    async def _ask_to_wait(self, owner: str) -> None:
        body = ["sleep", "openvpn3-sessionmgr", "VPN sessions are to be paused or ended", "delay"]
        try:
            inhibitor = await self._connection.ask_descriptor(owner, _PATH, _MANAGER, "Inhibit", "ssss", body)
        except (BusRefused, BusLost) as error:
            self._log.warn(f"The machine may sleep before sessions are paused or ended: systemd-logind: {error}")
            return  # asked again when it is wanted anew
        finally:
            self._asking = None
        if owner == self._owner and self._inhibitor < 0 and not self._asleep:
            self._inhibitor = inhibitor
            self._update()
        else:
            os.close(inhibitor)
            self._update()

    def _release(self) -> None:
        """Let logind go on."""
        if self._inhibitor >= 0:
            os.close(self._inhibitor)
            self._inhibitor = -1

    def _signalled(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.sender == BUS and message.member == "NameOwnerChanged" and message.signature == "sss":
            name, _, new_owner = message.body
            if name == _LOGIND:
                self._runs(new_owner)
        elif self._is_of_sleep(message):
            self._asleep = message.body[0]
            if self._wanted and self._preparing is None:
                self._preparing = asyncio.create_task(self._before_sleep())
            if not self._asleep:
                self._log.info("The machine has slept: sessions look for their servers anew")
                self._resumed()
                self._update()

    async def _before_sleep(self) -> None:
        """Do what is to be done; or after the sleep, where there was no time before."""
        try:
            async with asyncio.timeout(BEFORE_SLEEP_DEADLINE):
                await self._prepare()
        except TimeoutError:
            self._log.warn(f"Not all sessions were paused or ended in {BEFORE_SLEEP_DEADLINE:g} s before the sleep")
        finally:
            self._preparing = None
            self._release()
            self._update()

    def _is_of_sleep(self, message: Message) -> bool:
        return message.sender == self._owner != "" and (message.interface, message.member, message.signature) == (
            _MANAGER,
            "PrepareForSleep",
            "b",
        )
