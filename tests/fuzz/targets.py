"""What is fuzzed: functions of bytes that raise if the code under test does what it must not do.

Each takes any bytes.  A refusal is the expected outcome; any other exception, and a result that breaks a promise, is a
finding.  Inputs that were findings once are kept in tests/fuzz/kept/TARGET.
"""

import asyncio
import inspect
import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from ...ipc import messages
from ...ipc.channel import BadFrame, Channel, ChannelClosed, channel_pair
from ...ipc.codec import decode_to_supervisor, decode_to_worker
from ...kernel.netlink.answer import Answer
from ...kernel.netlink.netlink_socket import NetlinkSocket
from ...kernel.netlink.wire import Message
from ...policy.profile.options import ALLOWED
from ...policy.profile.syntax import ProfileTextError, decode, tokenize
from ...policy.profile.validity import problem
from ...supervisor.errors import ProtocolViolation
from ...supervisor.network import dumps, nfnetlink
from ...supervisor.network.default_route import rule_requests
from ...supervisor.network.link_events import removed_links
from ...supervisor.network.operational import is_operational
from ...supervisor.services.profile_json import profile_json
from ...supervisor.sessions.session import Session
from ...supervisor.sessions.states import Event, State
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import ProfileRefused
from ...worker.session import events
from ...worker.session.management import Parser
from ...worker.session.phases import Phase
from ...worker.session.remotes import Remotes
from ...worker.session.session import WorkerSession
from ...worker.session.timers import Timers
from ..support.bare import BareSession, Unheard, bare_context, resolver_without_process
from .dispatch import bus

STATES = tuple(State)
PHASES = (Phase.STARTING, Phase.HELD, Phase.WAITING, Phase.RUNNING, Phase.PAUSING, Phase.PAUSED)
_FRAMES_A_SESSION = 64


class _Accepts(Unheard):
    def accepted(self, session: Session) -> None:
        session.happened(Event.ACCEPTED)


class Frames:
    """Frames of a worker, through decoding and permission, each in a state of its session.

    Needs a running loop.
    """

    def __init__(self) -> None:
        resolver, self._theirs = resolver_without_process()
        self._context = bare_context(resolver)
        self._sessions: dict[State, tuple[BareSession, int]] = {}
        self.outcomes = {"no message": 0, "not permitted": 0, "done": 0}

    def take(self, frame: bytes, state: State) -> None:
        """One frame."""
        for decode_frame in (decode_to_worker, decode_to_supervisor):
            try:
                message = decode_frame(frame, 0)
            except BadFrame as refused:
                assert str(refused)
                self.outcomes["no message"] += 1
                continue
            if isinstance(message, messages.ToSupervisor):
                self._handle(message, state)

    def _handle(self, message: messages.ToSupervisor, state: State) -> None:
        session, uses = self._sessions.get(state, (None, 0))
        if session is None or session.state is not state or uses == _FRAMES_A_SESSION:
            session, uses = BareSession(state, self._context, _Accepts()), 0
        self._sessions[state] = (session, uses + 1)
        try:
            doing = session.hear(message)
        except ProtocolViolation as fault:
            assert str(fault)
            assert session.state is state
            self.outcomes["not permitted"] += 1
            return
        self.outcomes["done"] += 1
        for text in (session.status[2], session.server.name, session.log.last[2]):
            assert text.replace("\n", "").isprintable(), repr(text)
        if inspect.iscoroutine(doing):
            doing.close()


async def count_frames(frames: Iterable[bytes], a_turn: int = 1000) -> dict[str, int]:
    """Take all `frames`, in changing states, with turns of the loop between; the outcomes."""
    taken = Frames()
    for number, frame in enumerate(frames):
        taken.take(frame, STATES[number % len(STATES)])
        if number % a_turn == 0:
            await _settle()
    await _settle()
    return taken.outcomes


async def _settle() -> None:
    """Let tasks that sessions left behind run, and forget what they come to."""
    await asyncio.sleep(0)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


