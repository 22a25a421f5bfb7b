"""Sessions that the service itself starts and keeps up: those of profiles with the setting autoconnect.

It does for the owner of a profile what the owner could do: the same rights and quotas count, and the session is theirs.
What a session asks before it connects is answered by credentials of the service's unit, if they are for this profile.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ...policy.causes import CAUSES, Cause, Kind
from ...policy.dbus_numbers import StatusMinor
from ...policy.limits import MAX_AUTOCONNECT_FILE, MAX_RESTARTS, MAX_STATUS_TEXT
from ...policy.profile.bound_credentials import credential_name
from ..errors import CallerError, SupervisorError
from ..files import read_small_file, replace_file
from ..logging.log import Log
from ..services.credentials import Credentials
from ..services.profile_settings import SettingsStore
from ..services.profiles import Identity
from .acting import answer_for, connect_for, start_for
from .failures import Failures
from .manager import SessionManager
from .past_failure import PastFailure, Reached
from .restarts import Restarts
from .session import Session
from .states import FAILED, Event, State
from .trial import Question, questions

MARKER = "autoconnect"  # in the state directory while any profile has the setting: a unit starts the service for it
_DOWN = "autoconnect-down"  # in the runtime directory: the profiles whose owners have disconnected them, by object path


@dataclass(eq=False)
class _Wanted:
    """A profile with the setting."""

    profile: Identity
    down: bool = False  # disconnected by hand, until it is started by hand or the machine is
    up: str = ""  # path of its session that is in use
    ours: str = ""  # path of the last one that the service started
    given_up: bool = False  # it asks what nobody answers
    answered: set[tuple[int, str]] = field(default_factory=set)  # workers' process ids, and questions of theirs
    trying: asyncio.Task[None] | None = None  # to start one, perhaps after a pause
    restarts: Restarts = field(default_factory=lambda: Restarts(wanted=True))
    locks: Session | None = None  # a failed one, whose kill switch keeps the machine locked until another is connected

    @property
    def owner(self) -> int:
        return self.profile.owner


class Autoconnect:
    """The profiles that are to be connected, and what becomes of their sessions."""

    def __init__(
        self,
        manager: SessionManager,
        settings: SettingsStore,
        credentials: Credentials,
        failures: Failures,
        log: Log,
        *,
        runtime_dir: Path,
        state_dir: Path,
        embedded: bool,
    ) -> None:
        """`embedded` tells whether the profiles are this service's own."""
        self._manager = manager
        self._settings = settings
        self._credentials = credentials
        self._failures = failures
        self._log = log
        self._down_file = runtime_dir / _DOWN
        self._marker = state_dir / MARKER
        self._embedded = embedded
        self._wanted: dict[str, _Wanted] = {}  # by object path of the profile
        self._stopped = False
        self.on_fewer: Callable[[], None] = lambda: None  # called when there may be less to do
        settings.check_autoconnect, settings.autoconnect_changed = self.check, self.changed
        settings.credentials_of = self.credentials_of
        manager.on_state = self.follow

    @property
    def pending(self) -> int:
        """Sessions that are about to be started, perhaps after a pause."""
        return sum(one.trying is not None for one in self._wanted.values())

    async def start(self) -> None:
        """Begin with the profiles that have the setting; sessions of an earlier instance are taken as they are."""
        if not self._embedded or not await asyncio.to_thread(self._marker.exists):
            return
        down = await asyncio.to_thread(self._read_down)
        for profile in await self._settings.with_autoconnect():
            self._wanted[profile.path] = _Wanted(profile, profile.path in down)
        if not self._wanted:
            with suppress(OSError):  # the service would be started for nothing
                await asyncio.to_thread(self._marker.unlink, missing_ok=True)
        for session in self._manager.sessions:
            self.follow(session)
        for wanted in self._wanted.values():
            self._begin(wanted)

    def stop(self) -> None:
        """Start none any more; what becomes of sessions from now on is not their owners' doing."""
        self._stopped = True
        for wanted in self._wanted.values():
            if wanted.trying is not None:
                wanted.trying.cancel()

    # The setting

    async def check(self, profile: Identity) -> None:
        """Raises CallerError if a profile cannot have the setting, with the reason."""
        if not self._embedded:
            raise CallerError(
                "autoconnect is for profiles of this service's own configuration service; this one is kept by that of "
                "OpenVPN 3 Linux, which connects profiles at boot by openvpn3-session@.service"
            )
        if not profile.persistent:
            raise CallerError("autoconnect is for persistent profiles: import this one with --persistent")
        fingerprint, asked = await self._manager.questions(profile)
        if missing := self._missing(asked, await self._answers(fingerprint, asked)):
            raise CallerError(
                f"autoconnect is for profiles that need no typing, and this one asks for {missing}; the service has no "
                "systemd credentials for that (ovpnctl config-credentials)"
            )

    async def credentials_of(self, profile: Identity) -> list[tuple[str, str, bool]]:
        """What a profile asks, and the name of the credential for it; whether that is there.

        Raises SupervisorError, OSError.
        """
        fingerprint, asked = await self._manager.questions(profile)
        there = await self._answers(fingerprint, asked)
        return [(one.label, credential_name(fingerprint, one.name), one.name in there) for one in asked]

    async def changed(self, profile: Identity, wanted: bool) -> None:
        """A profile has the setting from now on, or not any more, or is gone.  Raises OSError."""
        if not wanted:
            dropped = self._wanted.pop(profile.path, None)
            if dropped is not None and dropped.trying is not None:
                dropped.trying.cancel()
            if dropped is not None:
                self._note_down()
            return
        await asyncio.to_thread(self._marker.touch, 0o600)
        one = self._wanted.setdefault(profile.path, _Wanted(profile))
        one.given_up = False
        if one.down:
            one.down = False
            self._note_down()
        for session in self._manager.sessions:
            self.follow(session)
        self._begin(one)

    # Its sessions

    def follow(self, session: Session) -> None:
        """A session's state may have changed."""
        wanted = self._wanted.get(session.config_path)
        if wanted is None or self._stopped or session.acl.owner != wanted.owner:
            return
        if wanted.up in ("", session.path):
            wanted.restarts.follow(session.state is State.CONNECTED, time.monotonic())
        match session.state:
            case State.STARTING:
                pass
            case State.GONE if session.entered_by is Event.DISCONNECT and session.path in (wanted.up, wanted.ours):
                self._put_down(wanted)
            case State.GONE:
                self._again(wanted, session)
            case state if state in FAILED:
                self._keep_lock(wanted, session)
                if session.path == wanted.ours and _was_refused(session):
                    self._stay_down(wanted)
                self._again(wanted, session)
            case state:
                wanted.up = session.path
                if wanted.down:
                    wanted.down = False
                    self._note_down()
                if state is State.CONNECTED:
                    self._release_lock(wanted)
                elif state is State.NEEDS_INPUT and (session.path == wanted.ours or session.restarts.tries):
                    self._answer(wanted, session)

    def _put_down(self, wanted: _Wanted) -> None:
        """Its owner has disconnected it."""
        wanted.up = wanted.ours = ""
        wanted.down = True
        if wanted.trying is not None:
            wanted.trying.cancel()
        self._release_lock(wanted)
        self._note_down()

    def _stay_down(self, wanted: _Wanted) -> None:
        """What it logs in with is wrong: trying again might lock the account, or the token."""
        if wanted.down:
            return
        self._log.warn(
            f"autoconnect of {wanted.profile.path}: the login was refused, so it is not tried again until the profile "
            "is connected by hand, the setting is set again or the machine is started",
            user=wanted.owner,
        )
        wanted.down = True
        self._note_down()

    def _answer(self, wanted: _Wanted, session: Session) -> None:
        """It asks on its way, or another worker asks what the one before was told; nothing twice: it may be wrong."""
        if wanted.trying is None and self._new_questions(wanted, session):
            wanted.trying = asyncio.create_task(self._attempt(wanted, session))
            wanted.trying.add_done_callback(lambda _: self._tried(wanted))

    def _again(self, wanted: _Wanted, session: Session) -> None:
        """One of its sessions is over, and nobody has ended it."""
        if wanted.up in ("", session.path):
            wanted.up = ""
            self._begin(wanted, again=True)

    def _begin(self, wanted: _Wanted, *, again: bool = False) -> None:
        """Start a session, with `again` after a pause, unless there is one or its owner wants none."""
        if self._stopped or wanted.down or wanted.given_up or wanted.up or wanted.trying is not None:
            return
        if again:
            wanted.restarts.tries = min(wanted.restarts.tries + 1, MAX_RESTARTS)
        wanted.trying = asyncio.create_task(self._try(wanted, wanted.restarts.pause if again else 0.0))
        wanted.trying.add_done_callback(lambda _: self._tried(wanted))

    def _tried(self, wanted: _Wanted) -> None:
        wanted.trying = None
        present = self._wanted.get(wanted.profile.path) is wanted
        if present and not wanted.up:
            self._begin(wanted, again=True)
        self.on_fewer()

    async def _try(self, wanted: _Wanted, pause: float) -> None:
        """Start a session and have it connect, for its owner; what fails is noted."""
        await asyncio.sleep(pause)
        if wanted.up:
            return
        await self._attempt(wanted, None)

    async def _attempt(self, wanted: _Wanted, session: Session | None) -> None:
        """Start a session, unless there is one, and have it connect; what fails is noted."""
        known = self._failures.of(wanted.owner)[:1]
        try:
            if session is None:
                session = await start_for(self._manager, wanted.owner, wanted.profile.path)
                wanted.ours = session.path
            asked = self._new_questions(wanted, session)
            answers = await self._answers(session.fingerprint, asked)
            if missing := self._missing(asked, answers):
                if session.state is State.READY:
                    self._give_up(wanted, session, missing)
                return  # else its user may type it
            told = {(pid, name) for pid, name in wanted.answered if pid == session.backend_pid}
            wanted.answered = told | {(session.backend_pid, one.name) for one in asked}
            answer_for(self._manager, wanted.owner, session, answers)
            await connect_for(self._manager, wanted.owner, session)
        except (SupervisorError, OSError) as error:
            self._log.warn(f"autoconnect of {wanted.profile.path}: {error}", user=wanted.owner)
            if self._failures.of(wanted.owner)[:1] == known:
                self._remember(wanted, str(error))

    async def _answers(self, fingerprint: str, asked: list[Question]) -> dict[str, str]:
        """The answers that the unit's credentials have, by the questions' names.  Raises SystemFailure."""
        return await asyncio.to_thread(self._credentials.answers, fingerprint, [one.name for one in asked])

    @staticmethod
    def _new_questions(wanted: _Wanted, session: Session) -> list[Question]:
        return [one for one in questions(session) if (session.backend_pid, one.name) not in wanted.answered]

    @staticmethod
    def _missing(asked: list[Question], answers: dict[str, str]) -> str:
        return ", ".join(one.label for one in asked if one.name not in answers)

    def _give_up(self, wanted: _Wanted, session: Session, asked: str) -> None:
        """It asks what nobody is there to type, as when its credentials are for the profile as it was."""
        text = (
            f"It cannot be connected automatically, since it asks for {asked}, and the service has no systemd "
            "credentials for that with the profile as it is now (ovpnctl config-credentials): connect it by hand"
        )
        self._log.warn(f"autoconnect of {wanted.profile.path}: {text}", user=wanted.owner)
        self._remember(wanted, text, session)
        wanted.given_up = True
        wanted.up = wanted.ours = ""  # so its end is not its owner's doing
        session.happened(Event.DISCONNECT)

    def _remember(self, wanted: _Wanted, text: str, session: Session | None = None) -> None:
        """Have `ovpnctl why` tell it."""
        self._failures.add(
            PastFailure(
                time=int(time.time()),
                owner=wanted.owner,
                starter=wanted.owner,
                session="/" if session is None else session.path,
                profile=wanted.profile.path if session is None else session.config_name,
                reached=Reached.PROFILE if session is None else session.reached,
                seconds=0,
                status=StatusMinor.CFG_ERROR,
                text=text[:MAX_STATUS_TEXT],
                cause=Cause.PROFILE if session is not None else Cause.SERVICE_FAILED,
            )
        )

    # The kill switch of a failed session stays, and is to end with the one that replaces it

    def _keep_lock(self, wanted: _Wanted, session: Session) -> None:
        if wanted.locks is None:
            wanted.locks = session
        elif wanted.locks is not session:
            session.lock.let_go(session.ended)  # one keeps the machine locked

    def _release_lock(self, wanted: _Wanted) -> None:
        if wanted.locks is not None:
            wanted.locks.lock.let_go(wanted.locks.ended)
            wanted.locks = None

    # What outlives this instance

    def _read_down(self) -> set[str]:
        try:
            return set(msgspec.json.decode(read_small_file(self._down_file, MAX_AUTOCONNECT_FILE), type=list[str]))
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, msgspec.DecodeError) as error:
            self._log.warn(f"Which profiles were disconnected by hand cannot be read: {error}")
            return set()

    def _note_down(self) -> None:
        """In the runtime directory, which is in memory, before the owner's call is answered."""
        down = [path for path, wanted in self._wanted.items() if wanted.down]
        try:
            replace_file(self._down_file, msgspec.json.encode(down))
        except OSError as error:
            self._log.warn(f"Which profiles were disconnected by hand cannot be noted: {error.strerror}")


def _was_refused(session: Session) -> bool:
    """Whether a session has failed for what it logs in with, which was not right before either."""
    error = session.last_error
    return error is not None and CAUSES[error.cause].kind is Kind.CREDENTIALS and not session.connected_since
