"""What the supervisor may ask of a worker, and when."""

from collections.abc import Iterator

import pytest

from ...ipc import messages
from ...ipc.channel import BadFrame, Channel, Packet, channel_pair
from ...ipc.codec import encode
from ...policy.dbus_numbers import InputGroup
from ...worker.profile.values import Remote
from ...worker.session import events, management
from ...worker.session.phases import Phase
from ...worker.session.remotes import Remotes
from ...worker.session.requests import PERMITS, handle
from ...worker.session.session import WorkerSession
from ...worker.session.timers import Timers
from ..support.bare_worker import packet, said, session_in

RUNS = {Phase.HELD, Phase.WAITING, Phase.RUNNING, Phase.PAUSING, Phase.PAUSED}

# The phases in which each message is acted upon; while STOPPING it is ignored, else it is against the protocol.
ALLOWED = {
    messages.SupervisorHello(messages.MAJOR, messages.MINOR + 1): set(Phase),
    messages.SupervisorSnapshot("work of alice", "tun0", 120.0, 1.0, (("persist-tun", True),), (), False, False): {
        Phase.NEW
    },
    messages.Connect(1): {Phase.HELD, Phase.WAITING, Phase.RUNNING},
    messages.Pause(1, "lunch"): {Phase.HELD, Phase.RUNNING, Phase.WAITING},
    messages.Resume(1): {Phase.PAUSING, Phase.PAUSED},
    messages.Restart(1): RUNS,
    messages.Disconnect(): set(Phase),
    messages.UserAnswer(InputGroup.USER_PASSWORD, "username", memoryview(b"alice")): RUNS,
    messages.Resolved("vpn.example", ("198.51.100.1",), ""): RUNS,
    messages.SetLogLevel(6): set(Phase),
    messages.LogCredit(10): set(Phase),
    messages.Way(there=True, moved=True): RUNS,
    messages.Ping(): set(Phase),
    messages.Count(): set(Phase),
}


@pytest.fixture
def channels() -> Iterator[tuple[Channel, Channel]]:
    """The supervisor's end, and the worker's."""
    supervisor, worker = channel_pair()
    supervisor.socket.setblocking(False)
    yield supervisor, worker
    supervisor.close()
    worker.close()


def test_every_message_has_a_row() -> None:
    assert set(PERMITS) == set(messages.TO_WORKER) == {type(message) for message in ALLOWED}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("message", ALLOWED, ids=lambda message: type(message).__name__)
def test_a_message_is_acted_upon_or_against_the_protocol(
    message: messages.ToWorker, phase: Phase, channels: tuple[Channel, Channel]
) -> None:
    supervisor, worker = channels
    session = session_in(phase, worker)
    arrived = packet(message)
    try:
        if phase in ALLOWED[message] or phase is Phase.STOPPING:
            handle(session, arrived)
        else:
            with pytest.raises(BadFrame, match=f"{type(message).__name__} in phase {phase.name}"):
                handle(session, arrived)
            assert session.phase is phase
    finally:
        arrived.close()
    if phase is Phase.STOPPING:
        assert said(supervisor) == [] and session.phase is Phase.STOPPING


@pytest.mark.parametrize(
    ("message", "before", "after"),
    [
        (messages.Connect(1), Phase.HELD, Phase.RUNNING),
        (messages.Pause(1, "lunch"), Phase.RUNNING, Phase.PAUSING),
        (messages.Pause(1, "lunch"), Phase.HELD, Phase.PAUSED),
        (messages.Resume(1), Phase.PAUSING, Phase.RUNNING),
        (messages.Resume(1), Phase.PAUSED, Phase.RUNNING),
        (messages.Restart(1), Phase.PAUSED, Phase.RUNNING),
        (messages.Disconnect(), Phase.RUNNING, Phase.STOPPING),
        (
            messages.SupervisorSnapshot("work of alice", "tun0", 120.0, 1.0, (), (), False, False),
            Phase.NEW,
            Phase.STOPPING,
        ),
    ],
)
def test_what_is_done(
    message: messages.ToWorker, before: Phase, after: Phase, channels: tuple[Channel, Channel]
) -> None:
    supervisor, worker = channels
    session = session_in(before, worker)
    arrived = packet(message)
    handle(session, arrived)
    arrived.close()
    assert session.phase is after
    if before is Phase.NEW:  # an empty profile
        refused = said(supervisor)
        assert [type(one) for one in refused] == [messages.Refused]


