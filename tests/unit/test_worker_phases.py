"""The life of a worker: what each event leads to, and what is done, in each phase."""

import pytest

from ...worker.session.phases import TABLE, Action, Event, Phase, PhaseMachine

BEFORE = ("NEW", "STARTING")
WITH_ENGINE = ("HELD", "WAITING", "RUNNING", "PAUSING", "PAUSED")

# Event: in these phases it leads to this phase, by these actions.  By hand; everywhere else it changes nothing.
EXPECTED: dict[str, list[tuple[tuple[str, ...], str, str]]] = {
    "CONNECT": [
        (("HELD", "WAITING"), "RUNNING", "START_DEADLINE CONTINUE"),
        (("RUNNING",), "RUNNING", "REPORT_CONNECTED"),
    ],
    "PAUSE": [(("HELD", "WAITING", "RUNNING"), "PAUSING", "HOLD_BACK PAUSE_ENGINE")],
    "RESUME": [(("PAUSING", "PAUSED"), "RUNNING", "START_DEADLINE ALLOW_ATTEMPT")],
    "RESTART": [
        (("HELD", "WAITING", "RUNNING", "PAUSED"), "RUNNING", "START_DEADLINE INTERRUPT ALLOW_ATTEMPT"),
        (("PAUSING",), "RUNNING", "START_DEADLINE ALLOW_ATTEMPT"),
    ],
    "WAY_CHANGED": [(("RUNNING",), "RUNNING", "INTERRUPT ALLOW_ATTEMPT")],
    "DISCONNECT": [((*BEFORE, *WITH_ENGINE), "STOPPING", "END_ENGINE")],
    "ENGINE_STARTED": [(("NEW",), "STARTING", "")],
    "ENGINE_HOLDS": [
        (("STARTING",), "HELD", "ACCEPT"),
        (("RUNNING",), "RUNNING", "SCHEDULE_ATTEMPT"),
        (("PAUSING",), "PAUSED", "HOLD_BACK REPORT_PAUSED"),
    ],
    "ENGINE_CONNECTED": [(("WAITING", "RUNNING"), "RUNNING", "STOP_DEADLINE")],
    "INPUT_NEEDED": [(("RUNNING",), "WAITING", "HOLD_BACK")],
    "URL_NEEDED": [(("RUNNING",), "RUNNING", "STOP_DEADLINE")],
    "ANSWERED": [(("WAITING",), "RUNNING", "START_DEADLINE")],
    "FAILED": [
        (BEFORE, "STOPPING", "REPORT_PROFILE_REFUSED END_ENGINE"),
        (WITH_ENGINE, "STOPPING", "REPORT_FAILED END_ENGINE"),
    ],
    "REFUSED": [((*BEFORE, *WITH_ENGINE), "STOPPING", "REPORT_CREDENTIALS_REFUSED END_ENGINE")],
    "ENGINE_DIED": [((*BEFORE, *WITH_ENGINE), "STOPPING", "REPORT_ENGINE_DIED END_ENGINE")],
    "ENDED": [((*BEFORE, *WITH_ENGINE), "STOPPING", "REPORT_ENDED END_ENGINE")],
}


def expected(phase: Phase, event: Event) -> tuple[Phase, list[Action]] | None:
    """What the event leads to in the phase, if anything."""
    for phases, following, actions in EXPECTED[event.name]:
        if phase.name in phases:
            return Phase[following], [Action[name] for name in actions.split()]
    return None


def test_every_event_is_expected_and_every_action_used() -> None:
    assert set(EXPECTED) == {event.name for event in Event}
    assert {action for transition in TABLE.values() for action in transition.actions} == set(Action)


@pytest.mark.parametrize("event", Event, ids=lambda event: event.name)
@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
def test_each_event_in_each_phase(phase: Phase, event: Event) -> None:
    done: list[tuple[Phase, Action, str]] = []
    machine = PhaseMachine(lambda action, text, _: done.append((machine.phase, action, text)))
    machine.phase = phase
    follows = expected(phase, event)
    assert machine.happened(event, "why") is (follows is not None)
    following, actions = follows or (phase, [])
    assert machine.phase is following
    assert done == [(following, action, "why") for action in actions]  # carried out in the phase that it leads to


def test_a_worker_begins_without_an_engine() -> None:
    assert PhaseMachine(lambda action, text, cause: None).phase is Phase.NEW
