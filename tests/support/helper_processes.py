"""The processes of the service's helpers: of each one a keeper, and one that serves."""

import contextlib
import os
import signal

from .service_life import kill_and_wait, parent, processes, title

_TITLE = "openvpn3-service-sessionmgr: "


def helper_processes(name: str, role: str) -> list[int]:
    """The "keeper" of a helper, or the one that is "serving"; none where it is just replaced."""
    found = [pid for pid in processes(f"{_TITLE}{name}") if title(pid).partition(",")[0] == f"{_TITLE}{name}"]
    with contextlib.suppress(FileNotFoundError):  # it has just ended
        return [pid for pid in found if (parent(pid) in found) == (role == "serving")]
    return []


def kill_helper(name: str) -> None:
    """Kill both, neither of which is to have the time for replacing the other."""
    keepers, serving = helper_processes(name, "keeper"), helper_processes(name, "serving")
    for pid in keepers:
        os.kill(pid, signal.SIGSTOP)
    for pid in serving:
        with contextlib.suppress(ProcessLookupError):  # one that was forked for one request has ended
            os.kill(pid, signal.SIGKILL)
    for pid in keepers:
        kill_and_wait(pid, signal.SIGKILL)
