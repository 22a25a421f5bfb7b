"""A machine on which others use the processors."""

import os
import sys
from contextlib import ExitStack

from ...lab.lab import Lab
from ...support.service_life import started, wait_ready, with_limits
from ...support.sessions import begin

_SPIN = "while True: pass"
_OTHERS = 24
_SHORT = 0.4  # seconds: for what takes a twentieth of that where nobody else does anything


def test_sessions_are_started(lab: Lab) -> None:
    """The time in which a worker waits for a processor is not its own."""
    processor = str(min(os.sched_getaffinity(0)))
    on_one = ["taskset", "-c", processor]
    through = [*with_limits(lab.directory, VERDICT_DEADLINE=_SHORT, SPAWN_DEADLINE=_SHORT), *on_one]
    with started(lab, through=through), ExitStack() as stack:
        wait_ready(lab)
        begin(lab).call("Disconnect")  # the helpers have prepared for their children by then
        for number in range(_OTHERS):
            # Each in a session of its own, which the kernel gives as much as all processes of the service together.
            spinning = lab.client_side.start(f"other {number}", ["setsid", *on_one, sys.executable, "-c", _SPIN])
            stack.callback(spinning.stop)
        for number in range(3):
            begin(lab, f"session {number}").call("Disconnect")
