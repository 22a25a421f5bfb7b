"""What stands behind a session, its user id, device and worker: made, taken away, and after a failure made anew."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ...ipc import messages
from ...policy.dbus_numbers import LogCategory, LogGroup
from ...policy.limits import GOODBYE_DEADLINE
from ..errors import SystemFailure

if TYPE_CHECKING:
    from ..workers.relay import Worker
    from .launch import Launcher, Outfit
    from .session import Session

_GOODBYE_GRACE = 2.0  # seconds the worker has to end, beyond those it gives its engine


class Backing:
    """Makes and takes away what one session has, never both at a time: the next start waits for the last end."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._launcher: Launcher | None = None
        self._outfit: Outfit | None = None
        self._starting: asyncio.Task[None] | None = None
        self._taking_down: asyncio.Task[None] | None = None
        self._winding_down: asyncio.Task[None] | None = None

    def start(self, launcher: Launcher, outfit: Outfit) -> None:
        """Begin with a first worker; `outfit` is closed in the end."""
        self._launcher, self._outfit = launcher, outfit
        self.start_again()

    def start_again(self) -> None:
        """Begin with another worker, when what was there before is gone; what fails goes to `session.start_failed`."""
        self._starting = asyncio.create_task(self._start())

    async def _start(self) -> None:
        assert self._launcher is not None and self._outfit is not None
        try:
            if self._taking_down is not None:
                await asyncio.wait([self._taking_down])  # which goes on when this is cancelled
            await self._launcher.launch(self._session, self._outfit)
        except Exception as error:
            self._session.start_failed(error)

    # Between two workers

    def take_down(self) -> None:
        """Begin to take away what there is, the worker without a goodbye; the session goes on."""
        session = self._session
        session.statistics.begin_anew(session.device)
        session.user_input.withdraw()
        before = self._stop_starting()
        self._taking_down = asyncio.create_task(self._take_down(before, self._dismiss_worker()))

    async def _take_down(self, before: list[asyncio.Task[None]], dismissed: Worker | None) -> None:
        assert self._launcher is not None
        session = self._session
        if before:
            await asyncio.wait(before)
        if session.device:
            await session.clear_network()
        for worker in (dismissed, self._dismiss_worker()):  # a start that was stopped may have made one
            if worker is not None:
                await worker.gone.wait()
        await self._delete_device()
        self._launcher.take_back(session)

    def _dismiss_worker(self) -> Worker | None:
        session = self._session
        worker, session.worker = session.worker, None
        session.handshake_done, session.request_number, session.lines_logged, session.layers = False, 0, 0, None
        if worker is not None:
            worker.dismiss()
        return worker

    # The end

    def wind_down(self) -> None:
        """Begin to take everything away that the session has, once; the worker may say goodbye."""
        if self._winding_down is None:
            before = self._stop_starting()
            if (worker := self._session.worker) is not None:
                worker.cancel_busy()
                worker.send(messages.Disconnect())
            self._winding_down = asyncio.create_task(self._wind_down(before))

    async def _wind_down(self, before: list[asyncio.Task[None]]) -> None:
        session = self._session
        try:
            if before:
                await asyncio.wait(before)  # from here on, what there is of device and worker is known
            if session.device:
                await session.clear_network()
            session.network_gone.set()
            if session.worker is not None:
                await self._await_goodbye(session.worker)
            await self._delete_device()
        finally:
            if self._outfit is not None:
                self._outfit.close()
            session.network_gone.set()
            session.wound_down.set()
            session.around.finished(session)

    async def _await_goodbye(self, worker: Worker) -> None:
        try:
            async with asyncio.timeout(GOODBYE_DEADLINE + _GOODBYE_GRACE):
                await worker.gone.wait()
        except TimeoutError:
            self._session.log(LogCategory.WARN, "The worker did not end in time and is killed")
            worker.kill()
            await worker.gone.wait()

    # Both

    def _stop_starting(self) -> list[asyncio.Task[None]]:
        """Give up a start and what it would look up; the tasks to be waited for before anything is taken away."""
        if self._starting is not None:
            self._starting.cancel()
        for lookup in self._session.lookups:
            lookup.cancel()
        return [task for task in (self._starting, self._taking_down) if task is not None]

    async def _delete_device(self) -> None:
        """To be called when the engine is gone: a device that is deleted under it makes it spin."""
        session = self._session
        if not session.device:
            return
        try:
            await session.around.network.delete_device(session.device)
        except SystemFailure as error:
            session.log(LogCategory.ERROR, f"Device {session.device} could not be removed: {error}", LogGroup.NETCFG)
        session.device = ""
