"""Waiting until a session has a certain status, and the error if it does not get it."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from ..policy.dbus_numbers import StatusMajor, StatusMinor
from .exits import CommandError, CommandExit, sanitize, status_for
from .run import say
from .services import SESSIONS
from .sessions import inspected
from .status_text import Status
from .watch import Event, Interrupted, ServiceLost, SessionGone, StatusChanged, Watch

if TYPE_CHECKING:
    from .bus import Bus
    from .progress import Progress

# Statuses that end a wait, and the exit status then; with any other one, but the one waited for, the wait goes on.
FAILURE = {
    StatusMinor.CFG_ERROR: CommandExit.REFUSED,
    StatusMinor.CFG_INLINE_MISSING: CommandExit.REFUSED,
    StatusMinor.CFG_REQUIRE_USER: CommandExit.AUTHENTICATION_FAILED,
    StatusMinor.CONN_AUTH_FAILED: CommandExit.AUTHENTICATION_FAILED,
    StatusMinor.CONN_FAILED: CommandExit.CONNECTION_FAILED,
    StatusMinor.CONN_DISCONNECTED: CommandExit.CONNECTION_FAILED,
    StatusMinor.CONN_DONE: CommandExit.CONNECTION_FAILED,
    StatusMinor.PROC_STOPPED: CommandExit.CONNECTION_FAILED,
    StatusMinor.PROC_KILLED: CommandExit.CONNECTION_FAILED,
}

# Of these the service may know the cause.
_EXPLAINED = (CommandExit.CONNECTION_FAILED, CommandExit.AUTHENTICATION_FAILED, CommandExit.TIMED_OUT)

_INTERRUPTED = {
    signal.SIGINT: "interrupted",
    signal.SIGTERM: "terminated",
    signal.SIGHUP: "the terminal was closed",
}

_LOOK_AGAIN = 1.0  # seconds until what is in force is looked at again, of which no signal tells

# These do not mean that the session no longer needs the answer that the user is typing.
_STILL_ASKING = (StatusMinor.CFG_OK, StatusMinor.CFG_REQUIRE_USER, StatusMinor.CONN_RESUMING)


def status_of_failure(minor: int, cause: str) -> CommandExit:
    """What session-start ends with when a session fails with this status and for this cause."""
    status = FAILURE.get(minor, CommandExit.CONNECTION_FAILED)  # type: ignore[call-overload]  # an int equals its IntEnum
    return status_for(cause, status) if status in _EXPLAINED else status


# Finds what keeps a connected session from being usable, a line each.
Lacking = Callable[[], Awaitable[list[str]]]


class Answering(Protocol):
    """Who answers what sessions ask."""

    async def answer(self, path: str) -> bool:
        """Answer all questions of the session at `path`; whether there were any.  Raises CommandError."""

    async def answer_and_connect(self, path: str) -> None:
        """The same, and call Connect if there were any.  Raises CommandError."""


async def until(
    goal: StatusMinor,
    watch: Watch,
    path: str,
    progress: "Progress",
    *,
    first: Status | None = None,
    timeout: float | None = None,
    asker: Answering | None = None,
    lacking: Lacking | None = None,
) -> Status:
    """Wait until the session at `path` has the status `goal`, for at most `timeout` seconds (None: no limit).

    `first` is a status that was read from the bus, and may be newer than events in the queue; None to begin with the
    next event.  `asker` answers what the session asks meanwhile, and the time that takes does not count; without it, a
    question is a failure.  With `lacking`, it is also waited for that this finds nothing.
    Raises CommandError with the status of FAILURE, TIMED_OUT, UNREACHABLE if the service goes away, or
    INTERRUPTED.
    """
    lacks: list[str] = []
    try:
        async with asyncio.timeout(timeout) as limit:
            wait = _Wait(goal, watch, path, progress, asker, limit)
            status = await wait.until(first)
            while lacking and (lacks := await lacking()):
                progress.show(f"Connected, but for {sanitize(lacks[0])}")
                status = await wait.until(await wait.next_status(status, _LOOK_AGAIN))
            return status
    except TimeoutError:
        if lacks:
            text, hint = f"connected, but not usable within {timeout:g} s:", "--wait connected does not wait for these."
            raise CommandError(text, CommandExit.TIMED_OUT, hint, lacks) from None
        wanted = "paused" if goal == StatusMinor.CONN_PAUSED else "connected"
        raise CommandError(f"not {wanted} within {timeout:g} s", CommandExit.TIMED_OUT) from None


async def until_gone(watch: Watch, path: str, *, timeout: float | None = None) -> None:
    """Wait until the session at `path`, which was disconnected, has left the bus.  Raises CommandError."""
    try:
        async with asyncio.timeout(timeout):
            while not isinstance(event := await watch.next(path), SessionGone):
                check_going_on(event)
    except TimeoutError:
        raise CommandError(f"not disconnected within {timeout:g} s", CommandExit.TIMED_OUT) from None


async def attended(work: Coroutine[Any, Any, object], watch: Watch, path: str) -> Event | None:
    """Do `work`, which waits for the user, until something happens to the session at `path` that makes it pointless.

    Returns that event, or None if the work was done.
    """
    working = asyncio.create_task(work)
    try:
        while True:
            news = asyncio.create_task(watch.next(path))
            await asyncio.wait((working, news), return_when=asyncio.FIRST_COMPLETED)
            if not news.done():
                news.cancel()
                await working
                return None
            match news.result():
                case StatusChanged(_, status) if status.minor in _STILL_ASKING:
                    pass
                case event:
                    return event
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError, CommandError):
            await working


async def connect(bus: "Bus", watch: Watch, path: str, asker: Answering) -> Status:
    """Answer what a session asks that was not connected yet, and connect it; returns its status then.

    Nothing is left to do if another front-end has done so already.  Raises CommandError.
    """
    event = await attended(asker.answer(path), watch, path)
    check_going_on(event)
    if isinstance(event, StatusChanged):
        return event.status
    await bus.call(SESSIONS, "Connect", path=path)
    return Status(*await bus.property(SESSIONS, path, "status"))


def check_going_on(event: Event | None, status: Status | None = None) -> None:
    """Raise CommandError if `event` ends every wait; `status` was the session's last."""
    match event:
        case SessionGone():
            raise CommandError(f"the session ended ({status or 'no status'})", CommandExit.CONNECTION_FAILED)
        case ServiceLost(text):
            raise CommandError(f"{text} while ovpnctl waited for the session", CommandExit.UNREACHABLE)
        case Interrupted(number):
            raise CommandError(_INTERRUPTED[number], CommandExit(128 + number))


