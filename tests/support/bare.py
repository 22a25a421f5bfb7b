"""Sessions as the supervisor keeps them, without a device, a worker that lives, or a bus.

What would reach the kernel or another process is not there; needs a running loop.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...ipc.channel import Channel, channel_pair
from ...policy.access import Acl
from ...supervisor.logging.log import Log
from ...supervisor.network.apply import Network
from ...supervisor.sessions.forwarding import Forwarder
from ...supervisor.sessions.session import Session, Surroundings
from ...supervisor.sessions.states import State
from ...supervisor.workers.relay import Worker
from ...supervisor.workers.resolver_client import ResolverClient

TURN = 3  # of the session's latest request


def _nothing(*_: object) -> None:
    pass


def ended_worker() -> Worker:
    """What a session holds of a worker that cannot be told anything any more."""
    worker = Worker.__new__(Worker)
    worker.pid = 0
    worker.alive = False
    worker._busy = None
    worker.gone = asyncio.Event()
    worker.gone.set()
    return worker


def resolver_without_process() -> tuple[ResolverClient, Channel]:
    """One that answers at once, that it cannot; and the other end of its channel, to be held meanwhile."""
    ours, theirs = channel_pair()
    resolver = ResolverClient(ours, lambda: None)
    resolver.gone = True
    return resolver, theirs


def surroundings(resolver: ResolverClient, accepted: Callable[[Session], None] = _nothing) -> Surroundings:
    """Of sessions that nobody hears of."""
    return Surroundings(
        Log(),
        Network.__new__(Network),
        resolver,
        connect_deadline=60.0,
        accepted=accepted,
        attention=_nothing,
        announce=_nothing,
        leave=_nothing,
        finished=_nothing,
        follow_device=_nothing,
        forwarder=Forwarder.__new__(Forwarder),
    )


def bare_session(
    state: State, around: Surroundings, path: str = "/net/openvpn/v3/sessions/s", owner: int = 1000
) -> Session:
    """A session in this state, with its worker handshake_done."""
    session = Session(path, "/profile", "work", Acl(owner), around)
    session.state = state
    session.request_number = TURN
    session.handshake_done = True
    if state is State.REVIVING:
        session.worker = ended_worker()
    return session


@contextmanager
def session_in(state: State) -> Iterator[Session]:
    """One by itself."""
    resolver, theirs = resolver_without_process()
    session = bare_session(state, surroundings(resolver))
    try:
        yield session
    finally:
        if session.verdict.done():
            session.verdict.exception()
        resolver.close()
        theirs.close()
