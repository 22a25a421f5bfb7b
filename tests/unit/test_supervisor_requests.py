"""What a worker may say, and when: anything else is its fault, and no event comes where it has no place."""

import asyncio
import inspect

import pytest

from ...ipc import messages
from ...policy.dbus_numbers import InputGroup, StatusMinor
from ...policy.limits import MAX_WORKER_REPORTS
from ...supervisor.errors import ProtocolViolation
from ...supervisor.sessions.permits import PERMITS
from ...supervisor.sessions.states import State
from ..support.bare import REQUEST_NUMBER, BareSession, session_in
from ..support.frames import examples
from ..support.permits import CHANGES, OVER, PERMITTED

EXAMPLES = examples(REQUEST_NUMBER)
ONCE = (messages.WorkerHello, messages.WorkerSnapshot, messages.Confined, messages.Accepted, messages.Refused)
ENDS = {
    (type(message), state) for message in EXAMPLES for state in State if CHANGES.get((type(message), state)) in OVER
}


def test_every_message_has_a_row_and_an_example() -> None:
    assert set(PERMITS) == set(messages.TO_SUPERVISOR) == {type(message) for message in EXAMPLES} == set(PERMITTED)


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_message_is_acted_upon_or_a_fault(message: messages.ToSupervisor, state: State) -> None:
    async def say() -> None:
        with session_in(state, handshake_done=not isinstance(message, messages.WorkerHello)) as session:
            if state not in PERMITTED[type(message)] | OVER:
                with pytest.raises(ProtocolViolation, match=f"{type(message).__name__} while {state.name}"):
                    session.hear(message)
                assert session.state is state
                return
            doing = session.hear(message)
            if inspect.iscoroutine(doing):
                doing.close()  # what it does to the kernel is another test's
            if state in OVER:
                assert doing is None and session.state is state
            else:
                assert session.state is CHANGES.get((type(message), state), state)

    asyncio.run(say())


@pytest.mark.parametrize("state", State)
def test_a_device_that_is_removed_ends_whatever_needs_it(state: State) -> None:
    async def remove() -> None:
        with session_in(state) as session:
            session.bare_run.network.device = "tun7"
            session.device_removed("tun8")
            assert session.state is state
            session.device_removed("tun7")
            text = "The network device tun7 was removed"
            if state is State.STARTING:
                assert session.state is state and str(session.verdict.error) == text
            elif state in (*OVER, State.DOWN, State.DOWN_PAUSED):
                assert session.state is state
            else:
                assert (session.state, session.status[1:]) == (State.FAILED, (StatusMinor.CONN_FAILED, text))

    asyncio.run(remove())


@pytest.mark.parametrize(
    ("message", "state", "said"),
    [
        (messages.WorkerHello(messages.MAJOR + 1, 0), State.STARTING, "protocol"),
        (messages.WorkerSnapshot("running", 0), State.STARTING, "running"),
        (messages.Accepted(7), State.STARTING, "log level 7"),
        (messages.Accepted(-1), State.STARTING, "log level -1"),
        (messages.Accepted(7), State.REVIVING, "log level 7"),
        (messages.Traffic(-1, 0), State.CONNECTED, "backwards"),
        (messages.Traffic(2**63, 0), State.CONNECTED, "backwards"),
        (messages.Negotiated(1, "x" * 97, "", ()), State.CONNECTED, "cannot be shown"),
        (messages.Negotiated(1, "", "AES\x1b[2J", ()), State.CONNECTED, "cannot be shown"),
        (messages.Negotiated(1, "", "", ("198.18.0.1", "198.18.0.2")), State.CONNECTED, "cannot be shown"),
        (messages.Negotiated(1, "", "", ("fe80::1%tun0",)), State.CONNECTED, "cannot be shown"),
        (messages.Negotiated(1, "", "", ("host",)), State.CONNECTED, "cannot be shown"),
    ],
)
def test_values_that_make_no_sense_are_a_fault(message: messages.ToSupervisor, state: State, said: str) -> None:
    async def say() -> None:
        with session_in(state) as session, pytest.raises(ProtocolViolation, match=said):
            session.hear(message)

    asyncio.run(say())


def test_byte_counters_may_not_go_backwards() -> None:
    async def say() -> None:
        with session_in(State.CONNECTED) as session:
            session.hear(messages.Traffic(5, 5))
            session.hear(messages.Traffic(5, 6))
            with pytest.raises(ProtocolViolation, match="backwards"):
                session.hear(messages.Traffic(4, 6))
            assert session.statistics.values()["BYTES_OUT"] == 6

    asyncio.run(say())