class _Wait:
    """One wait of `until`."""

    def __init__(
        self,
        goal: StatusMinor,
        watch: Watch,
        path: str,
        progress: "Progress",
        asker: Answering | None,
        limit: asyncio.Timeout,
    ) -> None:
        self._goal = goal
        self._watch = watch
        self._path = path
        self._progress = progress
        self._asker = asker
        self._limit = limit
        self._url = ""  # that the user was told to open

    async def until(self, first: Status | None) -> Status:
        status = first
        if status and self._reached(status):
            return status
        if status and status.minor == StatusMinor.SESS_AUTH_URL:
            self._show(status)
        event = await self._ask(self._asker) if status and self._asker and _asks(status) else None
        while True:
            event = event or await self._watch.next(self._path)
            check_going_on(event, status)
            if not isinstance(event, StatusChanged):
                event = None
                continue
            status, event = event.status, None
            reached = self._reached(status)  # a failure is shown once, by its error
            self._show(status)
            if reached:
                return status
            if self._asker and _asks(status):
                event = await self._ask(self._asker)

    async def next_status(self, status: Status, seconds: float) -> Status:
        """The session's status when it changes from `status`, or after so long.  Raises CommandError."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                event = await self._watch.next(self._path)
                check_going_on(event, status)
                if isinstance(event, StatusChanged):
                    return event.status
        return status

    def _show(self, status: Status) -> None:
        if status.minor != StatusMinor.SESS_AUTH_URL:
            self._progress.show(str(status))
        elif status.message != self._url:
            self._url = status.message
            with self._progress.hidden():  # it stays on the screen, to be opened
                say(str(status))

    async def _ask(self, asker: Answering) -> Event | None:
        loop = asyncio.get_running_loop()
        deadline = self._limit.when()
        began = loop.time()
        self._limit.reschedule(None)
        try:
            return await attended(asker.answer_and_connect(self._path), self._watch, self._path)
        finally:
            self._limit.reschedule(None if deadline is None else deadline + loop.time() - began)

    def _reached(self, status: Status) -> bool:
        """Whether `status` is the one waited for; raises CommandError if it is one of FAILURE."""
        if self._asker and _asks(status):
            return False
        if outcome := FAILURE.get(status.minor):  # type: ignore[call-overload]  # an int equals its IntEnum
            raise CommandError(_told(status), outcome)
        return status.minor == self._goal


def _asks(status: Status) -> bool:
    return (status.major, status.minor) == (StatusMajor.CONNECTION, StatusMinor.CFG_REQUIRE_USER)


def _told(status: Status) -> str:
    if status.minor == StatusMinor.CFG_REQUIRE_USER:
        what = status.message or "it does not say which"
        return f"the session needs input that ovpnctl cannot ask for: {what}"
    return f"{status.words()[1]}: {status.message}" if status.message else status.words()[1]


@asynccontextmanager
async def explained(bus: "Bus", path: str) -> AsyncIterator[None]:
    """Within this block, an error of the session at `path` is raised with what the service knows of its cause."""
    try:
        yield
    except CommandError as error:
        if error.status not in _EXPLAINED or error.details:
            raise
        cause, text, hint = (await inspected(bus, path)).get("last_error", ("", "", ""))
        if not cause and error.status is CommandExit.TIMED_OUT:
            raise CommandError(error.message, error.status, "Nothing has failed so far: give it more time.") from None
        if not cause:
            raise
        if error.status is CommandExit.TIMED_OUT:
            raise CommandError(f"{error.message}: {text}", error.status, hint) from None
        raise CommandError(error.message, status_for(cause, error.status), hint) from None


async def end_session(bus: "Bus", path: str) -> None:
    """Disconnect a session that was not connected, if it is still there."""
    try:
        await bus.call(SESSIONS, "Disconnect", path=path)
    except CommandError:
        pass
