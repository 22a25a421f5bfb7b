"""The supervisor's end of the spawner: one worker process on request."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import Callable, Collection
from contextlib import suppress
from itertools import count

import msgspec

from ...ipc import helpers
from ...ipc.channel import Channel, ChannelClosed, Packet, channel_pair
from ...policy.limits import SPAWN_DEADLINE
from ..errors import SystemFailure
from .helper_client import HelperClient
from .own_time import within
from .reap import Reaper


class _Request(msgspec.Struct):
    uid: int
    answer: asyncio.Future[tuple[int, int]]  # pid and pidfd
    abandoned: bool = False  # nobody waits for the answer any more


class SpawnerClient(HelperClient):
    """Asks for workers.

    A request that nobody waits for any more, because it took too long or its session was given up, may still be
    answered: that worker is killed, and only then is its user id free (`uid_is_free` is called with it).
    """

    def __init__(
        self,
        channel: Channel,
        reaper: Reaper,
        uid_is_free: Callable[[int], None],
        on_end: Callable[[], None] = lambda: None,
        replace: Callable[[], None] = lambda: None,
        serving: Callable[[], Collection[int]] = lambda: (),
    ) -> None:
        """`on_end` is called when the spawner ends without having been told to; `replace` as in HelperClient.

        `serving` is the process that answers.
        """
        super().__init__(channel, replace)
        self._on_end = on_end
        self._reaper = reaper
        self._uid_is_free = uid_is_free
        self._serials = count(1)
        self._waiting: dict[int, _Request] = {}
        self._owed: set[int] = set()
        self._processes = lambda: [os.getpid(), *serving()]  # in whose own time a worker is made
        self._spare = -1  # a descriptor that keeps room for another

    def owes(self, uid: int) -> bool:
        """Whether a worker of this user id may still be there, or come, after `spawn` has raised."""
        return uid in self._owed

    async def spawn(
        self, uid: int, providers: Collection[int] = (), later: socket.socket | None = None
    ) -> tuple[int, int, Channel]:
        """Start a worker as `uid`: its process id, its pidfd and the supervisor's end of its channel.

        It sees the PKCS#11 `providers` of these numbers, and waits at `later` for another supervisor.
        Raises SystemFailure if there is no worker within SPAWN_DEADLINE.
        """
        if self.ended:
            raise SystemFailure("The spawner has ended; sessions can be started again when the service is restarted")
        self._keep_spare()
        serial = next(self._serials)
        ours, theirs = channel_pair()
        try:
            ours.socket.setblocking(False)
            ours.refuse_descriptors()
            request = _Request(uid, asyncio.get_running_loop().create_future())
            self._request(serial, request, providers, theirs, later)
            try:
                pid, pidfd = await within(SPAWN_DEADLINE, request.answer, self._processes)
            except BaseException:
                self._abandon(request)
                raise
        except BaseException as error:
            ours.close()
            if isinstance(error, TimeoutError):
                raise SystemFailure(f"The spawner did not start a worker within {SPAWN_DEADLINE:g} s") from error
            raise
        finally:
            theirs.close()
        return pid, pidfd, ours

    def _request(
        self,
        serial: int,
        request: _Request,
        providers: Collection[int],
        theirs: Channel,
        later: socket.socket | None,
    ) -> None:
        given = [theirs.fileno(), *([later.fileno()] if later is not None else [])]
        try:
            self._send(helpers.pack_spawn(serial, request.uid, providers), given)
        except (BlockingIOError, ChannelClosed) as error:
            raise SystemFailure("The spawner takes no requests") from error
        self._waiting[serial] = request
        self._reaper.expect()

    def _abandon(self, request: _Request) -> None:
        if not request.answer.done():
            request.abandoned = True
            self._owed.add(request.uid)
        elif request.answer.exception() is None:
            self._dispose(request.uid, *request.answer.result())

    def _dispose(self, uid: int, pid: int, pidfd: int) -> None:
        """Kill a worker that nobody wants, and wait for its end."""
        self._owed.add(uid)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass
        os.close(pidfd)
        self._reaper.watch(pid, lambda how: self._settle(uid))

    def _settle(self, uid: int) -> None:
        self._owed.discard(uid)
        self._uid_is_free(uid)

    def close(self) -> None:
        super().close()
        self._give_up_spare()

    def _readable(self) -> None:
        # An answer comes with a descriptor, which there has to be room for whatever else is open.
        self._give_up_spare()
        super()._readable()
        if self._waiting:
            with suppress(SystemFailure):  # the next answer may find room all the same
                self._keep_spare()

    def _keep_spare(self) -> None:
        if self._spare < 0:
            try:
                self._spare = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise SystemFailure(f"no file can be opened: {error.strerror}") from error

    def _give_up_spare(self) -> None:
        if self._spare >= 0:
            os.close(self._spare)
            self._spare = -1

    def _answered(self, packet: Packet[bytes]) -> None:
        serial, pid = helpers.unpack_spawned(packet.data)
        if serial not in self._waiting:
            return
        # Requests are answered in turn: whoever had read an earlier one died over it.
        for earlier in [number for number in self._waiting if number < serial]:
            self._lost(self._waiting.pop(earlier), SystemFailure("The spawner died while it was starting a worker"))
        request = self._waiting.pop(serial)
        if pid > 0 and len(packet.descriptors) == 1:
            if request.abandoned:
                self._dispose(request.uid, pid, packet.take())
            else:
                request.answer.set_result((pid, packet.take()))
        elif request.abandoned:
            self._settle(request.uid)
        else:
            reason = os.strerror(-pid) if -pid in errno.errorcode else "unknown"
            request.answer.set_exception(SystemFailure(f"The spawner could not start a worker: {reason}"))
        self._reaper.expect_no_more()

    def _helper_ended(self) -> None:
        self._on_end()
        for request in self._waiting.values():
            self._lost(request, SystemFailure("The spawner has ended while it was starting a worker"))
        self._waiting.clear()

    def _lost(self, request: _Request, error: SystemFailure) -> None:
        """There is no answer to come; a worker that was about to start sees its channel closed, and ends."""
        self._reaper.expect_no_more()
        if request.abandoned:
            self._settle(request.uid)
        else:
            request.answer.set_exception(error)

    def _awaited(self) -> bool:
        return bool(self._waiting)
