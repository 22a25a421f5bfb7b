"""Applying the network settings of sessions: their devices, addresses and routes.

All of it is done in two threads, so that the event loop never waits for the kernel: one does everything in order, a few
requests of each session in turn; the other only removes devices (removals.py).
"""

import asyncio
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path

from ...policy import device_names
from ...policy.configuration.options import Options
from ...policy.dbus_numbers import LogGroup
from ...policy.limits import DEVICE_NAME_WAIT, NETWORK_DEADLINE
from ...policy.network import NetworkSettings
from ...policy.redirect import Redirect
from ..errors import SystemFailure
from ..logging.log import Log
from ..waiting import shared
from . import tun
from .addressing import Addressing
from .away import Away
from .default_route.redirections import Terms
from .default_route.routing_watch import RoutingWatch
from .firewall import Firewall
from .firewall_watch import FirewallWatch
from .handed import LeftNamespace
from .in_force import InForce
from .journal import DeviceJournal, Entry, current_namespace
from .leftovers import NOBODY, clear_leftovers
from .link_events import LinkEvents
from .locking.kill_switch import KillSwitch
from .locking.lock import MachineLock
from .locking.lock_rules import Terms as LockTerms
from .name_servers import MachineNameServers
from .netlink import Netlink
from .removals import DeviceRemovals
from .roaming import Roaming
from .serial_executor import SerialExecutor, advance, limited

_NOTHING_PASSES = LockTerms()


