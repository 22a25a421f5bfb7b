"""The process beside a command that has the VPN as its only network: it has the session, and sets what is in there."""

import asyncio
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..policy.dbus_numbers import StatusMinor
from . import namespaces
from .beside import Again, Told
from .connect import check_going_on, connect, end_session, explained, until
from .credentials import Asker, read_credentials
from .exits import CommandError, CommandExit, NotFound, sanitize
from .hidden import HiddenNames, usable
from .inner_network import InnerNetwork
from .profile_file import CREDENTIALS
from .progress import progress
from .run import on_bus, say
from .services import NAMESPACE, SESSIONS
from .session_start import find_source, new_session
from .sessions import SessionName, inspected, is_failed, matching, own_sessions, several_sessions
from .status_text import Status
from .watch import NetworkChanged, ServiceLost, SessionGone, Watch

if TYPE_CHECKING:
    from .bus import Bus

Result = TypeVar("Result")


# In the service's words: of what may be otherwise when it is tried again.
_ALREADY = "already running"
_ANOTHER_TRY = ("in another network namespace", "has ended")


def keep(
    told: Told, name: str, afterwards: str | None, timeout: float | None, credentials_file: str | None, *, quiet: bool
) -> None:
    """Have all ready for a command, tell so, and keep it until the command ends.

    Raises CommandError if it cannot be had, Again if another try may have it.
    """

    async def work(bus: "Bus") -> None:
        credentials = read_credentials(credentials_file)
        await _ExecKeeper(bus, told, name, quiet=quiet).work(afterwards, timeout, credentials)

    on_bus(work)


class Names(Protocol):
    """Where name servers are set."""

    def set(self, servers: Iterable[str], domains: Iterable[str]) -> None:
        """Have names looked up with these, in place of those before.  Raises OSError."""


class Keeper(ABC):
    """Has a session with its device in a network namespace, and sets what is in there."""

    _gid: int | None = None  # the group that may use ping without a capability in there; None: as it is

    def __init__(self, bus: "Bus", name: str, *, quiet: bool) -> None:
        """`name` is a session, or what one is started of."""
        self._bus = bus
        self._name = name
        self._quiet = quiet
        self._started = False  # the session, by this one
        self._set_up = ThreadPoolExecutor(1)  # the kernel may take its time

    async def _begin(
        self, watch: Watch, afterwards: str | None, timeout: float | None, credentials: dict[str, str]
    ) -> tuple[str, InnerNetwork, Names]:
        """Have the session connected, and all set in the namespace, where this process is by then."""
        path = await self._session(credentials)
        try:
            names = await self._enter(path, afterwards)
            await self._connect(watch, path, credentials, timeout)
            try:
                network = await self._set_up_by(InnerNetwork, self._gid)
            except OSError as error:
                raise _cannot_set(error) from error
            await self._follow(path, network, names)
        except BaseException as error:
            lost = isinstance(error, CommandError) and error.status == CommandExit.UNREACHABLE
            if self._started and not (lost or isinstance(error, Again)):
                await end_session(self._bus, path)
            raise
        for notice in (await inspected(self._bus, path)).get("notices", ()) if self._started else ():
            self._warn(notice)
        return path, network, names

    @abstractmethod
    def _go_in(self, inside: Mapping[str, Any]) -> Names:
        """Go into the namespace; `inside` is what the service says of the one that the session has by now.

        Raises CommandError, namespaces.NotThere.
        """

    async def _session(self, credentials: dict[str, str]) -> str:
        """The path of the session, which is started if there is none."""
        if self._name.startswith(f"{SESSIONS.root}/"):
            return self._name
        own = {path: one for path, one in (await own_sessions(self._bus)).items() if not is_failed(one)}
        match [*(found := matching(SessionName(self._name), own))]:
            case [path]:
                return path
            case [_, *_]:
                raise several_sessions(self._name, found)
        try:
            with progress(quiet=self._silent) as shown:
                source = await find_source(self._bus, self._name, CREDENTIALS[:1] if credentials else (), shown)
                path = await new_session(self._bus, source)
        except CommandError as error:
            if _ALREADY in error.message:
                raise Again from None
            raise
        self._started = True
        return path

    async def _enter(self, path: str, afterwards: str | None) -> Names:
        """Have the session's device come to a network namespace that this process is in by then."""
        try:
            names = self._go_in(await self._bus.properties(SESSIONS, path, NAMESPACE))
            await self._hand_over(path, afterwards or ("disconnect" if self._started else ""))
        except (NotFound, namespaces.NotThere):
            raise Again from None
        except CommandError as error:
            if any(words in error.message for words in _ANOTHER_TRY):
                raise Again from None
            raise
        return names

    async def _connect(self, watch: Watch, path: str, credentials: dict[str, str], timeout: float | None) -> None:
        """Wait until the session is connected, and its device is here."""
        status = Status(*await self._bus.property(SESSIONS, path, "status"))
        if status.minor in (StatusMinor.CONN_PAUSED, StatusMinor.CONN_PAUSING):
            hint = f"ovpnctl session-manage --path {path} --resume"
            raise CommandError("the session is paused", CommandExit.REFUSED, hint)
        with progress(quiet=self._silent) as shown:
            asker = Asker(self._bus, shown, credentials, terminal_only=True)
            async with explained(self._bus, path):
                if status.minor != StatusMinor.CONN_CONNECTED:
                    status = await connect(self._bus, watch, path, asker)
                goal = StatusMinor.CONN_CONNECTED
                await until(goal, watch, path, shown, first=status, timeout=timeout, asker=asker)

    async def _follow(self, path: str, network: InnerNetwork, names: Names) -> None:
        """Set what the service says."""
        device = await self._bus.property(SESSIONS, path, "device_name")
        said = (await self._bus.properties(SESSIONS, path, NAMESPACE))["network"]
        wanted = {name: variant.value for name, variant in said.items()}
        if not wanted:
            return  # it has left again, and comes back
        try:
            await self._set_up_by(network.set, device, wanted)
            names.set(wanted["name_servers"], wanted["domains"])
        except OSError as error:
            raise _cannot_set(error) from error
        left_out = set(wanted["name_servers"]) - set(usable(wanted["name_servers"]))
        if left_out:
            self._warn(
                f"Name servers that are not used, having a port or being too many: {', '.join(sorted(left_out))}"
            )
        if not usable(wanted["name_servers"]):
            self._warn("The VPN gives no name server that can be used: no names are found with it")

    async def _go_on(self, watch: Watch, path: str, network: InnerNetwork, names: Names) -> None:
        """The service has left the bus: have its next instance know the namespace, and set what it says.

        Raises CommandError.
        """
        while True:
            try:
                # First, since no descriptor is taken of a connection that has not called before.
                await self._bus.properties(SESSIONS, path, NAMESPACE)
                await self._hand_over(path, "")
                await self._follow(path, network, names)
                return
            except CommandError as error:  # the bus starts it at a call, where it can
                if error.status != CommandExit.UNREACHABLE:
                    raise
            if (interrupted := await watch.back()) is not None:
                check_going_on(interrupted)

    async def _follow_change(self, path: str, network: InnerNetwork, names: Names) -> None:
        """Set what the service says, which may leave the bus instead: then its next instance is asked (`_go_on`)."""
        try:
            await self._follow(path, network, names)
        except CommandError as error:
            if error.status != CommandExit.UNREACHABLE:
                raise

    async def _hand_over(self, path: str, afterwards: str) -> None:
        """Hand the namespace that this process is in over to the service."""
        with namespaces.netlink_socket() as handed:
            arguments = ("hus", 0, os.getpid(), afterwards)
            await self._bus.call(
                SESSIONS, "Enter", *arguments, path=path, interface=NAMESPACE, descriptors=[handed.fileno()]
            )

    async def _leave(self, path: str) -> None:
        with suppress(CommandError):  # it has ended, or the service has
            await self._bus.call(SESSIONS, "Leave", path=path, interface=NAMESPACE)

    async def _set_up_by(self, function: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._set_up, function, *arguments)

    @property
    def _silent(self) -> bool:
        return self._quiet or not sys.stderr.isatty()

    def _warn(self, text: str) -> None:
        if not self._quiet:
            say(f"Warning: {sanitize(text)}")