_loop: asyncio.AbstractEventLoop | None = None


def ipc(data: bytes) -> None:
    """The first byte chooses the state, the rest is the frame."""
    global _loop
    if _loop is None:
        _loop = asyncio.new_event_loop()
    state, frame = data[:1], data[1:]

    async def take() -> None:
        Frames().take(frame, STATES[(state or b"\0")[0] % len(STATES)])
        await _settle()

    _loop.run_until_complete(take())


def profile(data: bytes) -> None:
    """A profile as it is imported, shown and compiled."""
    try:
        options = tokenize(decode(data))
        text = problem(decode(data), options)
        assert text is None or text.isprintable()
        profile_json(data)
    except ProfileTextError as error:
        assert str(error).isprintable()
    try:
        compiled = compile_profile(data)
    except ProfileRefused as refused:
        assert str(refused).isprintable() and len(str(refused)) < 400
        return
    reached = tokenize(compiled.config)
    for option in reached:
        if option.name == "connection":
            reached += tokenize(option.block or "", option.line + 1, nested=True)
    assert {option.name for option in reached} <= set(ALLOWED)
    assert all(option.params[0][:3] in ("UV_", "IV_") for option in reached if option.name == "setenv")
    assert compile_profile("dev tun\n" + compiled.config).config == compiled.config
    assert 0 <= compiled.verbosity <= 6
    assert all(warning.isprintable() and len(warning) < 300 for warning in compiled.warnings)


def management(data: bytes) -> None:
    """What an engine says, after a byte that chooses the phase: whatever it makes the worker say is in order."""
    phase = PHASES[(data[:1] or b"\0")[0] % len(PHASES)]
    supervisor, ours = channel_pair()
    supervisor.socket.setblocking(False)
    session = WorkerSession(ours, Timers())
    session.handshake_done = True
    session.attempts.connect_deadline = 60.0
    session.profile = compile_profile("client\ndev tun\nremote 192.0.2.1\n<ca>\nx\n</ca>\n")
    session.attempts.remotes = Remotes(session.profile.remotes)
    session.machine.phase = phase
    parser = Parser()
    try:
        for line in data[1:].split(b"\n"):
            event = parser.parse(line.rstrip(b"\r").decode(errors="replace"))
            if event is not None:
                events.handle(session, event)
            _read_all(supervisor)
    finally:
        supervisor.close()
        ours.close()


def _read_all(supervisor: Channel) -> None:
    while True:
        try:
            decode_to_supervisor(supervisor.receive().data, 0)
        except (BlockingIOError, ChannelClosed):
            return


class _Said(NetlinkSocket):
    """To whatever is asked, the answer is this."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    def dump(self, kind: int, body: bytes) -> list[Message]:
        answer = Answer(0, 2**32 - 1)
        answer.take(self._data)
        if answer.refusal is not None:
            raise answer.refusal
        return answer.messages

    def ask(self, kind: int, body: bytes) -> Message:
        return next(iter(self.dump(kind, body)), Message(0, 0, 0, b""))


def netlink(data: bytes) -> None:
    """Datagrams of the kernel, as the answer to each question, and as notifications."""
    said = _Said(data)
    readers: tuple[Callable[[], object], ...] = (
        lambda: [*dumps.addresses(said)],
        lambda: [*dumps.routes(said)],
        lambda: [rule_requests.found_rule(4, one.body) for one in dumps.rules(said, socket.AF_INET)],
        lambda: dumps.way_to(said, ip_address("192.0.2.1"), 0),
        lambda: [*removed_links(data)],
        lambda: [*nfnetlink.messages_in(data)],
        lambda: is_operational(data, 2),
    )
    for read in readers:
        try:
            read()
        except OSError as error:
            assert error.strerror and error.strerror.isprintable()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "profile": profile,
    "management": management,
    "ipc": ipc,
    "bus": bus,
    "netlink": netlink,
}
