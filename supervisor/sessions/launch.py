"""What it takes to start a session: a user id, a device, a worker process; and what is given back after it."""

import asyncio
import fcntl
import os

from ...ipc import messages
from ..accounts import account_name
from ..errors import SystemFailure
from ..logging.log import Log
from ..network.apply import Network
from ..sandbox.pkcs11_providers import ListedProviders
from ..services.profiles import Profile
from ..workers import requests
from ..workers.reap import Reaper
from ..workers.relay import Worker
from ..workers.spawner_client import SpawnerClient
from .journal import SessionJournal
from .session import Session
from .uids import UserIds


class Outfit:
    """What every worker of a session is given: the profile, in a memory file of its own, and what goes with it."""

    def __init__(self, profile: Profile, providers: frozenset[int]) -> None:
        """`providers` are the numbers of the PKCS#11 providers that it is to see.  Raises OSError."""
        self.overrides = tuple(profile.overrides.items())
        self.providers = providers
        self.profile = _sealed_memfd(profile.text)

    def close(self) -> None:
        """Nobody is given it any more."""
        if self.profile >= 0:
            os.close(self.profile)
            self.profile = -1


class Launcher:
    """Starts the workers of sessions."""

    def __init__(
        self,
        *,
        log: Log,
        network: Network,
        spawner: SpawnerClient,
        reaper: Reaper,
        user_ids: UserIds,
        journal: SessionJournal,
        connect_deadline: float,
        providers: ListedProviders,
    ) -> None:
        """`connect_deadline` is in seconds, from Connect to the first connection."""
        self._log = log
        self._network = network
        self._spawner = spawner
        self._reaper = reaper
        self._user_ids = user_ids
        self._journal = journal
        self._connect_deadline = connect_deadline
        self._providers = providers

    async def outfit(self, profile: Profile) -> Outfit:
        """What the workers of a session of `profile` are given.  Raises OSError."""
        wanted = frozenset[int]()
        if self._providers.listed:
            wanted = await asyncio.to_thread(self._providers.wanted_by, profile.text)
        return Outfit(profile, wanted)

    async def launch(self, session: Session, outfit: Outfit) -> None:
        """Make device and worker, and hand the worker its session; its verdict comes later.

        Raises SystemFailure.  What there is of device and worker then, or when cancelled, the session has noted.
        """
        session.uid = self._user_ids.take()
        outcomes = await asyncio.gather(
            self._make_device(session),
            self._spawn(session, outfit.providers),
            account_name(session.acl.owner),
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        assert session.worker is not None
        session.worker.send(messages.SupervisorHello(messages.MAJOR, messages.MINOR))
        snapshot = messages.SupervisorSnapshot(
            session=session.name,
            owner=str(outcomes[2]),
            config_name=session.config_name,
            device=session.device,
            connect_deadline=self._connect_deadline,
            overrides=outfit.overrides,
            providers=self._providers.listed,
        )
        session.worker.send(snapshot, outfit.profile)
        if not session.restarts.wanted:
            outfit.close()

    def take_back(self, session: Session) -> None:
        """Worker and device of a session are gone; it may be launched again."""
        try:
            self._journal.remove(session.name)
        except OSError as error:
            self._log.error(f"The note of a worker cannot be removed: {error.strerror}", session=session.name)
        self._network.end_exemption(session.uid)
        if session.uid and not self._spawner.owes(session.uid):
            self._user_ids.give_back(session.uid)
        session.uid = 0

    async def _make_device(self, session: Session) -> None:
        session.device = await self._network.create_device(session.name, session.uid)

    async def _spawn(self, session: Session, providers: frozenset[int]) -> None:
        pid, pidfd, channel = await self._spawner.spawn(session.uid, providers)
        session.worker = Worker(
            pid,
            pidfd,
            channel,
            self._reaper,
            handle=lambda message: requests.handle(session, message),
            ended=session.worker_ended,
            fault=session.worker_at_fault,
        )
        try:
            self._journal.add(session.name, pid, session.uid)
        except FileNotFoundError:
            pass  # it has ended already, and its end tells why
        except OSError as error:
            raise SystemFailure(f"The session cannot be noted on disk: {error.strerror}") from error


def _sealed_memfd(content: bytes) -> int:
    """A file in memory that nobody can change any more (memfd_create(2), fcntl(2))."""
    descriptor = os.memfd_create("profile", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor
