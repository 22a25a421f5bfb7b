"""Sessions that the service itself starts and keeps up: those of profiles with the setting autoconnect.

It does for the owner of a profile what the owner could do: the same rights and quotas count, and the session is theirs.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ...policy.causes import Cause
from ...policy.dbus_numbers import StatusMinor
from ...policy.limits import MAX_AUTOCONNECT_FILE, MAX_RESTARTS, MAX_STATUS_TEXT
from ..errors import CallerError, SupervisorError
from ..files import read_small_file, replace_file
from ..logging.log import Log
from ..services.profile_settings import SettingsStore
from ..services.profiles import Identity
from .failures import Failures
from .manager import SessionManager
from .past_failure import PastFailure, Reached
from .restarts import Restarts
from .session import Session
from .states import FAILED, Event, State
from .trial import questions

MARKER = "autoconnect"  # in the state directory while any profile has the setting: a unit starts the service for it
_DOWN = "autoconnect-down"  # in the runtime directory: the profiles whose owners have disconnected them, by object path


@dataclass(eq=False)
class _Wanted:
    """A profile with the setting."""

    profile: Identity
    down: bool = False  # disconnected by hand, until it is started by hand or the machine is
    up: str = ""  # path of its session that is in use
    ours: str = ""  # path of the last one that the service started
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
        self._failures = failures
        self._log = log
        self._down_file = runtime_dir / _DOWN
        self._marker = state_dir / MARKER
        self._embedded = embedded
        self._wanted: dict[str, _Wanted] = {}  # by object path of the profile
        self._stopped = False
        self.on_fewer: Callable[[], None] = lambda: None  # called when there may be less to do
        settings.check_autoconnect, settings.autoconnect_changed = self.check, self.changed
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
        asked = await self._manager.questions(profile)
        if asked:
            what = ", ".join(asked)
            raise CallerError(f"autoconnect is for profiles that need no typing, and this one asks for {what}")

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
                self._again(wanted, session)
            case state:
                wanted.up = session.path
                if wanted.down:
                    wanted.down = False
                    self._note_down()
                if state is State.CONNECTED:
                    self._release_lock(wanted)

    def _put_down(self, wanted: _Wanted) -> None:
        """Its owner has disconnected it."""
        wanted.up = wanted.ours = ""
        wanted.down = True
        if wanted.trying is not None:
            wanted.trying.cancel()
        self._release_lock(wanted)
        self._note_down()

    def _again(self, wanted: _Wanted, session: Session) -> None:
        """One of its sessions is over, and nobody has ended it."""
        if wanted.up in ("", session.path):
            wanted.up = ""
            self._begin(wanted, again=True)

    def _begin(self, wanted: _Wanted, *, again: bool = False) -> None:
        """Start a session, with `again` after a pause, unless there is one or its owner wants none."""
        if self._stopped or wanted.down or wanted.up or wanted.trying is not None:
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
        known = self._failures.of(wanted.owner)[:1]
        try:
            session = await self._manager.start_for(wanted.owner, wanted.profile.path)
            wanted.ours = session.path
            if asked := questions(session):
                self._give_up(wanted, session, ", ".join(asked))
            else:
                await self._manager.connect_for(wanted.owner, session)
        except (SupervisorError, OSError) as error:
            self._log.warn(f"autoconnect of {wanted.profile.path}: {error}", user=wanted.owner)
            if self._failures.of(wanted.owner)[:1] == known:
                self._remember(wanted, str(error))

    def _give_up(self, wanted: _Wanted, session: Session, asked: str) -> None:
        """It asks what nobody is there to type, as after its overrides were changed."""
        text = f"It cannot be connected automatically, since it asks for {asked}: connect it by hand"
        self._log.warn(f"autoconnect of {wanted.profile.path}: {text}", user=wanted.owner)
        self._remember(wanted, text, session)
        session.happened(Event.DISCONNECT)  # and it stays down

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
        except (OSError, ValueError) as error:
            self._log.warn(f"Which profiles were disconnected by hand cannot be read: {error}")
            return set()

    def _note_down(self) -> None:
        """In the runtime directory, which is in memory, before the owner's call is answered."""
        down = [path for path, wanted in self._wanted.items() if wanted.down]
        try:
            replace_file(self._down_file, msgspec.json.encode(down))
        except OSError as error:
            self._log.warn(f"Which profiles were disconnected by hand cannot be noted: {error.strerror}")