class _ExecKeeper(Keeper):
    """One command's."""

    def __init__(self, bus: "Bus", told: Told, name: str, *, quiet: bool) -> None:
        super().__init__(bus, name, quiet=quiet)
        self._told = told
        self._gid = os.getgid()

    async def work(self, afterwards: str | None, timeout: float | None, credentials: dict[str, str]) -> None:
        """See `keep`."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def command_gone() -> None:  # before it was one
            loop.remove_reader(self._told.command)
            assert task is not None
            task.cancel()

        loop.add_reader(self._told.command, command_gone)
        watch = await Watch.start(self._bus)
        with watch.interruptible():
            path, network, names = await self._begin(watch, afterwards, timeout, credentials)
        loop.remove_reader(self._told.command)
        self._told.ready(namespaces.opened())
        _step_aside()
        await self._until_command_ends(watch, path, network, names)

    def _go_in(self, inside: Mapping[str, Any]) -> HiddenNames:
        if inside["namespace"]:
            namespaces.join(inside["holders"], inside["namespace"])
        else:
            namespaces.make()
        try:
            return HiddenNames()
        except OSError as error:
            raise namespaces.forbidden(error) from error

    async def _until_command_ends(self, watch: Watch, path: str, network: InnerNetwork, names: Names) -> None:
        """Follow the session, and leave it when the command ends."""
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._told.command, ended.set)
        following = asyncio.create_task(self._follow_session(watch, path, network, names))
        await ended.wait()
        asyncio.get_running_loop().remove_reader(self._told.command)
        following.cancel()
        await asyncio.wait([following])
        await self._leave(path)

    async def _follow_session(self, watch: Watch, path: str, network: InnerNetwork, names: Names) -> None:
        try:
            while True:
                match await watch.next(path):
                    case NetworkChanged():
                        await self._follow_change(path, network, names)
                    case SessionGone():
                        self._warn("The VPN session has ended: the command has no network any more")
                        return
                    case ServiceLost(_, owner) if owner:
                        await self._go_on(watch, path, network, names)
                    case ServiceLost(text):
                        self._warn(f"{text}: when it is there again, the command has no network any more")
                        return
        except CommandError as error:
            self._warn(f"{sanitize(error.message)}: the command has no network any more")


def _cannot_set(error: OSError) -> CommandError:
    text = f"what the VPN has in its network namespace cannot be set: {error.strerror}"
    return CommandError(text, CommandExit.OTHER)


def _step_aside() -> None:
    """Leave terminal, standard input and output to the command."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
