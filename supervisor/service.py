"""The running service: all its parts, and the order in which they start and end."""

import asyncio
import gc
import os
import signal
import traceback
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..policy.dbus_numbers import LogGroup
from ..policy.exit_status import ExitStatus
from ..policy.limits import LEAVING_DEADLINE, MAX_THREADS
from ..policy.sandbox.layers import Layer
from .administration import Administration
from .bus import configuration_api, log_api, manager_api, stub_api
from .bus.callers import Callers
from .bus.connection import BusConnection, BusLost, BusRefused
from .bus.dispatch import Dispatcher
from .bus.signals import Signals
from .bus_names import BusNames
from .dns.setup import NameService
from .errors import StartError, SystemFailure
from .idle import IdleTimer
from .logging.log import Log
from .network.setup import network_of
from .rejoining import Rejoining
from .rights import Rights
from .service_manager import ServiceManager
from .services.configuration import ConfigurationService
from .services.external_configuration import ExternalConfiguration, choose
from .services.log_service import LogService
from .services.profile_settings import SettingsStore
from .services.profile_store import ProfileStore
from .services.profiles import Profiles
from .services.seats import Seats
from .services.sleep import Sleep
from .services.stubs import export_stubs, names_without_service
from .services.unit_job import is_restarted
from .sessions.adoption import Adoption
from .sessions.autoconnect import Autoconnect
from .sessions.context import SessionContext
from .sessions.failures import Failures
from .sessions.forwarding import Forwarder
from .sessions.journal import SessionJournal
from .sessions.manager import SessionManager
from .sessions.uids import UserIds
from .start import privileged
from .start.instance import InstanceLock
from .start.options import PROGRAM
from .version import API_VERSION, VERSION
from .workers.processes import Processes

_SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"


