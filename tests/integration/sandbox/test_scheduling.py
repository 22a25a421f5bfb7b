"""What share of a busy machine sessions have: the scheduler's group that they are in (sched(7))."""

import os
from pathlib import Path

from ....policy.sandbox.confinement import SESSIONS_NICE
from ...lab.lab import Lab
from ...support.sessions import begin
from ...support.skipping import cannot_run_here


def autogroup(pid: int | str) -> tuple[str, str]:
    """Name and nice value of the group that a process is in."""
    file = Path(f"/proc/{pid}/autogroup")
    if not file.exists():
        cannot_run_here("this kernel has no autogroups")
    name, _, nice = file.read_text().strip().partition(" nice ")
    return name, nice


def test_all_sessions_are_one_group_with_a_weight_of_its_own(lab: Lab) -> None:
    service = lab.supervisor()
    one, other = begin(lab), begin(lab, "home")
    [(group, nice)] = {autogroup(process.pid) for one in (one, other) for process in (one.worker, one.engine)}
    assert nice == str(SESSIONS_NICE)
    assert group not in (autogroup(service.pid)[0], autogroup("self")[0])
    # None of them reaches another by the process group that it is in.
    assert len({os.getpgid(session.worker.pid) for session in (one, other)}) == 2
    one.call("Disconnect")
    other.call("Disconnect")
