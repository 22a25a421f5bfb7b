"""docs/states.md and docs/worker-states.md: the lives of a session and of its worker, from their tables."""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from ..supervisor.sessions import states
from ..worker.session import phases


def session_states() -> str:
    """docs/states.md."""
    cells = {
        key: (
            cell.next.name,
            " → ".join(f"{status.major},{status.minor} {status.text}".strip() for status in cell.statuses),
            cell.action.value,
        )
        for key, cell in states.TABLE.items()
    }
    return "\n".join(
        (
            "# The states of a session",
            "",
            "Generated from `supervisor/sessions/states.py`; `make generated` renews it.",
            *_meanings("state", states.State),
            *_meanings("event", states.Event),
            "",
            "An event that has no row in a state is refused and changes nothing.",
            *_rows("state", ("next", "statuses (major,minor)", "action"), cells, states.State, states.Event),
            "",
        )
    )


def worker_phases() -> str:
    """docs/worker-states.md."""
    cells = {
        key: (cell.next.name, ", ".join(action.name for action in cell.actions)) for key, cell in phases.TABLE.items()
    }
    return "\n".join(
        (
            "# The phases of a worker",
            "",
            "Generated from `worker/session/phases.py`; `make generated` renews it.",
            *_meanings("phase", phases.Phase),
            *_meanings("event", phases.Event),
            *_meanings("action", phases.Action),
            "",
            "A request of the supervisor that has no row in a phase breaks the protocol, and ends the worker; any",
            "other event without a row changes nothing.  In STOPPING everything is ignored.",
            *_rows("phase", ("next", "actions"), cells, phases.Phase, phases.Event),
            "",
        )
    )


def _meanings(what: str, members: Iterable[Enum]) -> list[str]:
    return ["", f"| {what} | meaning |", "|---|---|", *(f"| {member.name} | {member.value} |" for member in members)]


def _rows(
    first: str,
    columns: Sequence[str],
    cells: Mapping[tuple[Any, Any], Sequence[str]],
    states_in_order: Iterable[Enum],
    events_in_order: Iterable[Enum],
) -> list[str]:
    """A table of all cells; a cell's texts stand in `columns`."""
    events = list(events_in_order)
    return [
        "",
        f"| {first} | event | {' | '.join(columns)} |",
        "|---" * (len(columns) + 2) + "|",
        *(
            f"| {state.name} | {event.name} | {' | '.join(cells[state, event])} |"
            for state in states_in_order
            for event in events
            if (state, event) in cells
        ),
    ]
