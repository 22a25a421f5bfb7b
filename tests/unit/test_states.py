"""The table of session states: every pair is either in it, and then as written here, or refused."""

import itertools

import pytest

from ...policy.dbus_numbers import StatusMajor, StatusMinor
from ...supervisor.sessions.states import TABLE, Action, Event, NotNow, State, transition

ALL_PAIRS = list(itertools.product(State, Event))

# Status sequences that front-ends rely on (major, minor), told apart by what they see.
CONTRACT = {
    (State.STARTING, Event.ACCEPTED): [(2, 2)],
    (State.READY, Event.CONNECT): [(2, 2), (2, 6)],
    (State.CONNECTING, Event.ENGINE_CONNECTING): [(2, 6)],
    (State.CONNECTING, Event.ENGINE_CONNECTED): [(2, 7)],
    (State.CONNECTED, Event.PAUSE): [(2, 13)],
    (State.PAUSING, Event.ENGINE_PAUSED): [(2, 14)],
    (State.READY, Event.PAUSE): [(2, 13), (2, 14)],
    (State.PAUSED, Event.RESUME): [(2, 15), (2, 12)],
    (State.RECONNECTING, Event.ENGINE_CONNECTED): [(2, 7)],
    (State.CONNECTED, Event.RESTART): [(2, 12)],
    (State.RECONNECTING, Event.ENGINE_RECONNECTING): [(2, 12)],
    (State.CONNECTED, Event.ENGINE_RECONNECTING): [(2, 12)],
    (State.CONNECTED, Event.DISCONNECT): [(2, 8), (2, 9), (2, 16), (3, 28)],
    (State.READY, Event.DISCONNECT): [(2, 8), (2, 16), (3, 28)],
    (State.AUTH_FAILED, Event.DISCONNECT): [(2, 8), (2, 16), (3, 28)],
    (State.CONNECTING, Event.ENGINE_REFUSED): [(2, 11)],
    (State.CONNECTING, Event.ENGINE_FAILED): [(2, 10)],
    (State.CONNECTED, Event.WORKER_DIED): [(3, 29), (2, 10)],
    (State.CONNECTED, Event.CRASHED): [(2, 12)],
    (State.DOWN, Event.DISCONNECT): [(2, 8), (2, 9), (2, 16), (3, 28)],
    (State.DOWN, Event.PAUSE): [(2, 13), (2, 14)],
    (State.DOWN_PAUSED, Event.RESUME): [(2, 15), (2, 12)],
}


@pytest.mark.parametrize(("state", "event"), CONTRACT)
def test_statuses_are_those_of_the_contract(state: State, event: Event) -> None:
    statuses = [(status.major, status.minor) for status in transition(state, event).statuses]
    assert statuses == CONTRACT[state, event]


@pytest.mark.parametrize(("state", "event"), [pair for pair in ALL_PAIRS if pair not in TABLE])
def test_a_pair_that_is_not_in_the_table_is_refused(state: State, event: Event) -> None:
    with pytest.raises(NotNow, match=f"{event.name} while {state.name}"):
        transition(state, event)


@pytest.mark.parametrize("state", [state for state in State if state not in (State.GONE, State.STARTING)])
def test_connect_is_never_an_error_on_the_bus(state: State) -> None:
    assert transition(state, Event.CONNECT)


@pytest.mark.parametrize("state", [state for state in State if state is not State.GONE])
def test_every_session_can_be_disconnected_and_is_then_removed(state: State) -> None:
    cell = transition(state, Event.DISCONNECT)
    assert (cell.next, cell.action) == (State.GONE, Action.REMOVE)


@pytest.mark.parametrize("state", State)
def test_a_worker_may_die_at_any_time(state: State) -> None:
    cell = transition(state, Event.WORKER_DIED)
    assert cell.next in (state, State.FAILED)


def test_between_two_runs_no_worker_is_told_anything() -> None:
    down = (State.DOWN, State.DOWN_PAUSED)
    for (state, event), cell in TABLE.items():
        if state in down:
            assert cell.action is not Action.TELL_WORKER, (state, event)
        if cell.next in down and state not in down:
            assert cell.action is Action.END_RUN, (state, event)


def test_failing_and_removal_always_end_the_run() -> None:
    for (state, event), cell in TABLE.items():
        if cell.next is not state:
            assert (cell.next is State.GONE) == (cell.action is Action.REMOVE), (state, event)
            assert (cell.next in (State.FAILED, State.AUTH_FAILED)) == (cell.action is Action.FAIL), (state, event)


def test_disconnected_is_announced_only_as_the_end() -> None:
    # openvpn2 and openvpn3-systemd leave their loops on 2,9.
    disconnected = (StatusMajor.CONNECTION, StatusMinor.CONN_DISCONNECTED)
    for cell in TABLE.values():
        if disconnected in [(status.major, status.minor) for status in cell.statuses]:
            assert cell.next is State.GONE
