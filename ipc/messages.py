"""Every message between the supervisor and a worker, declared once; the base class is the direction.

The first frames each way are a hello and a snapshot.  A worker that is taken over by another supervisor says hello, is
told hello, then says again what still holds of all it has told the one before, and ends with its snapshot.  Which
message may be sent in which state is the receiver's business: supervisor/sessions/permits.py and
worker/session/requests.py.  A message that carries a file descriptor says so.
"""

import msgspec

from ..policy.causes import Cause
from ..policy.dbus_numbers import InputGroup, LogCategory
from ..policy.network import NetworkSettings
from ..policy.profile.pkcs11 import ListedProvider
from ..policy.reports import About
from ..policy.sandbox.layers import Layer

# A change of MAJOR makes old and new unable to talk; MINOR counts additions: a supervisor takes over workers of its own
# MINOR and of earlier ones, and sends these nothing that was added since.
MAJOR = 2
MINOR = 1
COUNT_SINCE = 1  # MINOR of the first who know Count


class ToWorker(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Sent by the supervisor."""


class ToSupervisor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """Sent by a worker."""


class SupervisorHello(ToWorker, frozen=True):
    """First frame to a worker, and the first of each supervisor that takes it over: the protocol it speaks."""

    major: int
    minor: int


class SupervisorSnapshot(ToWorker, frozen=True):
    """Second frame to a worker: the session it serves.  Carries the profile as a sealed memfd."""

    title: str  # of its process, as ps(1) shows it
    device: str  # tun device made for this session
    connect_deadline: float  # seconds from Connect to the first connection
    stopped_grace: float  # seconds that the engine may be stopped (SIGSTOP), 0 for ever
    overrides: tuple[tuple[str, bool | str], ...]  # of the profile: name and value
    providers: tuple[ListedProvider, ...]  # of PKCS#11, all that there are
    dns_required: bool  # a setting of the profile: the session fails without its name servers
    keep_profile: bool  # another supervisor may ask for it: another worker is to have it, if this one dies


class Connect(ToWorker, frozen=True):
    """Release the held engine."""

    request_number: int  # counts NUMBERED_REQUESTS; a report has that of the latest one that its worker had read


class Pause(ToWorker, frozen=True):
    """Stop all traffic, keep keys and credentials."""

    request_number: int
    reason: str


class Resume(ToWorker, frozen=True):
    """Go on after Pause."""

    request_number: int


class Restart(ToWorker, frozen=True):
    """Connect anew, with the credentials kept."""

    request_number: int


class Disconnect(ToWorker, frozen=True):
    """End the engine, then yourself."""


class UserAnswer(ToWorker, frozen=True):
    """What the user typed for the question `name` of `group`, as UTF-8; kept nowhere on the way.

    A reader finds `value` in the frame itself, which it can overwrite.
    """

    group: InputGroup
    name: str
    value: memoryview

    def __repr__(self) -> str:
        return f"UserAnswer(group={self.group!r}, name={self.name!r})"


class Resolved(ToWorker, frozen=True):
    """Answer to Resolve: addresses in the order to try them, or why there are none."""

    host: str
    addresses: tuple[str, ...]
    error: str = ""


class Way(ToWorker, frozen=True):
    """How the machine sends to the servers that were told last has changed."""

    there: bool  # there is a way to any of them
    moved: bool  # it is another: what was sent by the one before gets no answer


class SetLogLevel(ToWorker, frozen=True):
    """Send log lines of this level and below."""

    level: int


class LogCredit(ToWorker, frozen=True):
    """Permission for this many more log lines."""

    lines: int


class Ping(ToWorker, frozen=True):
    """Give a sign of life, and ask the engine for one."""


class Count(ToWorker, frozen=True):
    """Ask the engine what it has counted, and tell it.  Who does not know this tells it by itself, each second."""


class WorkerHello(ToSupervisor, frozen=True):
    """First frame of a worker to each supervisor: the protocol it speaks."""

    major: int
    minor: int


class WorkerSnapshot(ToSupervisor, frozen=True):
    """How far a worker is: its second frame, or the last of what another supervisor is told that takes it over."""

    phase: str  # of its engine, "new" before it has a profile
    request_number: int  # of the latest numbered request that it has read


class KeptProfile(ToSupervisor, frozen=True):
    """Told on being taken over: the profile, as it was given.  Carries it as a sealed memfd."""


class Confined(ToSupervisor, frozen=True):
    """All that confines worker and engine is in effect."""

    layers: tuple[Layer, ...]  # that are on
    local: bool  # the profile's server or proxy is on this machine, so the session has to connect to it


class Accepted(ToSupervisor, frozen=True):
    """The profile is usable and the engine waits for Connect."""

    log_level: int  # 0 to 6, as the profile wants it


class Refused(ToSupervisor, frozen=True):
    """The profile or the engine is not usable; the worker ends itself."""

    reason: str
    cause: Cause


class InputSlot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question to the user; front-ends recognise `name` and `label`."""

    name: str
    label: str
    hidden: bool


class InputNeeded(ToSupervisor, frozen=True):
    """The user has to answer these before the session goes on."""

    request_number: int
    group: InputGroup
    slots: tuple[InputSlot, ...]
    attention: str  # text of the AttentionRequired signal
    status: str  # text of the status; empty: neither signal nor status, they come with another group


class UrlNeeded(ToSupervisor, frozen=True):
    """The user has to open this URL before the session goes on."""

    request_number: int
    url: str


class Connecting(ToSupervisor, frozen=True):
    """The engine has begun to connect for the first time."""

    request_number: int


class Connected(ToSupervisor, frozen=True):
    """The tunnel is up; the network asked for before is in place when the supervisor reads this."""

    request_number: int
    proto: str  # "udp", "tcp", or one of HTTP_PROXIED
    address: str  # the server's; through an HTTP proxy, its name or address as in the profile
    port: int
    name: str  # the server as the profile names it


class Reconnecting(ToSupervisor, frozen=True):
    """An established connection was lost or given up, and is being made again."""

    request_number: int
    reason: str


class AttemptFailed(ToSupervisor, frozen=True):
    """An attempt to connect failed, and another follows."""

    request_number: int
    reason: str  # in the engine's word, for statistics
    text: str
    cause: Cause


class Paused(ToSupervisor, frozen=True):
    """All traffic has stopped."""

    request_number: int


class AuthenticationFailed(ToSupervisor, frozen=True):
    """The server refused the credentials; the worker ends itself."""

    reason: str
    cause: Cause


class Failed(ToSupervisor, frozen=True):
    """The connection failed for good; the worker ends itself."""

    reason: str
    cause: Cause


class EngineDied(ToSupervisor, frozen=True):
    """The engine died without being asked to; the worker ends itself."""

    reason: str
    cause: Cause


class Ended(ToSupervisor, frozen=True):
    """The connection ended in an orderly way that nobody asked the supervisor for."""

    reason: str


class ApplyNetwork(ToSupervisor, frozen=True):
    """Put these settings on the session's device."""

    settings: NetworkSettings


class ClearNetwork(ToSupervisor, frozen=True):
    """Take all settings off the session's device."""


class Reopening(ToSupervisor, frozen=True):
    """The engine gives the session's device up for a moment, and its settings stay until it asks for others."""


class Notices(ToSupervisor, frozen=True):
    """What was left out or changed, all of it that is true now; the worker has logged it."""

    about: About
    texts: tuple[str, ...]


class Resolve(ToSupervisor, frozen=True):
    """Turn this host name into addresses."""

    host: str


class Negotiated(ToSupervisor, frozen=True):
    """What engine and server have agreed on, all of it that is true now."""

    handshake: int  # when they last exchanged keys, in seconds since 1970
    tls: str  # version and cipher of the control channel
    cipher: str  # of the data channel
    gateways: tuple[str, ...]  # the server's end of the tunnel, at most one address for each version of IP


class Servers(ToSupervisor, frozen=True):
    """The addresses that the engine talks to, or may try next: tell about the ways to them."""

    addresses: tuple[str, ...]


class Traffic(ToSupervisor, frozen=True):
    """Bytes on the wire since the session began, over all its connections: when asked, and when they have changed."""

    bytes_in: int
    bytes_out: int


class Pong(ToSupervisor, frozen=True):
    """Answer to Ping, for the worker itself."""


class LogLine(ToSupervisor, frozen=True):
    """One log line; costs one line of credit."""

    category: LogCategory
    text: str


# What a worker says last: its session is over.
LAST_WORDS = (Refused, AuthenticationFailed, Failed, EngineDied, Ended)

# What changes the engine's course; and reports of its course, each with the number of the latest request known then.
NUMBERED_REQUESTS = (Connect, Pause, Resume, Restart)
NUMBERED_REPORTS = (InputNeeded, UrlNeeded, Connecting, Connected, Reconnecting, AttemptFailed, Paused)

TO_WORKER: tuple[type[ToWorker], ...] = tuple(ToWorker.__subclasses__())
TO_SUPERVISOR: tuple[type[ToSupervisor], ...] = tuple(ToSupervisor.__subclasses__())

# Messages that come with exactly this many file descriptors; all others with none.
DESCRIPTORS: dict[type[ToWorker] | type[ToSupervisor], int] = {SupervisorSnapshot: 1, KeptProfile: 1}
