"""A session in a named network namespace: what has it there, and sets what belongs to it."""

import asyncio
import errno
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..kernel import inotify, process
from ..kernel.notify import Notify
from .beside import Again
from .connect import check_going_on
from .exec_keeper import Keeper, Names
from .exits import CommandError, CommandExit
from .hidden import RESOLV_CONF_TITLE, resolv_conf
from .inner_network import InnerNetwork
from .run import say
from .session_keep import disconnected
from .status_text import Status
from .watch import Interrupted, NetworkChanged, ServiceLost, SessionGone, StatusChanged, Watch

if TYPE_CHECKING:
    from .bus import Bus

_NAMED = Path("/run/netns")  # of ip-netns(8), as the next
_FILES = Path("/etc/netns")
_BY_SIGNAL = (CommandExit.TERMINATED, CommandExit.INTERRUPTED, CommandExit.HUNG_UP)


class NetnsKeeper(Keeper):
    """One session's."""

    def __init__(self, bus: "Bus", namespace: str, name: str, *, quiet: bool) -> None:
        super().__init__(bus, name, quiet=quiet)
        self._namespace = namespace
        self._descriptor = -1

    async def work(self, timeout: float | None, credentials: dict[str, str]) -> None:
        """Have the session there until it ends, or a signal asks for that.  Raises CommandError."""
        if os.geteuid() != 0:
            raise CommandError(
                "only root can have a VPN in a named network namespace",
                CommandExit.REFUSED,
                "`ovpnctl exec` needs no root.",
            )
        removed = self._open()
        notify = Notify()
        watch = await Watch.start(self._bus)
        with watch.interruptible():
            try:
                path, network, names = await self._begin(watch, "disconnect", timeout, credentials)
                try:
                    notify.tell("READY=1", f"STATUS=In the network namespace {self._namespace}")
                    await self._until_over(watch, path, network, names, removed)
                finally:
                    notify.tell("STOPPING=1")
                    await self._leave(path)
                    await self._clear(network, names)
            except Again:
                text = f"the session of {self._name} begins or ends just now, or is in another network namespace"
                raise CommandError(text, CommandExit.REFUSED, "ovpnctl status tells.") from None
            except CommandError as error:
                if error.status not in _BY_SIGNAL:
                    raise

    def _open(self) -> asyncio.Event:
        """Open the namespace; the event is when it is removed.  Raises CommandError."""
        removed = asyncio.Event()
        place = _NAMED / self._namespace
        try:
            watched = inotify.open_inotify()
            inotify.add_watch(watched, str(_NAMED))
            self._descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            text = f"there is no network namespace {self._namespace}: {place}: {os.strerror(error.errno or errno.EIO)}"
            raise CommandError(text, CommandExit.REFUSED, f"As root: ip netns add {self._namespace}") from error

        def changed() -> None:
            for _ in inotify.read_changes(watched):
                pass
            if not place.exists() or not os.path.samestat(place.stat(), os.fstat(self._descriptor)):
                removed.set()

        asyncio.get_running_loop().add_reader(watched, changed)
        return removed

    def _go_in(self, inside: Mapping[str, Any]) -> Names:
        if inside["namespace"] not in (0, os.fstat(self._descriptor).st_ino):
            raise Again
        try:
            process.join(self._descriptor, process.CLONE_NEWNET)
        except OSError as error:
            text = f"{_NAMED / self._namespace} is no network namespace that can be entered: {error.strerror}"
            raise CommandError(text, CommandExit.REFUSED) from error
        names = _NamedNames(_FILES / self._namespace / "resolv.conf")
        if not names.is_ours:
            self._warn(f"{names.file} is not changed, as it is a file of yours: name servers of the VPN are not set")
        return names

    async def _until_over(
        self, watch: Watch, path: str, network: InnerNetwork, names: Names, removed: asyncio.Event
    ) -> None:
        """Return when the session was disconnected by hand.  Raises CommandError when it ends otherwise, or has to."""
        following = asyncio.create_task(self._follow_session(watch, path, network, names))
        gone = asyncio.create_task(removed.wait())
        try:
            await asyncio.wait([following, gone], return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
                return
            raise CommandError(
                f"the network namespace {self._namespace} was removed: the session is disconnected",
                CommandExit.CONNECTION_FAILED,
            )
        finally:
            for task in (following, gone):
                task.cancel()
            await asyncio.wait([following, gone])

    async def _follow_session(self, watch: Watch, path: str, network: InnerNetwork, names: Names) -> None:
        status: Status | None = None
        while True:
            match event := await watch.next(path):
                case NetworkChanged():
                    await self._follow_change(path, network, names)
                case ServiceLost(_, owner) if owner:
                    await self._go_on(watch, path, network, names)
                case StatusChanged(_, status):
                    if disconnected(status):
                        return
                case SessionGone() | ServiceLost() | Interrupted():
                    check_going_on(event, status)

    async def _clear(self, network: InnerNetwork, names: Names) -> None:
        try:
            # A service that was killed has left it, and its next instance does not know where.
            await self._set_up_by(network.remove)
            names.set((), ())
        except OSError as error:
            say(f"Warning: what the session had in {self._namespace} may be left: {error.strerror}")


class _NamedNames:
    """The resolv.conf of a named network namespace, by which `ip netns exec` and mounts of units look names up.

    It is written in place, and stays, with no name server: a mount of another file would not be seen.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self.is_ours = file.read_text(encoding="utf-8").startswith(RESOLV_CONF_TITLE)
        except FileNotFoundError:
            self.is_ours = True
        except (OSError, ValueError):
            self.is_ours = False

    def set(self, servers: Iterable[str], domains: Iterable[str]) -> None:
        """Have these written; no effect on a file of the administrator's.  Raises OSError."""
        if self.is_ours:
            self.file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self.file.write_text(resolv_conf(servers, domains), encoding="utf-8")
