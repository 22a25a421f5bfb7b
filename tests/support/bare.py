"""Sessions as the supervisor keeps them, in any state, without a device, a worker process, or a bus.

What would reach the kernel or another process is not there; needs a running loop.
"""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from ...ipc import messages
from ...ipc.channel import Channel, channel_pair
from ...policy.access import Acl
from ...supervisor.dns.backend import NoBackend
from ...supervisor.dns.lookups import Lookups
from ...supervisor.dns.names import Names
from ...supervisor.logging.log import Log
from ...supervisor.network.apply import Network
from ...supervisor.network.locking.kill_switch import KillSwitch
from ...supervisor.network.locking.lock import MachineLock
from ...supervisor.network.locking.lock_rules import Terms as LockTerms
from ...supervisor.network.name_servers import MachineNameServers
from ...supervisor.network.roaming import Roaming
from ...supervisor.network.serial_executor import SerialExecutor
from ...supervisor.rights import Rights
from ...supervisor.sessions.context import SessionContext
from ...supervisor.sessions.counting import Patience
from ...supervisor.sessions.forwarding import Forwarder
from ...supervisor.sessions.journal import SessionJournal
from ...supervisor.sessions.launch_spec import LaunchSpec
from ...supervisor.sessions.run import Run
from ...supervisor.sessions.session import Session, SessionListener
from ...supervisor.sessions.states import State
from ...supervisor.sessions.trial import Trial
from ...supervisor.sessions.uids import UserIds
from ...supervisor.workers.lookout import Lookout
from ...supervisor.workers.reap import Reaper
from ...supervisor.workers.resolver_client import ResolverClient
from ...supervisor.workers.spawner_client import SpawnerClient

REQUEST_NUMBER = 3  # of the latest request to a worker


class _NoJournal(SessionJournal):
    """Of workers that there are none of."""

    def __init__(self) -> None:
        pass

    def keep(self, session: str, dossier: bytes) -> None:
        pass

    def forget(self, session: str) -> None:
        pass

    def remove(self, session: str) -> None:
        pass


class _NoNetwork(Network):
    """Of sessions that have no device."""

    def __init__(self) -> None:
        self._exempt = set()
        self._going = {}
        executor = SerialExecutor("network")
        self.roaming = Roaming(executor)
        self.kill_switch = KillSwitch(MachineLock(LockTerms(range(0), ()), frozenset), executor, Log())

    def let_go(self, session: str) -> None:
        pass


def resolver_without_process() -> tuple[ResolverClient, Channel]:
    """One that answers at once, that it cannot; and the other end of its channel, to be held meanwhile."""
    ours, theirs = channel_pair()
    resolver = ResolverClient(ours, lambda: None)
    resolver.ended = True
    return resolver, theirs


def bare_context(resolver: ResolverClient, **others: Any) -> SessionContext:
    """Of sessions that get no worker: there is no user id for one.  `others` take the place of what is there."""
    backend, machine = NoBackend("there is none"), MachineNameServers()
    context = SessionContext(
        log=Log(),
        network=_NoNetwork(),
        names=Names(backend, "", machine, None, Log()),
        lookups=Lookups(resolver, machine, backend),
        rights=Rights(),
        spawner=SpawnerClient.__new__(SpawnerClient),
        reaper=Reaper(),
        lookout=Lookout(),
        patience=Patience(),
        user_ids=UserIds(range(0)),
        journal=_NoJournal(),
        forwarder=Forwarder.__new__(Forwarder),
        providers=(),
        lacks=[],
        descriptors=4096,
        connect_deadline=60.0,
        stopped_grace=1.0,
        full_titles=True,
    )
    return replace(context, **others)


def empty_spec() -> LaunchSpec:
    """What a worker is launched with that is never launched."""
    spec = LaunchSpec.__new__(LaunchSpec)
    spec.profile, spec.providers, spec.overrides, spec.reusable, spec.device = -1, frozenset(), (), True, ""
    spec.digest = ""
    return spec


class Unheard(Trial):
    """The listener of sessions that nobody hears of."""

    def accepted(self, session: Session) -> None:
        pass


class BareRun(Run):
    """A run that has nothing: neither user id nor device nor worker."""

    async def _launch(self, spec: LaunchSpec) -> None:
        pass


class BareSession(Session):
    """A session in some state, whose worker has shaken hands and heard of REQUEST_NUMBER requests."""

    def __init__(
        self,
        state: State,
        context: SessionContext,
        listener: SessionListener,
        path: str = "/net/openvpn/v3/sessions/s",
        owner: int = 1000,
        *,
        handshake_done: bool = True,
        restart_on_failure: bool = False,
    ) -> None:
        super().__init__(
            path,
            "/profile",
            "work",
            Acl(owner),
            context,
            listener,
            starter=owner,
            restart_on_failure=restart_on_failure,
        )
        self.state = state
        self.runs.spec = empty_spec()
        self.bare_run = self.bare_run_with(handshake_done)
        self.use_run(self.bare_run)
        if state in (State.DOWN, State.DOWN_PAUSED):
            self.runs.present = None

    def use_run(self, run: Run) -> None:
        """Have this one be the present run."""
        self.runs.present = self.runs._latest = run

    def bare_run_with(self, handshake_done: bool) -> BareRun:
        """A run of the session that has not begun to say anything but, if wanted, its hello."""
        run = BareRun(self, empty_spec(), self._context)
        if handshake_done:
            run.conversation.shake_hands(messages.WorkerHello(messages.MAJOR, messages.MINOR))
        for _ in range(REQUEST_NUMBER):
            run.conversation.begin_request()
        return run

    def hear(self, message: messages.ToSupervisor) -> Awaitable[None] | None:
        """A message of its worker arrives."""
        return self.bare_run.received(message)

    def forget(self) -> None:
        """Stop its clock."""
        self._timer.cancel()


@contextmanager
def session_in(
    state: State, *, handshake_done: bool = True, restart_on_failure: bool = False, **others: Any
) -> Iterator[BareSession]:
    """One by itself; `others` as in `bare_context`."""
    resolver, theirs = resolver_without_process()
    context = bare_context(resolver, **others)
    made = BareSession(state, context, Unheard(), handshake_done=handshake_done, restart_on_failure=restart_on_failure)
    try:
        yield made
    finally:
        resolver.close()
        theirs.close()
