"""What is kept of a session on disk, so that the next instance can take it over: all that its worker must not decide.

Written whenever it changes.  Nothing secret is in it: questions without their words, no web page to log in, of the
profile its digest, of secret overrides their names.  Fields that are added have a default; a change of their meaning is
another VERSION.
"""

import msgspec

from ...policy.access import Acl
from ...policy.causes import Failure
from ...policy.profile.settings import ProfileSettings
from ...policy.redirect import Redirect
from .past_failure import Reached
from .server import Server
from .states import State

VERSION = 1


class KeptQuestion(msgspec.Struct, frozen=True):
    """A question to the user, whose words only the worker knows."""

    name: str
    answered: bool


class KeptForward(msgspec.Struct, frozen=True):
    """A forward of the log."""

    receiver: str  # unique name on the bus
    uid: int
    level: int
    path: str


class KeptRestarts(msgspec.Struct, frozen=True):
    """The override automatic-restart, and what another worker is launched with."""

    tries: int = 0
    connected_since: float | None = None  # time.monotonic()
    overrides: tuple[tuple[str, bool | str], ...] = ()  # without those that are secret
    providers: frozenset[int] = frozenset()
    device: str = ""  # that the profile asks for
    digest: str = ""  # of the profile (SHA-256)
    secrets: tuple[str, ...] = ()  # names of the overrides that are secret: the profile has their values


class KeptRequest(msgspec.Struct, frozen=True):
    """The latest request that changes the engine's course: it may not have come to the worker."""

    number: int = 0
    event: str = ""  # of the table of states
    text: str = ""


class KeptRun(msgspec.Struct, frozen=True):
    """A worker with what belongs to it."""

    uid: int
    device: str
    layers: tuple[str, ...] | None
    exempt: bool  # it may connect to this machine
    request: KeptRequest
    redirect: Redirect | None = None  # that was asked for last
    configured: float = 0.0  # when network settings were first asked for (time.monotonic()): who came first keeps them


class KeptInside(msgspec.Struct, frozen=True):
    """The network namespace that the device is in."""

    inode: int
    uid: int  # whose it is
    holders: dict[str, int]  # connections, each with a process in there
    disconnects: bool


class Dossier(msgspec.Struct, frozen=True):
    """A session, without what its worker tells anew."""

    version: int
    path: str
    config_path: str
    config_name: str
    acl: Acl
    starter: int
    settings: ProfileSettings
    created: int
    state: str
    status: tuple[int, int, str]
    last_error: Failure | None
    server: Server
    connected_since: int
    reached: Reached
    notices: tuple[tuple[str, ...], tuple[str, ...]]  # about what is kept of the profile, and about the device
    counted: dict[str, int]  # of earlier workers
    events: dict[str, int]
    questions: dict[int, tuple[KeptQuestion, ...]]  # by group
    log_level: int
    restricted: bool
    watchers: dict[str, int]
    forwards: tuple[KeptForward, ...]
    due: float | None  # end of the present state (time.monotonic())
    restarts: KeptRestarts | None
    run: KeptRun | None
    inside: KeptInside | None = None
    fingerprint: str = ""  # of the profile, for its credentials

    @property
    def at(self) -> State:
        """Where it was."""
        return State[self.state]


class Outline(msgspec.Struct, frozen=True):
    """What every version has: enough to say to whom what happened."""

    version: int
    path: str
    config_name: str
    acl: Acl
    starter: int
    created: int


class OtherVersion(Exception):
    """A dossier of another version; `outline` is what can be read of it."""

    def __init__(self, outline: Outline) -> None:
        super().__init__(f"it was kept by another version of this service ({outline.version}, not {VERSION})")
        self.outline = outline


def outline_of(dossier: Dossier) -> Outline:
    """What every version has of it."""
    return Outline(dossier.version, dossier.path, dossier.config_name, dossier.acl, dossier.starter, dossier.created)


def encode(dossier: Dossier) -> bytes:
    """As it is kept."""
    return msgspec.json.encode(dossier)


def decode(content: bytes) -> Dossier:
    """Raises OtherVersion, or msgspec.MsgspecError for what is none."""
    outline = msgspec.json.decode(content, type=Outline)
    if outline.version != VERSION:
        raise OtherVersion(outline)
    return msgspec.json.decode(content, type=Dossier)
