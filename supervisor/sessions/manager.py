"""All sessions: the root object of net.openvpn.v3.sessions."""

import os
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec.structs import replace

from ...policy.access import Acl, Caller
from ...policy.dbus_numbers import InputGroup, LogCategory, LogGroup, SessionEvent
from ...policy.profile.overrides import for_session
from ...policy.quotas import Quotas
from ...policy.rights import Right
from ...policy.sandbox.layers import Layer
from ...policy.session_places import Places, places
from ..bus.dispatch import Dispatcher
from ..bus.interface import Interface
from ..bus.kill_switch_api import KILL_SWITCH
from ..bus.manager_api import BUS_NAME, MANAGER, ROOT_PATH
from ..bus.objects import Target
from ..bus.settings_api import PROFILE_SETTINGS
from ..bus.signals import Signals
from ..errors import CallerError, SupervisorError, SystemFailure
from ..sandbox.pkcs11_providers import ListedProviders
from ..services.long_work import LongWork
from ..services.profile_settings import SettingsStore
from ..services.profiles import Identity, Profile, Profiles
from . import sharing
from .adoption import Lost
from .before_sleep import BeforeSleep
from .context import SessionContext
from .failure_recorder import FailureRecorder
from .failures import Failures
from .launch_spec import launch_spec
from .lock_object import LockObject
from .on_bus import SessionsOnBus
from .past_failure import Reached
from .register import Register
from .session import Session, SessionListener
from .states import Event, State
from .trial import Question, Trial, questions


