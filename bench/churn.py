"""Sessions one after the other: whether the last take longer than the first, and what each leaves in memory."""

from ..tests.lab.lab import Lab
from ..tests.lab.pki import Pki
from .figures import Figure, Wanted
from .memory import memory
from .meter import Meter

_LOG_LEVEL = 3  # what an installed service logs at
_PART = 10  # the first and the last of so many parts are compared
_RATIO = Wanted(1.2, of_ratio=True)
_GROWTH = Wanted(0.1)  # kB a session


def measure(pki: Pki, cycles: int) -> list[Figure]:
    """NewTunnel, Connect and Disconnect of one profile, so many times; the memory is the supervisor's own."""
    taken: dict[str, list[float]] = {"NewTunnel": [], "Connect": [], "Disconnect": []}
    memories = []
    part = max(cycles // _PART, 1)
    with Lab(pki) as lab:
        lab.server(pushes=())
        service = lab.supervisor(log_level=_LOG_LEVEL)
        with Meter(lab) as meter:
            profile = meter.import_profile("profile", lab.profile())
            for number in range(cycles):
                if number % part == 0:
                    memories.append(memory(service.pid).private_dirty)
                took, path = meter.new_tunnel(profile)
                taken["NewTunnel"].append(took)
                taken["Connect"].append(meter.connect(path))
                taken["Disconnect"].append(meter.disconnect(path))
            memories.append(memory(service.pid).private_dirty)
    middle = len(memories) // 2
    later = (memories[-1] - memories[middle]) * 1024 / (cycles - middle * part)
    first = (memories[middle] - memories[1]) * 1024 / ((middle - 1) * part)
    return [
        *(
            Figure(f"{name}, the last {part} of {cycles}", "ms", times[-part:], f"first {part}", times[:part], _RATIO)
            for name, times in taken.items()
        ),
        Figure("the supervisor's growth for each, first half", "kB", [first]),
        Figure("the same, second half", "kB", [later], wanted=_GROWTH),
    ]
