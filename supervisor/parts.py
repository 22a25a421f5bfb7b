"""All parts of the running service, and how they are joined to each other."""

import os
from collections.abc import Mapping
from contextlib import suppress

from ..policy.exit_status import ExitStatus
from ..policy.sandbox.layers import Layer
from .administration import Administration
from .bus import log_api, stub_api
from .bus.signals import Signals
from .dns.setup import NameService
from .errors import StartError
from .idle import IdleTimer
from .network.setup import network_of
from .presence import Presence
from .rejoining import Rejoining
from .rights import Rights
from .sandbox import kept_trial
from .services.configuration import ConfigurationService
from .services.credentials import Credentials
from .services.external_configuration import ExternalConfiguration
from .services.log_service import LogService
from .services.profile_settings import SettingsStore
from .services.profile_store import ProfileStore
from .services.profiles import Profiles
from .services.seats import Seats
from .services.sleep import Sleep
from .sessions.adoption import Adoption
from .sessions.autoconnect import Autoconnect
from .sessions.context import SessionContext
from .sessions.counting import Patience
from .sessions.failures import Failures
from .sessions.forwarding import Forwarder
from .sessions.journal import SESSIONS, SessionJournal
from .sessions.manager import SessionManager
from .sessions.uids import UserIds
from .succession import Succession
from .version import API_VERSION
from .workers.processes import Processes


class Parts:
    """What the service is made of; nothing of it runs yet."""

    def __init__(self, presence: Presence) -> None:
        """Raises StartError if the runtime directory cannot be used."""
        prepared, connection = presence.prepared, presence.connection
        options = prepared.options
        self._runtime_dir = options.runtime_dir
        self.log = log = prepared.log
        self.connection = connection
        self.callers = presence.callers
        self.dispatcher = presence.dispatcher
        self.names = presence.names
        self.lock = presence.lock
        embedded = presence.embedded
        user_ids = UserIds(prepared.session_uids, shared=Layer.USER not in prepared.sandbox.layers)
        self.processes = Processes(
            prepared.helpers,
            log,
            user_ids.give_back,
            presence.stop.is_set,
            self.try_sandbox_anew,
            stopped_grace=options.stopped_grace,
            look_interval=options.look_interval,
        )
        self.succession = Succession(connection, log, self.processes.lacks)
        self.processes.on_lost = self.succession.look
        rights = Rights(options.rights, Seats(connection).active)
        try:
            self.network = network_of(options, log, prepared.tun_directory, prepared.ipv6_settings)
            journal = SessionJournal(options.runtime_dir / SESSIONS)
            self.name_service = NameService(
                connection,
                log,
                self.network.name_servers,
                options.runtime_dir / "names",
                self.processes.name_setter,
                self.processes.resolver,
                prepared.dns,
                rights,
            )
        except OSError as error:
            raise StartError(f"{error.filename} cannot be used: {error.strerror}", ExitStatus.CANNOT_START) from error
        signals = Signals(connection)
        self.configuration: ConfigurationService | None = None
        profiles: Profiles
        if embedded:
            profiles = self.configuration = ConfigurationService(
                ProfileStore(options.runtime_dir, options.state_dir, options.quotas),
                self.dispatcher,
                signals,
                log,
                service_uid=prepared.account.pw_uid,
                version=API_VERSION,
            )
        else:
            profiles = ExternalConfiguration(connection, log)
        settings = SettingsStore(options.runtime_dir, options.state_dir, profiles, log)
        if self.configuration is not None:
            self.configuration.on_removed = settings.forget
        self.failures = Failures(options.state_dir / "failures", self.dispatcher, log)
        context = SessionContext(
            log=log,
            network=self.network,
            names=self.name_service.names,
            lookups=self.name_service.lookups,
            rights=rights,
            spawner=self.processes.spawner,
            reaper=self.processes.reaper,
            lookout=self.processes.lookout,
            patience=Patience(),
            user_ids=user_ids,
            journal=journal,
            forwarder=Forwarder(connection, self.dispatcher, signals, log),
            providers=prepared.providers.listed,
            descriptors=prepared.descriptors,
            connect_deadline=options.connect_timeout,
            stopped_grace=options.stopped_grace,
            full_titles=options.process_titles == "full",
            lacks=self.processes.lacks,
        )
        self.adoption = Adoption(
            context, self.callers, profiles, prepared.providers, lambda lost: self.manager.lost(lost)
        )
        self.manager = SessionManager(
            version=API_VERSION,
            engine=options.engine,
            engine_was_there=prepared.engine_was_there,
            layers_off=prepared.sandbox.off,
            context=context,
            dispatcher=self.dispatcher,
            signals=signals,
            profiles=profiles,
            settings=settings,
            providers=prepared.providers,
            failures=self.failures,
            quotas=options.quotas,
        )
        self.autoconnect = Autoconnect(
            self.manager,
            settings,
            Credentials(os.environ),
            self.failures,
            log,
            runtime_dir=options.runtime_dir,
            state_dir=options.state_dir,
            embedded=embedded,
        )
        before_sleep = self.manager.before_sleep
        self.sleep = Sleep(connection, log, before_sleep.prepare, self.network.roaming.resumed)
        before_sleep.wanted = self.sleep.want
        self.log_service = LogService(connection, self.callers, self.dispatcher, log, version=API_VERSION)
        self.idle = IdleTimer(
            options.idle_exit, self.work, lambda: self.dispatcher.busy, lambda: self.dispatcher.called_at
        )
        rejoined = (presence.named, self.callers.start, self.name_service.rejoined, self.sleep.start)
        given_up = IdleTimer(options.bus_wait, self.work)
        self.rejoining = Rejoining(connection, log, self.names, rejoined, given_up)
        self.administration = Administration(
            options,
            prepared.command_line,
            log,
            rights=rights,
            sessions=self.manager,
            profiles=self.configuration.store if self.configuration else None,
            network=self.network,
            idle=self.idle,
        )
        self._names_owned(presence.owned)
        presence.on_owned = self._names_owned

    def work(self) -> int:
        """What keeps the service running: sessions, those to come, and attached services, which log through it."""
        return self.manager.count + self.autoconnect.pending + self.log_service.num_attached

    def try_sandbox_anew(self) -> None:
        """The machine has not the sandbox that it had: the next start is to see which one it has."""
        with suppress(OSError):
            kept_trial.forget(self._runtime_dir)

    def less_work(self) -> None:
        """There may be nothing any more that keeps the service running."""
        self.idle.look()
        self.rejoining.less_work()

    def _names_owned(self, owned: Mapping[str, bool]) -> None:
        self.manager.on_bus.forwards_arrive = owned.get(log_api.BUS_NAME, False)
        self.manager.on_bus.devices.served = owned.get(stub_api.DEVICE.name, False)