class Network:
    """The devices of all sessions, and the firewall between sessions and this machine's services."""

    protected = range(0)  # user ids that may not connect to them
    taken_over: frozenset[str] = frozenset()  # devices that an earlier instance has made

    def __init__(
        self,
        journal_directory: Path,
        log: Log,
        tun_directory: int | None = None,
        ipv6_settings: int | None = None,
        *,
        public_networks: bool = True,
        named: Sequence[str] = device_names.DEFAULT,
        terms: Terms,
        lock_terms: LockTerms = _NOTHING_PASSES,
    ) -> None:
        """`tun_directory` has a node for devices (tun.py), `ipv6_settings` their default_route/ipv6_settings.py.

        Without `public_networks`, sessions get private ones only.  `terms` are those for the default route,
        `lock_terms` those for the kill switch, `named` the patterns of names that sessions may ask for.

        Raises OSError if the other directory cannot be made, or has no room for the records of devices.
        """
        self._tun_directory = tun_directory
        self.named = named
        self._journal = DeviceJournal(journal_directory)
        self._log = log
        self._executor = SerialExecutor("network")
        self.roaming = Roaming(self._executor)
        self._netlink = Netlink()  # used in self._executor only, as are the next three
        self._firewall = Firewall()
        self._firewall_watch = FirewallWatch(self._executor, self._firewall, log)
        self.name_servers = MachineNameServers()
        self._addressing = Addressing(
            self._netlink,
            self._firewall,
            self._journal,
            log,
            self._freed,
            self._notice,
            self._tell_root,
            self._journal.replace,
            self.name_servers,
            public_networks=public_networks,
            terms=terms,
            ipv6_settings=ipv6_settings,
        )
        self._lock = MachineLock(lock_terms, self._addressing.indices)  # the same
        self._removals = DeviceRemovals(
            self._executor, self._netlink, self._addressing, self._journal, log, tun_directory, self._tell_lock
        )
        self.kill_switch = KillSwitch(self._lock, self._executor, log)
        self.away = Away(self._executor, self._removals.executor, self._addressing, self._tell_lock)
        self._settling = False  # a pass over what is pending is about to begin
        self._one_look = asyncio.Lock()
        self._exempt: set[int] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._going: dict[str, asyncio.Event] = {}  # names of devices about to be removed; set when they are
        self._events = LinkEvents(self._links_removed)
        self._routing = RoutingWatch(self._executor, self._addressing.following.look_again, self.roaming.changed)
        self.on_removal: Callable[[str, str], None] = _ignore  # somebody else removed this device of this session
        self.on_notice: Callable[[str, str], None] = _ignore  # for the log of this session

    async def protect(self, uids: range) -> None:
        """Keep the processes of `uids` from this machine's services.  Raises SystemFailure."""
        await self._executor.run(self._firewall.protect, uids)
        self.protected = uids

    async def exempt(self, uid: int) -> None:
        """Let the processes of one of these user ids connect to this machine.  Raises SystemFailure."""
        self._exempt.add(uid)
        await self._executor.run(self._firewall.exempt, frozenset(self._exempt))

    def end_exemption(self, uid: int) -> None:
        """End the exemption of a user id, whose session has ended."""
        if uid in self._exempt:
            self._exempt.discard(uid)
            self._executor.submit(self._firewall.exempt, frozenset(self._exempt))

    async def change(self, options: Options) -> None:
        """Have these count for what is asked for from now on, for the kill switch at once.  Raises SystemFailure."""
        self.named = options.device_names
        public = options.public_networks == "allow"
        closed = options.while_not_connected
        await self._executor.run(partial(self._addressing.change, public_networks=public, while_not_connected=closed))
        await self._executor.run(self._lock.let_through, options.kill_switch_allow)

    def no_device_named(self, name: str) -> str:
        """Why a session's device has not this name, which its profile asks for."""
        return device_names.refusal(name, self.named) or "another device has it"

    async def create_device(self, session: str, uid: int, owner: int, wanted: str = "") -> str:
        """Make a device for a session of user `owner` that user `uid` may open; its name.  Raises SystemFailure.

        That is `wanted`, if it may be and no other device has it.
        """
        if device_names.refusal(wanted, self.named):
            wanted = ""
        if (going := self._going.get(wanted)) is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DEVICE_NAME_WAIT):
                    await going.wait()
        self._loop = asyncio.get_running_loop()
        self._events.start()
        self._routing.start()
        self._firewall_watch.start()
        job = self._executor.submit(self._create, session, uid, owner, wanted)
        try:
            async with limited("making a device", NETWORK_DEADLINE):
                return await shared(asyncio.wrap_future(job))
        except (asyncio.CancelledError, SystemFailure):
            # Nobody knows its name, should there be one in the end.
            job.add_done_callback(lambda done: self._executor.submit(self._discard, done))
            raise

    async def apply(self, device: str, settings: NetworkSettings) -> list[str]:
        """Set addresses, MTU and routes on a device, in place of those set before; returns warnings for the user.

        Raises PolicyViolation, or Conflict if others have what is asked for, and nothing has changed; or another
        SystemFailure, and nothing is set any more.  That is so too when it is cancelled, for whatever is asked of this
        object afterwards.
        """
        warnings: list[str] = []
        async with limited(f"setting up {device}", NETWORK_DEADLINE):
            await self._executor.run_steps(self._addressing.replace(device, settings, warnings))
        return warnings

    async def look(self, device: str) -> InForce:
        """What the kernel has of a device's settings, as it says now.  Raises SystemFailure.

        One is asked for after the other, so that whoever asks much delays those who do the same.
        """
        found = InForce()
        async with limited(f"looking at {device}", NETWORK_DEADLINE), self._one_look:
            await self._executor.run_steps(self._addressing.look(device, found))
        return found

    async def clear(self, device: str, *, keep: bool = False) -> None:
        """Switch a device off and remove its addresses and routes; no effect if it has none, or has been removed.

        With `keep` the session will ask for them again in a while: no other gets them meanwhile.  The engine may go on
        holding the device.  Raises SystemFailure.
        """
        async with limited(f"clearing {device}", NETWORK_DEADLINE):
            await self._executor.run(self._addressing.clear, device, keep)

    def let_go(self, session: str) -> None:
        """A session ends: no traffic that it redirects is kept from going as without a tunnel."""
        self._executor.submit(self._addressing.let_go, session)

    def will_delete(self, device: str) -> None:
        """A device is about to be removed: who wants its name for another one waits for that."""
        self._going.setdefault(device, asyncio.Event())

    async def delete_device(self, device: str) -> None:
        """Remove a device with what is set on it, after the engine has ended; no effect if there is none.

        A device that a process still holds is cleared, and removed at a later opportunity.  Raises SystemFailure.
        """
        try:
            await self._removals.take_and_remove(device)
        finally:
            if (going := self._going.pop(device, None)) is not None:
                going.set()

    async def recover(self, owners: Mapping[str, int] = NOBODY, exempt: Collection[int] = ()) -> list[str]:
        """Remove what an earlier instance left behind; the names of the devices.  To be called first.

        The devices of sessions that go on are those of `owners`, with the user id of each session's owner: those that
        are there (`taken_over`) are spared, with all that is set, until `inherited` is called.  `exempt` are user ids
        as for `exempt`.
        """
        async with limited("removing devices of an earlier instance", NETWORK_DEADLINE):
            if owners:
                self._loop = asyncio.get_running_loop()
                self._exempt.update(exempt)
                await self._executor.run(self._firewall.hold)
                await self._executor.run(self._firewall.exempt, frozenset(self._exempt))
            left = await self._executor.run(
                clear_leftovers, self._journal, self._netlink, self._addressing, self._log, owners
            )
        await self._removals.remove_all(left)
        if owners:
            self._events.start()
            self._routing.start()
        self.taken_over = frozenset(entry.name for entry in self._addressing.entries)
        for entry in self._addressing.entries:
            if entry.away >= 0:
                self.away.inherit(entry.name, LeftNamespace(entry.away))
        return [entry.name for entry in left]

    async def stay_closed(self, device: str, redirect: Redirect) -> None:
        """What a session that was taken over has closed while it is not connected stays so.  Raises SystemFailure."""
        async with limited(f"looking at {device}", NETWORK_DEADLINE):
            await self._executor.run(self._addressing.stay_closed, device, redirect)

    async def leave_alone(self, device: str, redirect: Redirect | None) -> None:
        """All that is set for a session that was taken over stays as it is.  Raises SystemFailure."""
        async with limited(f"looking at {device}", NETWORK_DEADLINE):
            await self._executor.run(self._addressing.leave_alone, device, redirect)

    async def inherited(self) -> None:
        """What was taken over has been asked for again, as far as it is still wanted.  Raises SystemFailure."""
        async with limited("going on with what an earlier instance has set", NETWORK_DEADLINE):
            await self._executor.run(self._addressing.inherited)
            if self.taken_over:
                self._firewall_watch.start()  # before, so that no removal is missed
            await self._executor.run(self._firewall.release)

    async def close(self, *, leave: bool = False) -> None:
        """Remove devices that were held up to now, and end; the devices of sessions stay.

        With `leave`, sessions go on without this process, and the firewall stays.
        """
        self._events.stop()
        self._routing.stop()
        self._firewall_watch.stop()
        self.roaming.stop()
        await self.kill_switch.close()
        await self._removals.remove_lingering()
        async with limited("closing the network", NETWORK_DEADLINE):
            if not leave:
                await self._executor.run(self._firewall.remove)
            await self._executor.run(self._netlink.close)
            await self._executor.run(self._addressing.close)
            # A device that was given up while it was made is discarded after that, and removed after that again.
            await self._executor.run(_nothing)
            await self._removals.executor.run(_nothing)
        self._executor.stop()
        self._removals.executor.stop()
        self._journal.close()

    def _links_removed(self, indices: frozenset[int]) -> None:
        # In turn with all that this process does to its devices: those that it removed itself it has taken from its
        # list before.
        job = asyncio.wrap_future(self._executor.submit(self._missing, indices))
        job.add_done_callback(self._tell_removals)

    def _tell_removals(self, job: asyncio.Future[list[Entry]]) -> None:
        if not job.cancelled():
            for entry in job.result():
                self.on_removal(entry.session, entry.name)

    # The rest runs in the threads.

    def _missing(self, indices: frozenset[int]) -> list[Entry]:
        """The sessions' devices among `indices`, or among all if there are none, that no longer exist."""
        suspects = [entry for entry in self._addressing.entries if not indices or entry.index in indices]
        return [entry for entry in suspects if entry.name not in self.away and not tun.exists(entry.index)]

    def _create(self, session: str, uid: int, owner: int, wanted: str) -> str:
        self._removals.begin_lingering()
        namespace = current_namespace()

        noted: list[Entry] = []

        def announce(name: str, index: int) -> None:
            entry = Entry(name, index, namespace, uid, session)
            self._journal.write(entry)
            noted.append(entry)

        try:
            # The name of a device that an administrator has removed is not used again before its session has ended.
            name, _ = tun.create(uid, self._addressing, announce, self._tun_directory, wanted)
        except SystemFailure:
            for entry in noted:
                self._journal.remove(entry)
            raise
        self._addressing.add(noted[-1], owner)
        self._tell_lock()
        return name

    def _tell_lock(self) -> None:
        try:
            self._lock.follow_devices()
        except SystemFailure as error:
            self._log.error(f"The kill switch does not know the devices of sessions: {error}", group=LogGroup.NETCFG)

    def _discard(self, job: Future[str]) -> None:
        if job.exception() is None and (entry := self._removals.take(job.result())):
            self._removals.begin(entry)

    def _freed(self) -> None:
        """Somebody gave something up: what waited for it is set, in turn with others' requests."""
        if not self._settling:
            self._settling = True
            self._executor.submit(self._settle, None)

    def _settle(self, steps: Iterator[None] | None) -> None:
        if steps is None:
            self._settling = False
            steps = self._addressing.following.settle()
        if advance(steps):
            self._executor.submit(self._settle, steps)

    def _notice(self, session: str, text: str) -> None:
        self._on_loop(lambda: self.on_notice(session, text))

    def _tell_root(self, session: str, owner: int, text: str) -> None:
        # On the loop, where the lines that each user causes are counted.
        self._on_loop(lambda: self._log.warn(text, group=LogGroup.NETCFG, session=session, user=owner))

    def _on_loop(self, function: Callable[[], None]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function)


def _nothing() -> None:
    pass


def _ignore(session: str, device: str) -> None:
    pass