class Service:
    """All parts of the running service, and the order in which they start and end."""

    def __init__(self, prepared: privileged.Prepared, connection: BusConnection) -> None:
        """Raises StartError if the runtime directory cannot be used."""
        options = prepared.options
        self._options = options
        self._log: Log = prepared.log
        self._sandbox = prepared.sandbox
        self._session_uids = prepared.session_uids
        self._providers = prepared.providers
        self._connection = connection
        self._stop = asyncio.Event()
        self._hand_over = asyncio.Event()  # end, and leave the sessions to the next instance
        self._service_manager = ServiceManager()
        connection.stall.report = self._log.warn
        self._callers = Callers(connection)
        self._dispatcher = Dispatcher(connection, self._callers, service_uid=prepared.account.pw_uid, log=self._log)
        self._embedded = choose(options.configuration) == "embedded"
        self._names = BusNames(
            connection,
            self._log,
            [manager_api.BUS_NAME, *([configuration_api.BUS_NAME] if self._embedded else [])],
            [log_api.BUS_NAME, *names_without_service()],
            self._names_owned,
        )
        self._lock = InstanceLock(options.runtime_dir)
        user_ids = UserIds(prepared.session_uids, shared=Layer.USER not in prepared.sandbox.layers)
        self._processes = Processes(
            prepared.helpers,
            self._log,
            user_ids.give_back,
            self._stop.is_set,
            stopped_grace=options.stopped_grace,
            look_interval=options.look_interval,
        )
        self._rights = Rights(options.rights, Seats(connection).active)
        try:
            self._network = network_of(options, self._log, prepared.tun_directory, prepared.ipv6_settings)
            self._journal = SessionJournal(options.runtime_dir / "sessions")
            self._name_service = NameService(
                connection,
                self._log,
                self._network.name_servers,
                options.runtime_dir / "names",
                self._processes.name_setter,
                self._processes.resolver,
                prepared.dns,
                self._rights,
            )
        except OSError as error:
            raise StartError(f"{error.filename} cannot be used: {error.strerror}", ExitStatus.CANNOT_START) from error
        signals = Signals(connection)
        self._configuration: ConfigurationService | None = None
        profiles: Profiles
        if self._embedded:
            profiles = self._configuration = ConfigurationService(
                ProfileStore(options.runtime_dir, options.state_dir, options.quotas),
                self._dispatcher,
                signals,
                self._log,
                service_uid=prepared.account.pw_uid,
                version=API_VERSION,
            )
        else:
            profiles = ExternalConfiguration(connection, self._log)
        self._settings = SettingsStore(options.runtime_dir, options.state_dir, profiles, self._log)
        if self._configuration is not None:
            self._configuration.on_removed = self._settings.forget
        self._failures = Failures(options.state_dir / "failures", self._dispatcher, self._log)
        context = SessionContext(
            log=self._log,
            network=self._network,
            names=self._name_service.names,
            lookups=self._name_service.lookups,
            rights=self._rights,
            spawner=self._processes.spawner,
            reaper=self._processes.reaper,
            lookout=self._processes.lookout,
            user_ids=user_ids,
            journal=self._journal,
            forwarder=Forwarder(connection, self._dispatcher, signals, self._log),
            providers=prepared.providers.listed,
            descriptors=prepared.descriptors,
            connect_deadline=options.connect_timeout,
            stopped_grace=options.stopped_grace,
            full_titles=options.process_titles == "full",
        )
        self._adoption = Adoption(
            context, self._callers, profiles, prepared.providers, lambda lost: self._manager.lost(lost)
        )
        self._manager = SessionManager(
            version=API_VERSION,
            engine=options.engine,
            engine_was_there=prepared.engine_was_there,
            layers_off=prepared.sandbox.off,
            context=context,
            dispatcher=self._dispatcher,
            signals=signals,
            profiles=profiles,
            settings=self._settings,
            providers=prepared.providers,
            failures=self._failures,
            quotas=options.quotas,
        )
        self._autoconnect = Autoconnect(
            self._manager,
            self._settings,
            self._failures,
            self._log,
            runtime_dir=options.runtime_dir,
            state_dir=options.state_dir,
            embedded=self._embedded,
        )
        before_sleep = self._manager.before_sleep
        self._sleep = Sleep(connection, self._log, before_sleep.prepare, self._network.roaming.resumed)
        before_sleep.wanted = self._sleep.want
        self._log_service = LogService(connection, self._callers, self._dispatcher, self._log, version=API_VERSION)
        self._idle = IdleTimer(
            options.idle_exit, self._work, lambda: self._dispatcher.busy, lambda: self._dispatcher.called_at
        )
        rejoined = (self._named, self._callers.start, self._name_service.rejoined, self._sleep.start)
        given_up = IdleTimer(options.bus_wait, self._work)
        self._rejoining = Rejoining(connection, self._log, self._names, rejoined, given_up)
        self._administration = Administration(
            options,
            prepared.command_line,
            self._log,
            rights=self._rights,
            sessions=self._manager,
            profiles=self._configuration.store if self._configuration else None,
            network=self._network,
            idle=self._idle,
        )

    async def start(self) -> None:
        """Own the names, clean up after an earlier instance, and serve.  Raises StartError, BusLost."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._log_internal_error)
        self._log.credit.later = loop.call_later
        loop.set_default_executor(ThreadPoolExecutor(MAX_THREADS))
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGUSR2, self._hand_over.set)
        await self._names.claim()
        await self._lock.acquire()
        self._processes.start()
        self._administration.start()
        await self._named()
        await self._callers.start()
        self._callers.vanished(self._manager.caller_vanished)
        await self._failures.load()
        await self._take_over()
        await self._name_service.start(self._adoption.devices)
        await self._sleep.start()
        if Layer.FIREWALL in self._sandbox.layers:
            await self._protect()
        if self._configuration is not None:
            await self._configuration.start()
        self._manager.start()
        self._log_service.start()
        await self._go_on()
        export_stubs(self._dispatcher, API_VERSION)
        self._manager.on_fewer = self._autoconnect.on_fewer = self._log_service.on_change = self._less_work
        gc.freeze()
        await self._autoconnect.start()
        self._dispatcher.open()
        self._idle.look()
        self._service_manager.ready()
        self._log.info(
            f"{PROGRAM} {VERSION} runs as user {os.getuid()} with CAP_NET_ADMIN and CAP_KILL only; "
            f"engine {self._options.engine}, {'embedded' if self._embedded else 'external'} configuration service"
        )
        for line in self._sandbox.describe():
            self._log.warn(line)
        for provider in self._providers.listed:
            if provider.problem:
                self._log.warn(f"The PKCS#11 provider {provider.name} cannot be used: {provider.problem}")

    async def run(self) -> ExitStatus:
        """Serve until there is a reason to end; the exit status."""
        while True:
            reason = await self._await_reason()
            if reason is self._connection.lost:
                status = await self._without_bus()
                if status is not None:
                    return status
                continue
            try:
                if reason is self._stop and await is_restarted(self._connection):
                    reason = self._hand_over
                if reason is self._hand_over:
                    await self._leave_sessions()
                    return ExitStatus.OK
                if await self._leave(for_good=reason is self._stop):
                    return ExitStatus.OK
            except BusLost:
                pass  # which is the next reason
            except BusRefused as error:
                self._log.fatal(f"The bus does not answer ({error}): ending all sessions")
                self._autoconnect.stop()
                await self._manager.disconnect_all()
                return ExitStatus.BUS_LOST

    async def close(self) -> None:
        """Release all resources, the helpers last."""
        self._service_manager.ending()
        self._autoconnect.stop()
        await self._failures.close()
        self._administration.stop()
        self._dispatcher.close()
        self._connection.close()
        await self._network.close(leave=bool(self._manager.count))
        self._name_service.names.close()
        self._processes.close()

    # Starting

    def _names_owned(self, owned: Mapping[str, bool]) -> None:
        self._manager.on_bus.forwards_arrive = owned[log_api.BUS_NAME]
        self._manager.on_bus.devices.served = owned.get(stub_api.DEVICE.name, False)

    async def _take_over(self) -> None:
        """Take over the sessions of an earlier instance, and end what is left of others."""
        try:
            for pid in await self._adoption.prove():
                self._log.warn(f"Ended worker {pid} of an earlier instance")
            for device in await self._adoption.inherit():
                self._log.warn(f"Removed device {device} of an earlier instance", group=LogGroup.NETCFG)
            await self._network.kill_switch.recover()
        except (OSError, SystemFailure) as error:
            self._log.error(f"Cleaning up after an earlier instance failed: {error}")

    async def _go_on(self) -> None:
        """Have the sessions that were taken over on the bus, as they were, and settled."""
        await self._adoption.show(self._manager, self._manager.adopted)
        try:
            await self._adoption.settle()
        except SystemFailure as error:
            self._log.error(f"What an earlier instance has set is not as it should be: {error}")
        if self._manager.count:
            self._log.info(f"Took over {self._manager.count} sessions of an earlier instance")

    async def _protect(self) -> None:
        try:
            await self._network.protect(self._session_uids)
        except SystemFailure as error:  # though the trial of it succeeded
            raise StartError(f"The layer firewall failed: {error}", ExitStatus.CONFINEMENT) from error

    # Running

    async def _await_reason(self) -> "asyncio.Event | asyncio.Future[str]":
        idle = asyncio.ensure_future(self._idle.idle.wait())
        stop = asyncio.ensure_future(self._stop.wait())
        hand_over = asyncio.ensure_future(self._hand_over.wait())
        lost = self._connection.lost
        waits: list[asyncio.Future[Any]] = [idle, stop, hand_over, lost]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in (idle, stop, hand_over):
            one.cancel()
        if lost.done():
            return lost
        return next((one for one in (self._stop, self._hand_over) if one.is_set()), self._idle.idle)

    async def _leave_sessions(self) -> None:
        """Release the names and answer the calls that have come before, but leave sessions to the next instance."""
        self._log.info(f"Asked to hand over {self._manager.count} sessions to the next instance")
        self._autoconnect.stop()
        self._manager.abandon_starting()
        self._lock.leaving()
        await self._names.release()
        try:
            async with asyncio.timeout(LEAVING_DEADLINE):
                await self._dispatcher.settled()
        except TimeoutError:
            self._log.warn(f"{self._dispatcher.busy} calls are left unanswered")
        await self._connection.drain()
        await self._connection.round_trip()

    async def _leave(self, *, for_good: bool) -> bool:
        """Release the names, answer the calls that have arrived before that, and return whether to end now.

        A call that the bus delivers later starts the next instance; so none is lost.
        """
        if for_good:
            await self._end_all()
        self._lock.leaving()
        await self._names.release()
        # A call came meanwhile: stay, unless another instance has the names by now.
        came = self._idle.called_since or self._work() or self._dispatcher.busy
        if not for_good and came and not await self._names.own():
            self._lock.staying()
            self._idle.restart()
            return False
        try:
            async with asyncio.timeout(LEAVING_DEADLINE):
                await self._dispatcher.settled()
        except TimeoutError:
            self._log.warn(f"{self._dispatcher.busy} calls are left unanswered")
        await self._manager.disconnect_all()
        await self._connection.drain()
        await self._connection.round_trip()
        if not for_good:
            self._log.verb1("Idle: no session and no call for a while; ending")
        return True

    async def _end_all(self) -> None:
        """Whoever stops the service wants the machine's network back."""
        self._log.info("Asked to end: disconnecting all sessions")
        self._autoconnect.stop()
        await self._manager.disconnect_all()
        if os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()):
            return  # the unit ends the kill switch: it can tell a stop from a restart and from the machine's shutdown
        try:
            await self._network.kill_switch.end(lambda _: True, "the service is stopped")
        except SystemFailure as error:
            self._log.error(f"The kill switch cannot be switched off: {error}", group=LogGroup.NETCFG)

    async def _without_bus(self) -> ExitStatus | None:
        """Keep the sessions until the bus is back; a status if this process is to end before."""
        self._log.error(f"Connection to the bus lost ({self._connection.lost.result()}); sessions go on")
        self._service_manager.status("The bus is away; sessions go on")
        self._dispatcher.disconnected()
        self._callers.forget()
        if await self._rejoining.joined(self._stop, self._hand_over):
            self._log.info("The bus is joined again")
            self._service_manager.status("Serving")
            self._idle.restart()
            return None
        if self._stop.is_set():
            await self._end_all()
            return ExitStatus.OK
        if self._hand_over.is_set():
            self._autoconnect.stop()
            self._manager.abandon_starting()
            self._lock.leaving()
            return ExitStatus.OK
        self._log.fatal(f"The bus is not back after {self._options.bus_wait:g} s without a session: ending")
        return ExitStatus.BUS_LOST

    def _less_work(self) -> None:
        self._idle.look()
        self._rejoining.less_work()

    async def _named(self) -> None:
        """This process has a name on the bus, perhaps another one than before."""
        self._log.bus_name = self._connection.unique_name or ""

    def _work(self) -> int:
        """What keeps the service running: sessions, those to come, and attached services, which log through it."""
        return self._manager.count + self._autoconnect.pending + self._log_service.num_attached

    def _log_internal_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        trace = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
        self._log.error(f"Internal error: {context.get('message')}\n{trace}")


async def serve(prepared: privileged.Prepared) -> ExitStatus:
    """Connect to the bus, serve, disconnect; the exit status.  Raises StartError."""
    # An empty variable counts as none; dbus-fast would look for a session bus.
    address = os.environ.get("DBUS_SYSTEM_BUS_ADDRESS") or _SYSTEM_BUS
    try:
        connection = BusConnection(address)
        await connection.connect()
    except BusLost as error:
        raise StartError(f"No connection to the system bus at {address}: {error}", ExitStatus.CANNOT_START) from error
    service = Service(prepared, connection)
    try:
        await service.start()
        return await service.run()
    except BusLost as error:
        raise StartError(f"Connection to the bus lost: {error}", ExitStatus.BUS_LOST) from error
    finally:
        await service.close()
