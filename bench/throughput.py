"""Bytes through a tunnel each way, and the processor time of the client for them, beside other clients.

Each turn has a laboratory and a server of its own, and sends one TCP connection's bytes through the tunnel (iperf3(1)),
up and then down.  Rates say what this machine had to spare; processor time is what the client costs.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..tests.lab.incumbent import IncumbentLab
from ..tests.lab.lab import Lab
from ..tests.lab.openvpn import TUNNEL_ADDRESS
from ..tests.lab.pki import Pki
from ..tests.lab.processes import LabError
from . import memory, original
from .figures import Figure, Wanted
from .meter import Meter
from .yardsticks import PlainOpenVpn

_GIGABYTE = 1e9
_SIDES = ("ours", "plain openvpn", original.NAME)
_DIRECTIONS = ("up", "down")
_MORE_UP, _MORE_DOWN = Wanted(0.95, of_ratio=True, at_least=True), Wanted(1.2, of_ratio=True, at_least=True)

Samples = dict[tuple[str, str, str], list[float]]  # by side, direction, unit


def measure(pki: Pki, rounds: int, seconds: int) -> list[Figure]:
    """Each client in turn, so many times; a connection each way lasts `seconds`.  Raises LabError."""
    sides = [side for side in _SIDES if side != original.NAME or original.there()]
    samples: Samples = defaultdict(list)
    for _ in range(rounds):
        for side in sides:
            with _tunnel(pki, side) as (lab, pids):
                for direction in _DIRECTIONS:
                    rate, cost = _transfer(lab, pids, seconds, back=direction == "down")
                    samples[side, direction, "Mbit/s"].append(rate)
                    samples[side, direction, "ms/GB"].append(cost)
    return [
        figure
        for other in sides[1:]
        for direction, wanted in zip(_DIRECTIONS, (_MORE_UP, _MORE_DOWN), strict=True)
        for figure in _beside(samples, other, direction, wanted if other == original.NAME else None)
    ]


def _beside(samples: Samples, other: str, direction: str, wanted: Wanted | None) -> Iterator[Figure]:
    for name, unit, bound in (("throughput", "Mbit/s", wanted), ("processor time", "ms/GB", None)):
        ours, theirs = samples["ours", direction, unit], samples[other, direction, unit]
        yield Figure(f"{name}, {direction}", unit, ours, other, theirs, bound)


@contextmanager
def _tunnel(pki: Pki, side: str) -> Iterator[tuple[Lab, Sequence[int]]]:
    """A laboratory with a client of this kind that is connected, and the client's processes."""
    if side == "plain openvpn":
        with Lab(pki) as lab:
            lab.server(pushes=())
            with PlainOpenVpn(lab.client_side, lab.directory / "plain", lab.profile()).connected() as (_, pid):
                yield lab, [pid]
        return
    with IncumbentLab(original.RELEASE, pki, ours=False) if side == original.NAME else Lab(pki) as lab:
        lab.server(pushes=())
        if isinstance(lab, IncumbentLab):
            lab.start_services()
        else:
            lab.supervisor(log_level=original.LOG_LEVEL)
        with Meter(lab) as meter:
            _, session = meter.new_tunnel(meter.import_profile("profile", lab.profile()))
            meter.connect(session, forwarded=True)
            client = meter.get(session, "backend_pid")
            yield lab, [client, *memory.descendants(client)]
            meter.disconnect(session)


def _transfer(lab: Lab, pids: Sequence[int], seconds: int, *, back: bool) -> tuple[float, float]:
    """Mbit/s received at the other end, and milliseconds of the client's processor time for each GB."""
    listening = lab.server_side.start(
        "iperf3", ["iperf3", "--server", "--one-off", "--bind", TUNNEL_ADDRESS, "--forceflush"]
    )
    try:
        listening.wait_line("listening")
        before = _processor_time(pids)
        argv = [
            "iperf3",
            "--client",
            TUNNEL_ADDRESS,
            "--time",
            str(seconds),
            "--json",
            *(["--reverse"] if back else []),
        ]
        done = lab.client_side.run(argv)
        spent = _processor_time(pids) - before
    finally:
        listening.stop()
    if done.returncode:
        raise LabError(f"iperf3 ended with {done.returncode}: {done.stdout}{done.stderr}")
    received = json.loads(done.stdout)["end"]["sum_received"]
    if not received["bytes"]:
        raise LabError("nothing came through the tunnel")
    return received["bits_per_second"] / 1e6, spent / 1e6 / (received["bytes"] / _GIGABYTE)


def _processor_time(pids: Sequence[int]) -> int:
    """Nanoseconds that these processes have run, with their threads (schedstat in the kernel's sched-stats.rst)."""
    return sum(
        int(task.read_text().split()[0]) for pid in pids for task in Path(f"/proc/{pid}/task").glob("*/schedstat")
    )