def test_counters_go_on_when_another_worker_begins_at_0() -> None:
    async def say() -> None:
        with session_in(State.CONNECTED) as session:
            session.hear(messages.Traffic(5, 6))
            session.statistics.begin_anew()
            assert session.statistics.values() == {"BYTES_IN": 5, "BYTES_OUT": 6}
            session.hear(messages.Traffic(1, 0))
            session.statistics.begin_anew()
            assert session.statistics.values() == {"BYTES_IN": 6, "BYTES_OUT": 6}
            with pytest.raises(ProtocolViolation):  # the sum is no D-Bus integer any more
                session.hear(messages.Traffic(2**63 - 6, 0))

    asyncio.run(say())


@pytest.mark.parametrize("message", [message for message in EXAMPLES if not isinstance(message, messages.WorkerHello)])
def test_nothing_counts_before_the_hello(message: messages.ToSupervisor) -> None:
    async def say() -> None:
        with session_in(State.STARTING, handshake_done=False) as session:
            with pytest.raises(ProtocolViolation, match="before its hello"):
                session.hear(message)
            session.hear(messages.WorkerHello(messages.MAJOR, 0))
            assert session.state is State.STARTING

    asyncio.run(say())


def hear_and_close(session: BareSession, message: messages.ToSupervisor) -> None:
    """What a message does to the kernel is another test's."""
    doing = session.hear(message)
    if inspect.iscoroutine(doing):
        doing.close()


@pytest.mark.parametrize("state", [State.STARTING, State.REVIVING])
@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_what_may_be_said_once_in_a_run(message: messages.ToSupervisor, state: State) -> None:
    async def say() -> None:
        with session_in(state, handshake_done=not isinstance(message, messages.WorkerHello)) as session:
            session.user_input.ask(InputGroup.USER_PASSWORD, (messages.InputSlot("username", "User", False),))
            hear_and_close(session, message)
            assert session.state is state  # where it could be said again
            if isinstance(message, ONCE):
                with pytest.raises(ProtocolViolation, match=f"^it sent {type(message).__name__} twice$"):
                    session.hear(message)
                session.bare_run = session.bare_run_with(handshake_done=not isinstance(message, messages.WorkerHello))
            hear_and_close(session, message)  # of another worker

    if state in PERMITTED[type(message)] and (type(message), state) not in ENDS:
        asyncio.run(say())


@pytest.mark.parametrize("state", [State.CONNECTING, State.PAUSING, State.PAUSED, State.CONNECTED])
def test_a_report_that_crossed_a_request_is_no_event_and_one_from_the_future_a_fault(state: State) -> None:
    async def say() -> None:
        with session_in(state) as session:
            for kind in (messages.Connecting, messages.Paused):
                session.hear(kind(REQUEST_NUMBER - 1))
                assert session.state is state
                with pytest.raises(ProtocolViolation, match="answered request 4 of 3"):
                    session.hear(kind(REQUEST_NUMBER + 1))

    asyncio.run(say())


def test_events_that_nobody_asked_for_are_bounded() -> None:
    async def say() -> None:
        with session_in(State.RECONNECTING) as session:
            for _ in range(MAX_WORKER_REPORTS):
                session.hear(messages.Connecting(REQUEST_NUMBER))
            with pytest.raises(ProtocolViolation, match="events in a second"):
                session.hear(messages.Connecting(REQUEST_NUMBER))
            session.bare_run.conversation.begin_request()  # of its user: what comes of that counts for itself
            session.hear(messages.Connecting(REQUEST_NUMBER + 1))

    asyncio.run(say())


@pytest.mark.parametrize(
    "wrong",
    [("sctp", "198.51.100.1", 1, "x"), ("udp", "no\nwhere", 1, "x"), ("udp", "198.51.100.1", 0, "x"),
     ("udp", "198.51.100.1", 65536, "x"), ("udp", "198.51.100.1", 1, "a\0b"), ("udp", "198.51.100.1", 1, ""),
     ("tcpv4-via-http", "", 1, "x"), ("tcpv5-via-http", "vpn.example", 1, "x"), ("tcp", "", 1, "x")],
)  # fmt: skip
def test_an_impossible_server_is_a_fault(wrong: tuple[str, str, int, str]) -> None:
    async def say() -> None:
        with session_in(State.CONNECTING) as session, pytest.raises(ProtocolViolation, match="connected to"):
            session.hear(messages.Connected(REQUEST_NUMBER, *wrong))

    asyncio.run(say())
