"""The service on the bus, before its parts are there: it owns its names, and answers what takes none of them.

Most of the service is imported only then (program.py), so whoever has it started, by asking whether it is there, does
not wait for that.  All other calls are held until the service is ready.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping

from ..policy.access import Acl, Caller
from ..policy.exit_status import ExitStatus
from .bus import configuration_api, log_api, manager_api
from .bus.callers import Callers
from .bus.connection import BusConnection
from .bus.dispatch import Dispatcher
from .bus.stub_api import root_path, versioned
from .bus.transport import BusLost
from .bus_names import BusNames
from .errors import StartError
from .rejoining import first_joined
from .services.activation import configuration_service
from .services.stubs import names_without_service
from .sessions.journal import SESSIONS, SessionJournal
from .start.instance import InstanceLock
from .start.privileged import Prepared
from .version import API_VERSION

_SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"


class _Root:
    """What the root object of each name has from the beginning."""

    acl: Acl | None = None
    version = API_VERSION


class NoSessions(_Root):
    """The session manager while there is no session."""

    def fetch_available_sessions(self, _: Caller) -> list[str]:
        """Answers FetchAvailableSessions."""
        return []

    def fetch_managed_interfaces(self, _: Caller) -> list[str]:
        """Answers FetchManagedInterfaces."""
        return []

    def lookup_config_name(self, _: Caller, _config_name: str) -> list[str]:
        """Answers LookupConfigName."""
        return []


class Presence:
    """The connection to the bus, who calls, the names, and the lock that there is one instance only.

    With `waits` there are sessions of an earlier instance, and a bus that goes is waited for.
    """

    def __init__(self, prepared: Prepared, connection: BusConnection, *, waits: bool) -> None:
        """Raises StartError if the runtime directory cannot be used."""
        self.prepared = prepared
        self.connection = connection
        self._waits = waits
        self.stop = asyncio.Event()  # the service is to end
        self.hand_over = asyncio.Event()  # the same, and to leave the sessions to the next instance
        self.lock = InstanceLock(prepared.options.runtime_dir)
        self.connection.stall.report = prepared.log.warn
        self.callers = Callers(self.connection)
        self.dispatcher = Dispatcher(
            self.connection, self.callers, service_uid=prepared.account.pw_uid, log=prepared.log
        )
        self.embedded = configuration_service(prepared.options.configuration) == "embedded"
        required = [manager_api.BUS_NAME, *([configuration_api.BUS_NAME] if self.embedded else [])]
        more = [log_api.BUS_NAME, *names_without_service()]
        self.names = BusNames(self.connection, prepared.log, required, more, self._owned)
        names = [*required, *more]
        if self.embedded:
            self.dispatcher.expect(configuration_api.CONFIGURATION)  # an Import may be the call that starts the service
        if not waits:
            self.dispatcher.answer_early(
                manager_api.ROOT_PATH, manager_api.WITHOUT_SESSIONS, NoSessions(), bus_name=manager_api.BUS_NAME
            )
            names.remove(manager_api.BUS_NAME)
        for name in names:
            self.dispatcher.answer_early(root_path(name), versioned(name, "Root"), _Root(), bus_name=name)
        self.owned: Mapping[str, bool] = {}  # which of `more` are this service's
        self.on_owned: Callable[[Mapping[str, bool]], None] = lambda owned: None  # called when that is known again

    async def begin(self) -> bool:
        """Own the names, and hold what calls cannot be answered yet; False if the service is to end before.

        From now on signals end it in order.  Raises StartError, BusLost, BusRefused.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        loop.add_signal_handler(signal.SIGUSR2, self.hand_over.set)
        owning = asyncio.ensure_future(self._own_names())
        ends = [asyncio.ensure_future(event.wait()) for event in (self.stop, self.hand_over)]
        await asyncio.wait([owning, *ends], return_when=asyncio.FIRST_COMPLETED)
        for one in (owning, *ends):
            one.cancel()
        if not owning.done():
            self.connection.close()
            return False
        owning.result()
        return True

    async def _own_names(self) -> None:
        await self.ask(self.callers.start)
        await self.ask(self.names.claim)
        await self.lock.acquire()
        await self.named()
        # Who has the service started has called by now: what takes long comes after the answer.
        await self.ask(self.connection.round_trip)
        self.prepared.helpers.go_on()

    async def ask(self, ask: Callable[[], Awaitable[None]]) -> None:
        """Have something made that goes with the connection; if that goes, all of it is made anew later (rejoining.py).

        Raises BusLost where it is not waited for.
        """
        try:
            await ask()
        except BusLost:
            if not self._waits:
                raise

    async def named(self) -> None:
        """This process has a name on the bus, perhaps another one than before."""
        self.prepared.log.bus_name = self.connection.unique_name or ""

    def _owned(self, owned: Mapping[str, bool]) -> None:
        self.owned = owned
        self.on_owned(owned)


async def join(prepared: Prepared) -> Presence:
    """Connect to the bus.  Raises StartError."""
    # An empty variable counts as none; dbus-fast would look for a session bus.
    address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or _SYSTEM_BUS
    waits = SessionJournal.keeps_any(prepared.options.runtime_dir / SESSIONS)
    try:
        connection = await first_joined(address, prepared.log, waits=waits)
    except BusLost as error:
        raise StartError(f"No connection to the system bus at {address}: {error}", ExitStatus.CANNOT_START) from error
    return Presence(prepared, connection, waits=waits)