class SessionManager(SessionListener):
    """Starts sessions and finds them; the D-Bus methods are those of the manager's table."""

    acl: Acl | None = None

    def __init__(
        self,
        *,
        version: str,
        engine: Path,
        engine_was_there: bool,
        layers_off: Mapping[Layer, str],
        context: SessionContext,
        dispatcher: Dispatcher,
        signals: Signals,
        profiles: Profiles,
        settings: SettingsStore,
        providers: ListedProviders,
        failures: Failures,
        quotas: Quotas,
    ) -> None:
        """`engine_was_there` tells whether the workers' root directory was built with the engine in it.

        `layers_off` are the layers of the sandbox that no session has, each with the reason.
        """
        self.version = version
        self.before_sleep = BeforeSleep()
        self.on_fewer: Callable[[], None] | None = None  # called when a session has been removed, or has ended
        self.on_state: Callable[[Session], None] | None = None  # called when one may have another state
        self.on_bus = SessionsOnBus(dispatcher, signals, context, layers_off)
        self._engine = engine
        self._engine_was_there = engine_was_there
        self._context = context
        self._log = context.log
        self._rights = context.rights
        self._dispatcher = dispatcher
        self._profiles = profiles
        self._settings = settings
        self._providers = providers
        self._recorder = FailureRecorder(failures)
        self._long_work = LongWork()
        self._register = Register(self._places(quotas), quotas)

    def start(self) -> None:
        """Put the root object on the bus."""
        self._context.network.on_removal = self._device_removed
        self._context.network.on_notice = self._context.names.on_notice = self._network_notice
        self._context.network.kill_switch.on_notice = self._network_notice
        self._context.names.on_lost = self._names_lost
        lock = LockObject(self._context.network.kill_switch, self._register)
        extensions: dict[Interface, Target] = {PROFILE_SETTINGS: self._settings, KILL_SWITCH: lock}
        self._dispatcher.export(ROOT_PATH, MANAGER, self, bus_name=BUS_NAME, extensions=extensions)

    @property
    def sessions(self) -> list[Session]:
        """Those on the bus, or about to be."""
        return list(self._register.present.values())

    @property
    def count(self) -> int:
        """Sessions of which anything is left."""
        return len(self._register)

    def change(self, quotas: Quotas, *, connect_deadline: float, full_titles: bool) -> None:
        """Have these count for sessions that are started from now on; none that there is ends for it."""
        self._context = replace(self._context, connect_deadline=connect_deadline, full_titles=full_titles)
        self._register.places, self._register.quotas = self._places(quotas), quotas

    def _places(self, quotas: Quotas) -> Places:
        return places(self._context.user_ids.enough_for, self._context.descriptors, quotas)

    def caller_vanished(self, name: str) -> None:
        """A connection has left the bus: nothing more is sent to it."""
        for session in self._register.present.values():
            session.audience.drop(name)
            session.inside.vanished(name)

    async def disconnect_all(self) -> None:
        """End every session in an orderly way, and wait until nothing is left of any."""
        ending = list(self._register)
        for session in ending:
            if session.state is not State.GONE:
                session.runs.end_with_others = True
                session.happened(Event.DISCONNECT)
        for session in ending:
            await session.ended.wait()

    def abandon_starting(self) -> None:
        """End sessions that are being started, whose callers get no answer from the next instance."""
        for session in list(self._register):
            if session.state is State.STARTING:
                session.give_up()

    def adopted(self, session: Session) -> None:
        """Put a session on the bus that an earlier instance has made."""
        self._register.add(session)
        self.on_bus.put(session)
        self.on_bus.devices.follow(session)
        self.before_sleep.follow(session)

    def lost(self, lost: Lost) -> None:
        """Tell that a session of an earlier instance is gone, and remember why it could not go on."""
        session = lost.session
        name = session.path.rpartition("/")[2]
        self._log.warn(f"{session.config_name!r}: {lost.reason}", session=name, user=session.starter)
        self._recorder.lost(session, Reached(lost.reached), lost.reason)
        self.on_bus.tell(SessionEvent.DESTROYED, session.path, session.acl.owner)

    async def questions(self, config: Identity) -> tuple[str, list[Question]]:
        """The fingerprint of a profile, and what a session would ask its owner before it connects.

        Raises SupervisorError, OSError.
        """
        caller = Caller("", config.owner)
        await self._check_right(caller)
        async with self._register.turn(caller):
            profile = await self._profiles.profile_for(config.path, caller)
            self._profiles.unused(profile)
            self._register.check_places(caller)
            self._check_engine()
            path = self._new_path()
            session = Session(
                path, config.path, profile.name, Acl(config.owner), self._context, Trial(), starter=config.owner
            )
            try:
                spec = await launch_spec(profile, self._providers, self._long_work, config.owner, reusable=False)
                await session.start(spec)
                return session.fingerprint, questions(session)
            finally:
                if session.state is not State.GONE:
                    session.happened(Event.DISCONNECT)
                if session.run is not None:
                    session.run.kill()
                await session.ended.wait()

    # D-Bus methods

    async def new_tunnel(self, caller: Caller, config_path: str) -> str:
        """Answers NewTunnel: the session's object answers before this returns."""
        await self._check_right(caller)
        # Before the profile is read, which may be megabytes.
        self._register.check_running(caller, config_path)
        async with self._register.turn(caller):
            profile = await self._profiles.profile_for(config_path, caller)
            try:
                path = await self._start_session(profile, caller)
            except BaseException:
                self._profiles.unused(profile)
                raise
            await self._profiles.used(profile)
            return path

    async def _start_session(self, profile: Profile, caller: Caller) -> str:
        config_path = profile.path
        settings, trouble = await self._settings.of(profile)
        if settings.kill_switch and (refusal := await self._rights.refusal(Right.KILL_SWITCH, caller.uid)):
            raise CallerError(f"The profile has a kill switch, and {refusal}")
        await self._register.wait_for_ending(caller)
        # From here on nothing is awaited before the session counts, lest there be two.  Where sessions belong to the
        # profile's owner there is one for all users, and not all of them see it.
        self._register.check_running(caller, config_path, of_all=profile.transfer_owner)
        self._register.check_places(caller)
        self._check_engine()
        path = self._new_path()
        owner = profile.owner if profile.transfer_owner else caller.uid
        restart = for_session(profile.overrides).restart_on_failure
        session = Session(
            path,
            config_path,
            profile.name,
            Acl(owner),
            self._context,
            self,
            starter=caller.uid,
            restart_on_failure=restart,
            settings=settings,
        )
        if trouble:
            session.notices.profile_used(trouble)
        session.audience.watch(caller)
        self._register.add(session)
        text = f"Starting a session for {profile.name!r}, owner {owner}"
        self._log.debug(text, session=session.name, user=caller.uid)
        began = time.monotonic()
        try:
            await session.start(
                await launch_spec(profile, self._providers, self._long_work, caller.uid, reusable=restart)
            )
        except BaseException as error:
            if isinstance(error, SupervisorError) and session.state is State.STARTING:
                self._recorder.not_started(session, str(error))
            # Nothing of the attempt is left when the caller learns of it.
            session.give_up()
            await session.ended.wait()
            self._log.verb1(f"No session for {profile.name!r}: {error}", user=caller.uid)
            if isinstance(error, OSError) and error.strerror:
                raise SystemFailure(f"The session cannot be started: {error.strerror}") from error
            raise
        took = (time.monotonic() - began) * 1000
        self._log.info(
            f"Session for {profile.name!r}, owner {owner}, worker {session.backend_pid}, {took:.0f} ms",
            session=session.name,
            user=caller.uid,
        )
        return path

    async def _check_right(self, caller: Caller) -> None:
        if refusal := await self._rights.refusal(Right.START_SESSIONS, caller.uid):
            raise CallerError(refusal)

    def _new_path(self) -> str:
        return f"{ROOT_PATH}/{str(uuid.uuid4()).replace('-', 's')}"

    def _check_engine(self) -> None:
        if not os.access(self._engine, os.X_OK):
            raise CallerError(f"There is no openvpn program at {self._engine}: install openvpn, or give --openvpn")
        if not self._engine_was_there:
            raise CallerError(
                f"{self._engine} was installed after the service started; end the service, and it starts with it"
            )

    def fetch_available_sessions(self, caller: Caller) -> list[str]:
        """Answers FetchAvailableSessions; root may do with all of them what their owners may."""
        if caller.uid == 0:
            return [session.path for session in self._register.present.values() if session.state is not State.STARTING]
        return [session.path for session in self._register.seen_by(caller)]

    def fetch_managed_interfaces(self, caller: Caller) -> list[str]:
        """Answers FetchManagedInterfaces."""
        return [session.device_name for session in self._register.seen_by(caller)]

    def lookup_config_name(self, caller: Caller, config_name: str) -> list[str]:
        """Answers LookupConfigName; failed sessions no longer count."""
        return [
            session.path
            for session in self._register.seen_by(caller)
            if session.running and session.config_name == config_name
        ]

    def lookup_interface(self, caller: Caller, device_name: str) -> str:
        """Answers LookupInterface."""
        having = (session for session in self._register.seen_by(caller) if session.device_name == device_name)
        paths = [session.path for session in having] if device_name else []
        if not paths:
            raise CallerError("Interface not found")
        if len(paths) > 1:
            raise CallerError("More than one interface found")
        return paths[0]

    def transfer_ownership(self, caller: Caller, path: str, new_owner: int) -> None:
        """Answers TransferOwnership; the session stays charged to who started it."""
        session = self._register.present.get(path)
        if session is None or session.state is State.STARTING:
            raise CallerError(f"No session at {path}")
        sharing.transfer(session, new_owner)

    # What happens to sessions

    def accepted(self, session: Session) -> None:
        self.on_bus.put(session)
        session.happened(Event.ACCEPTED)
        self.on_bus.tell(SessionEvent.CREATED, session.path, session.acl.owner)

    def state_changed(self, session: Session) -> None:
        self.on_bus.devices.follow(session)
        self.before_sleep.follow(session)
        if self.on_state is not None:
            self.on_state(session)

    def status_changed(self, session: Session) -> None:
        self._recorder.status_changed(session)
        self.on_bus.tell_status(session)

    def attention_required(self, session: Session, group: InputGroup, text: str) -> None:
        self.on_bus.ask_attention(session, group, text)

    def removed(self, session: Session) -> None:
        self._register.removed(session)
        self.on_bus.take_off(session)
        self._fewer()

    def ended(self, session: Session) -> None:
        self._register.ended(session)
        self._fewer()

    def _device_removed(self, name: str, device: str) -> None:
        session = self._register.named(name)
        if session is not None:
            session.device_removed(device)

    def _network_notice(self, name: str, text: str) -> None:
        session = self._register.named(name)
        if session is not None:
            session.notices.settled(text)
            session.log.write(LogCategory.INFO, text, LogGroup.NETCFG)

    def _names_lost(self, name: str, text: str) -> None:
        session = self._register.named(name)
        if session is not None:
            session.network_lost(text)

    def _fewer(self) -> None:
        if self.on_fewer is not None:
            self.on_fewer()
