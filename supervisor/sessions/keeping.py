"""How a session keeps on disk what the next instance has to know of it, and how that instance has it go on."""

import asyncio
from abc import ABC, abstractmethod

from msgspec.structs import replace

from ...ipc import messages
from ...policy.access import Acl
from ...policy.causes import Failure
from ...policy.dbus_numbers import InputGroup, LogCategory, StatusMinor
from ...policy.limits import MAX_URL
from ...policy.profile.overrides import SECRET_OVERRIDES
from ...policy.profile.settings import ProfileSettings
from ..logging.log import escape_control_characters
from . import dossier
from .audience import Audience
from .context import SessionContext
from .dossier import Dossier, KeptForward, KeptQuestion, KeptRestarts
from .inside import Inside
from .notices import Notices
from .past_failure import Reached
from .restarts import Restarts
from .runs import Runs
from .server import Server
from .session_log import FOR_USER_ALONE, SessionLog
from .states import FAILED, State
from .statistics import Statistics
from .user_input import UserInput

# Off the bus: nothing of it can be taken over.
_NOT_KEPT = (State.STARTING, State.GONE)


class KeptSession(ABC):
    """A session, as far as it is kept."""

    path: str
    name: str
    config_path: str
    config_name: str
    acl: Acl
    starter: int
    settings: ProfileSettings
    created: int
    fingerprint: str = ""  # of its profile (policy/profile/bound_credentials.py), if that is its owner's
    state: State
    status: tuple[int, int, str]
    last_error: Failure | None
    server: Server
    connected_since: int
    reached: Reached
    notices: Notices
    statistics: Statistics
    user_input: UserInput
    inside: Inside
    audience: Audience
    log: SessionLog
    runs: Runs
    restarts: Restarts
    _context: SessionContext
    _to_be_noted = False
    _cannot_be_noted = False

    @property
    @abstractmethod
    def due(self) -> float | None:
        """When the present state ends by itself, by time.monotonic(), if it does."""

    @abstractmethod
    def go_on(self, state: State, due: float | None) -> None:
        """Be where an earlier instance has left it, without a word to anybody."""

    def note(self) -> None:
        """Note on disk what has changed, for the next instance."""
        self._to_be_noted = False
        journal = self._context.journal
        if self.state in _NOT_KEPT:
            journal.forget(self.name)
            return
        try:
            journal.keep(self.name, dossier.encode(self._dossier))
        except OSError as error:
            if not self._cannot_be_noted:
                text = f"The session would not go on without this service: it cannot be noted on disk: {error.strerror}"
                self.log.write(LogCategory.WARN, text)
            self._cannot_be_noted = True
        else:
            self._cannot_be_noted = False

    def note_soon(self) -> None:
        """Note on disk what has changed, together with what else changes in this moment."""
        if not self._to_be_noted:
            self._to_be_noted = True
            asyncio.get_running_loop().call_soon(self._note_what_is_left)

    def _note_what_is_left(self) -> None:
        if self._to_be_noted:
            self.note()

    @property
    def _dossier(self) -> Dossier:
        major, minor, text = self.status
        over, run = self.state in FAILED, self.runs.present
        before, events = self.statistics.kept_of_one_that_is_over if over else self.statistics.kept
        questions = {
            int(group): tuple(KeptQuestion(name, answered) for name, answered in asked)
            for group, asked in self.user_input.kept.items()
        }
        return Dossier(
            version=dossier.VERSION,
            path=self.path,
            config_path=self.config_path,
            config_name=self.config_name,
            acl=self.acl,
            starter=self.starter,
            settings=self.settings,
            created=self.created,
            fingerprint=self.fingerprint,
            state=self.state.name,
            status=(major, minor, "" if minor in FOR_USER_ALONE else text),
            last_error=self.last_error,
            server=self.server,
            connected_since=self.connected_since,
            reached=self.reached,
            notices=self.notices.kept,
            counted=before,
            events=events,
            questions=questions,
            log_level=self.log.level,
            restricted=self.audience.forwards.restricted,
            watchers=self.audience.kept,
            forwards=tuple(
                KeptForward(receiver.name, receiver.uid, level, path)
                for receiver, level, path in self.audience.forwards.kept
            ),
            due=self.due,
            restarts=self._kept_restarts,
            run=run.kept if run is not None and not over else None,
            inside=self.inside.kept if not over else None,
        )

    @property
    def _kept_restarts(self) -> KeptRestarts | None:
        spec = self.runs.spec
        if not self.restarts.wanted or spec is None:
            return None
        tries, since = self.restarts.kept
        secrets = tuple(name for name, _ in spec.overrides if name in SECRET_OVERRIDES)
        overrides = tuple(one for one in spec.overrides if one[0] not in SECRET_OVERRIDES)
        return KeptRestarts(tries, since, overrides, spec.providers, spec.device, spec.digest, secrets)

    def restore(self, kept: Dossier, asked: list[messages.InputNeeded], url: str) -> list[messages.InputNeeded]:
        """Be as it was kept, with the questions that its worker asks; those of them that nobody has heard yet.

        `url` is the page that its user has to open.
        """
        self.created = kept.created
        self.fingerprint = kept.fingerprint
        self.last_error = kept.last_error
        self.server = kept.server
        self.connected_since = kept.connected_since
        self.reached = kept.reached
        self.notices.restore(*kept.notices)
        self.statistics.restore(kept.counted, kept.events)
        self.log.level = kept.log_level
        self.audience.forwards.restricted = kept.restricted
        if kept.restarts is not None:
            self.restarts.restore(kept.restarts.tries, kept.restarts.connected_since)
        questions = {
            InputGroup(group): [(one.name, one.answered) for one in of_group]
            for group, of_group in kept.questions.items()
        }
        new = self.user_input.restore(questions, {one.group: one.slots for one in asked})
        major, minor, text = kept.status
        if minor == StatusMinor.SESS_AUTH_URL:
            text = url
        elif minor == StatusMinor.CFG_REQUIRE_USER:
            # As when it is first said: a worker may say anything.
            text = next((escape_control_characters(one.status[:MAX_URL]) for one in asked if one.status), text)
        self.status = (major, minor, text)
        if kept.at is State.REVIVING:
            self.go_on(State.DOWN, 0.0)
        else:
            self.go_on(kept.at, kept.due)
        return [replace(one, slots=new[one.group]) for one in asked if one.group in new]