@pytest.mark.parametrize(
    "message", [messages.SupervisorHello(messages.MAJOR + 1, 0), messages.SetLogLevel(7), messages.SetLogLevel(-1)]
)
def test_values_out_of_range_are_against_the_protocol(
    message: messages.ToWorker, channels: tuple[Channel, Channel]
) -> None:
    with pytest.raises(BadFrame):
        handle(session_in(Phase.NEW, channels[1]), packet(message))


@pytest.mark.parametrize("data", [b"", b"junk", encode(messages.Accepted(3))])
def test_what_is_no_message_is_against_the_protocol(data: bytes, channels: tuple[Channel, Channel]) -> None:
    with pytest.raises(BadFrame):
        handle(session_in(Phase.RUNNING, channels[1]), Packet(memoryview(bytearray(data)), []))


@pytest.mark.parametrize(
    "message", [message for message in ALLOWED if not isinstance(message, messages.SupervisorHello)]
)
def test_nothing_counts_before_the_hello(message: messages.ToWorker, channels: tuple[Channel, Channel]) -> None:
    session = WorkerSession(channels[1], Timers())
    with pytest.raises(BadFrame, match="before the hello"):
        handle(session, packet(message))
    handle(session, packet(messages.SupervisorHello(messages.MAJOR, 0)))
    assert session.handshake_done


def test_reports_carry_the_number_of_the_latest_request(channels: tuple[Channel, Channel]) -> None:
    supervisor, worker = channels
    session = session_in(Phase.RUNNING, worker)
    session.attempts.engine_holds = True
    handle(session, packet(messages.Pause(7, "lunch")))
    assert [one for one in said(supervisor) if isinstance(one, messages.Paused)] == [messages.Paused(7)]


@pytest.mark.parametrize("phase", [Phase.PAUSING, Phase.PAUSED])
def test_what_the_engine_asked_before_it_was_paused_does_not_end_the_pause(
    phase: Phase, channels: tuple[Channel, Channel]
) -> None:
    supervisor, worker = channels
    session = session_in(phase, worker)
    session.dialogue.input_wanted("Need 'Auth' username/password")
    session.dialogue.open_url("https://login.example/")
    assert session.phase is phase
    assert said(supervisor) == []


CONNECTED = management.EngineState("CONNECTED", "SUCCESS", "198.51.100.1", 1194)
COUNTED = management.Reply(True, "nclients=0,bytesin=1,bytesout=2")
REMOTE = Remote("vpn.example", 1194, "udp")


def connections(supervisor: Channel) -> list[int]:
    """The turns with which connections were reported."""
    return [message.request_number for message in said(supervisor) if isinstance(message, messages.Connected)]


def connecting(phase: Phase, worker: Channel) -> WorkerSession:
    session = session_in(phase, worker)
    session.attempts.remotes = Remotes([REMOTE])
    session.uplink.request_number = 1
    return session


@pytest.mark.parametrize("phase", [Phase.PAUSING, Phase.PAUSED])
def test_a_connection_that_crossed_pause_is_not_reported(phase: Phase, channels: tuple[Channel, Channel]) -> None:
    supervisor, worker = channels
    session = connecting(phase, worker)
    for event in (CONNECTED, COUNTED):
        events.handle(session, event)
    assert connections(supervisor) == [] and session.phase is phase


@pytest.mark.parametrize("request_", [messages.Pause(2, "lunch"), messages.Restart(2)])
def test_a_request_before_the_bytes_are_counted_overrules_the_connection(
    request_: messages.ToWorker, channels: tuple[Channel, Channel]
) -> None:
    supervisor, worker = channels
    session = connecting(Phase.RUNNING, worker)
    events.handle(session, CONNECTED)
    handle(session, packet(request_))
    events.handle(session, COUNTED)
    assert connections(supervisor) == []


def test_connect_that_crossed_the_connection_has_it_reported_again(channels: tuple[Channel, Channel]) -> None:
    supervisor, worker = channels
    session = connecting(Phase.WAITING, worker)
    events.handle(session, CONNECTED)
    assert session.phase is Phase.RUNNING
    events.handle(session, COUNTED)
    handle(session, packet(messages.Connect(2)))
    assert connections(supervisor) == [1, 2]


def test_connect_that_crossed_the_loss_of_the_connection_has_nothing_reported(
    channels: tuple[Channel, Channel],
) -> None:
    supervisor, worker = channels
    session = connecting(Phase.WAITING, worker)
    for event in (CONNECTED, COUNTED, management.EngineState("RECONNECTING", "ping-restart")):
        events.handle(session, event)
    handle(session, packet(messages.Connect(2)))
    assert connections(supervisor) == [1] and session.phase is Phase.RUNNING
