"""Only clocks that nobody sets decide anything: the time of day is shown, or kept to be shown."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("ctl", "ipc", "kernel", "policy", "supervisor", "worker")
_OF_THE_DAY = {"time", "time_ns", "now", "utcnow", "today", "localtime", "gmtime", "ctime"}
# What is done with it: all of this is shown to users, and nothing waits for it or is compared with it.
SHOWN = {
    "ctl/doctor/installation.py": "whether the clock is wrong",
    "ctl/inspection.py": "how long processes have lived",
    "ctl/log_command.py": "when a line of the log came",
    "ctl/show.py": "when a session was made",
    "ctl/status_view.py": "since when a session is connected",
    "ctl/why_command.py": "when a session failed",
    "supervisor/logging/destinations.py": "when a line was logged",
    "supervisor/logging/log.py": "when a line was logged",
    "supervisor/network/locking/kill_switch.py": "since when the kill switch holds",
    "supervisor/services/configuration.py": "when a profile was last used",
    "supervisor/services/profile_store.py": "when a profile was imported",
    "supervisor/sessions/autoconnect.py": "when a session could not be started",
    "supervisor/sessions/failure_recorder.py": "when a session failed",
    "supervisor/sessions/reports.py": "when the last handshake was, never later than now",
    "supervisor/sessions/session.py": "when a session was made, and connected",
    "worker/session/negotiation.py": "when the last handshake was",
}


def test_the_time_of_day_decides_nothing() -> None:
    found = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if any(_asks_for_it(node) for node in ast.walk(ast.parse(path.read_text())))
    }
    assert found == SHOWN.keys()


def _asks_for_it(node: ast.AST) -> bool:
    return any(name in _OF_THE_DAY for name in _called(node)) or (
        isinstance(node, ast.Attribute) and node.attr == "CLOCK_REALTIME"
    )


def _called(node: ast.AST) -> Iterator[str]:
    """The names of functions of `time` and `datetime` that a node calls."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        of = node.func.value
        name = of.id if isinstance(of, ast.Name) else of.attr if isinstance(of, ast.Attribute) else ""
        if name in ("time", "datetime", "date"):
            yield node.func.attr
