"""The running service: the order in which its parts start and end, and for what reason it ends."""

import asyncio
import gc
import os
import traceback
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from ..policy.dbus_numbers import LogGroup
from ..policy.exit_status import ExitStatus
from ..policy.import_blocks import import_for_errors
from ..policy.limits import MAX_THREADS
from ..policy.sandbox.layers import Layer
from . import leaving
from .bus.connection import BusRefused
from .bus.transport import BusLost
from .errors import StartError, SystemFailure
from .parts import Parts
from .presence import Presence
from .service_manager import ServiceManager
from .services.stubs import export_stubs
from .services.unit_job import is_restarted
from .start.options import PROGRAM
from .version import API_VERSION, VERSION

_FOR_ERRORS_AFTER = 1.0  # seconds after the start: whoever waited for it has been answered


class Service:
    """Starts all parts in their order, serves until there is a reason to end, and ends them in theirs."""

    def __init__(self, presence: Presence) -> None:
        """Raises StartError if the runtime directory cannot be used."""
        self._ask_bus = presence.ask
        self._prepared = presence.prepared
        self._log = presence.prepared.log
        self._connection = presence.connection
        self._stop, self._hand_over = presence.stop, presence.hand_over
        self._parts = Parts(presence)
        self._service_manager = ServiceManager()

    async def start(self) -> None:
        """Clean up after an earlier instance, and serve.  Raises StartError, BusLost."""
        parts = self._parts
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._log_internal_error)
        self._log.credit.later = loop.call_later
        loop.set_default_executor(ThreadPoolExecutor(MAX_THREADS))
        parts.succession.start()
        parts.processes.start()
        parts.administration.start()
        parts.callers.vanished(parts.manager.caller_vanished)
        await parts.failures.load()
        await self._take_over()
        await self._ask_bus(parts.sleep.start)
        if Layer.FIREWALL in self._prepared.sandbox.layers:
            await self._protect()
        if parts.configuration is not None:
            await parts.configuration.start()
        parts.manager.start()
        parts.log_service.start()
        await self._go_on()
        export_stubs(parts.dispatcher, API_VERSION)
        parts.manager.on_fewer = parts.autoconnect.on_fewer = parts.log_service.on_change = parts.less_work
        gc.freeze()
        await parts.autoconnect.start()
        parts.dispatcher.open()
        parts.idle.look()
        self._service_manager.ready()
        self._introduce()
        loop.call_later(_FOR_ERRORS_AFTER, import_for_errors)

    async def run(self) -> ExitStatus:
        """Serve until there is a reason to end; the exit status."""
        parts = self._parts
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
                    await leaving.hand_over(parts)
                    return ExitStatus.OK
                if reason is parts.succession.due:
                    await leaving.hand_over(parts)
                    return parts.succession.status
                if await leaving.leave(parts, for_good=reason is self._stop):
                    return ExitStatus.OK
            except BusLost:
                pass  # which is the next reason
            except BusRefused as error:
                self._log.fatal(f"The bus does not answer ({error}): ending all sessions")
                await leaving.disconnect_all(parts)
                return ExitStatus.BUS_LOST

    async def close(self) -> None:
        """Release all resources, the helpers last."""
        parts = self._parts
        self._service_manager.ending()
        parts.autoconnect.stop()
        parts.succession.stop()
        await parts.failures.close()
        parts.administration.stop()
        parts.dispatcher.close()
        self._connection.close()
        await parts.network.close(leave=bool(parts.manager.count))
        parts.name_service.names.close()
        parts.processes.close()

    # Starting

    async def _take_over(self) -> None:
        """Take over the sessions of an earlier instance, and undo what is left of others; what came last is first."""
        adoption = self._parts.adoption
        try:
            for pid in await adoption.prove():
                self._log.warn(f"Ended worker {pid} of an earlier instance")
        except (OSError, SystemFailure) as error:
            self._log.error(f"What earlier instances have left cannot be read: {error}")
        await self._ask_bus(partial(self._parts.name_service.start, adoption.devices))
        try:
            for device in await adoption.inherit():
                self._log.warn(f"Removed device {device} of an earlier instance", group=LogGroup.NETCFG)
            await self._parts.network.kill_switch.recover()
        except (OSError, SystemFailure) as error:
            self._log.error(f"Cleaning up after an earlier instance failed: {error}")

    async def _go_on(self) -> None:
        """Have the sessions that were taken over on the bus, as they were, and settled."""
        adoption, manager = self._parts.adoption, self._parts.manager
        await adoption.show(manager, manager.adopted)
        try:
            await adoption.settle()
        except SystemFailure as error:
            self._log.error(f"What an earlier instance has set is not as it should be: {error}")
        if count := manager.count:
            self._log.info(f"Took over {count} session{'s' if count > 1 else ''} of an earlier instance")

    async def _protect(self) -> None:
        try:
            await self._parts.network.protect(self._prepared.session_uids)
        except SystemFailure as error:  # though the trial of it succeeded
            self._parts.try_sandbox_anew()
            raise StartError(f"The layer firewall failed: {error}", ExitStatus.CONFINEMENT) from error

    def _introduce(self) -> None:
        """Log what runs now, and what of it is not as it should be."""
        embedded = self._parts.configuration is not None
        self._log.info(
            f"{PROGRAM} {VERSION} runs as user {os.getuid()} with CAP_NET_ADMIN and CAP_KILL only; "
            f"engine {self._prepared.options.engine}, {'embedded' if embedded else 'external'} configuration service"
        )
        for line in self._prepared.sandbox.describe():
            self._log.warn(line)
        for provider in self._prepared.providers.listed:
            if provider.problem:
                self._log.warn(f"The PKCS#11 provider {provider.name} cannot be used: {provider.problem}")

    # Running

    async def _await_reason(self) -> "asyncio.Event | asyncio.Future[str]":
        # The first of them counts.
        events = (self._stop, self._hand_over, self._parts.succession.due, self._parts.idle.idle)
        lost = self._connection.lost
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(one.wait()) for one in events]
        await asyncio.wait([*waits, lost], return_when=asyncio.FIRST_COMPLETED)
        for one in waits:
            one.cancel()
        return lost if lost.done() else next(one for one in events if one.is_set())

    async def _without_bus(self) -> ExitStatus | None:
        """Keep the sessions until the bus is back; a status if this process is to end before."""
        parts = self._parts
        self._log.error(f"Connection to the bus lost ({self._connection.lost.result()}); sessions go on")
        self._service_manager.status("The bus is away; sessions go on")
        parts.dispatcher.disconnected()
        parts.callers.forget()
        if await parts.rejoining.joined(self._stop, self._hand_over):
            self._log.info("The bus is joined again")
            self._service_manager.status("Serving")
            parts.idle.restart()
            parts.succession.look()
            return None
        if self._stop.is_set():
            await leaving.end_all(parts)
            return ExitStatus.OK
        if self._hand_over.is_set():
            leaving.abandon(parts)
            return ExitStatus.OK
        bus_wait = self._prepared.options.bus_wait
        self._log.fatal(f"The bus is not back after {bus_wait:g} s without a session: ending")
        return ExitStatus.BUS_LOST

    def _log_internal_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        trace = "".join(traceback.format_exception(error)) if isinstance(error, BaseException) else ""
        self._log.error(f"Internal error: {context.get('message')}\n{trace}")


async def serve(presence: Presence) -> ExitStatus:
    """Serve on the bus, and leave it; the exit status.  Raises StartError, BusLost."""
    service = Service(presence)
    try:
        await service.start()
        return await service.run()
    finally:
        await service.close()
