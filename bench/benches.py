"""What is measured.  Each bench puts up its own laboratory and alternates with its yardstick: the machine is noisy."""

import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..tests.lab.lab import Lab
from ..tests.lab.pki import Pki
from ..tests.lab.service import Service
from . import churn, cold, fairness, idle, memory, original, roaming, scale, settings, takeover, throughput
from .figures import Figure, Wanted
from .meter import Meter
from .yardsticks import PlainOpenVpn

_LOG_LEVEL = 3  # what an installed service logs at
_ROUNDS = 4  # with and without, in turns
_WINDOW = 100  # calls under way at once; dbus-daemon allows a connection 128
_PROPERTIES = ["status", "statistics", "device_name"]


@dataclass(frozen=True)
class Counts:
    """How often things are measured."""

    runs: int = 10  # sessions started, connections made, cold starts
    calls: int = 500  # of each kind, one after the other
    pipelined: int = 5000
    sessions: tuple[int, ...] = (1, 10, 40)  # whose memory is looked at
    cycles: int = 1000  # sessions one after the other
    scale: tuple[int, ...] = (100, 400)  # sessions beside ten
    transfer: int = 3  # seconds
    taken_over: tuple[int, ...] = (1, 40, 400)  # sessions of a service that is killed
    idle: tuple[int, ...] = (10, 100)  # sessions without traffic
    idle_seconds: float = 60  # that these are looked at


# The main ones in a minute: what a change has done to speed and memory, roughly.
QUICK = ("start", "connect", "activate", "properties", "memory", "idle", "takeover", "throughput")
QUICK_COUNTS = Counts(
    runs=3, calls=100, pipelined=1000, sessions=(5,), transfer=1, taken_over=(1,), idle=(5,), idle_seconds=3
)


@contextmanager
def _put_up(pki: Pki, *options: str) -> Iterator[tuple[Lab, Service, Meter]]:
    """A laboratory with a server that pushes nothing (sessions must not quarrel over routes), service and client."""
    with Lab(pki) as lab:
        lab.server(pushes=())
        service = lab.supervisor(*options, log_level=_LOG_LEVEL)
        with Meter(lab) as meter:
            yield lab, service, meter


def start(pki: Pki, counts: Counts) -> list[Figure]:
    """NewTunnel to usable object, sessions in a row that all stay, each of a profile of its own."""
    ours, plain = [], []
    with _put_up(pki) as (lab, _, meter):
        openvpn = PlainOpenVpn(lab.client_side, lab.directory / "plain", lab.profile())
        profiles = [meter.import_profile(f"profile {number}", lab.profile()) for number in range(counts.runs)]
        for profile in profiles:
            took, _ = meter.new_tunnel(profile)
            ours.append(took)
            plain.append(openvpn.until_held())
    return [Figure("NewTunnel to usable object", "ms", ours, "openvpn, exec to >HOLD", plain, Wanted(25))]


def sandbox(pki: Pki, counts: Counts) -> list[Figure]:
    """What the layers cost: NewTunnel and memory with all that there are, beside none; in turns."""
    took: dict[str, list[float]] = {"available": [], "none": []}
    memories: dict[str, list[float]] = {"available": [], "none": []}
    for _ in range(_ROUNDS):
        for layers in took:
            with _put_up(pki, f"--sandbox={layers}") as (lab, _, meter):
                for number in range(max(counts.runs // _ROUNDS, 1)):
                    one, session = meter.new_tunnel(meter.import_profile(f"profile {number}", lab.profile()))
                    took[layers].append(one)
                    meter.connect(session)
                    worker = meter.get(session, "backend_pid")
                    both = sum((memory.memory(pid) for pid in memory.children(worker)), memory.memory(worker))
                    memories[layers].append(both.private_dirty)
    without = statistics.median(memories["none"])
    more = [one - without for one in memories["available"]]
    wanted = Wanted(1.2, of_ratio=True)
    return [
        Figure("NewTunnel, all layers", "ms", took["available"], "no layer", took["none"], wanted),
        Figure("a session's memory, more than without", "MB", more, wanted=Wanted(0.3)),
    ]


def connect(pki: Pki, counts: Counts) -> list[Figure]:
    """Connect to CONNECTED, and Disconnect."""
    connected, disconnected, plain_connected, plain_ended = [], [], [], []
    with _put_up(pki) as (lab, _, meter):
        openvpn = PlainOpenVpn(lab.client_side, lab.directory / "plain", lab.profile())
        profile = meter.import_profile("profile", lab.profile())
        for _ in range(counts.runs):
            _, session = meter.new_tunnel(profile)
            connected.append(meter.connect(session))
            disconnected.append(meter.disconnect(session))
            up, end = openvpn.connect_and_end()
            plain_connected.append(up)
            plain_ended.append(end)
    wanted = Wanted(2, of_ratio=True)
    return [
        Figure("Connect to CONNECTED", "ms", connected, "openvpn, exec to completed", plain_connected, wanted),
        Figure("Disconnect", "ms", disconnected, "openvpn, SIGTERM to end", plain_ended, Wanted(20)),
    ]


def activate(pki: Pki, counts: Counts) -> list[Figure]:
    """Calls to the service that does not run."""
    return cold.measure(pki, counts.runs)


def properties(pki: Pki, counts: Counts) -> list[Figure]:
    """Reading properties of a connected session, one call at a time and many at once."""
    with _put_up(pki) as (lab, _, meter):
        _, session = meter.new_tunnel(meter.import_profile("profile", lab.profile()))
        meter.connect(session)
        taken = meter.round_trips(session, _PROPERTIES, counts.calls)
        rates = [meter.pipelined(session, counts.pipelined, _WINDOW) for _ in range(3)]
    microseconds = {name: [one * 1000 for one in times] for name, times in taken.items()}
    yardstick = ("GetId of the bus", microseconds["GetId"])
    return [
        *(
            Figure(f"Get {name}", "µs", microseconds[name], *yardstick, wanted=Wanted(2, of_ratio=True))
            for name in _PROPERTIES
        ),
        Figure("GetAll", "µs", microseconds["GetAll"], *yardstick, wanted=Wanted(3, of_ratio=True)),
        Figure(
            "pipelined Get", "/s", [rate["Get"] for rate in rates],
            "pipelined GetId", [rate["GetId"] for rate in rates], Wanted(5000, at_least=True),
        ),
    ]  # fmt: skip


def footprint(pki: Pki, counts: Counts) -> list[Figure]:
    """Memory of connected sessions and of the service's own processes."""
    figures: list[Figure] = []
    with _put_up(pki) as (lab, service, meter):
        plain = PlainOpenVpn(lab.client_side, lab.directory / "plain", lab.profile())
        with plain.connected() as (_, pid):
            yardstick = memory.memory(pid)
        workers: list[int] = []
        for count in sorted(counts.sessions):
            for number in range(len(workers), count):
                _, session = meter.new_tunnel(meter.import_profile(f"profile {number}", lab.profile()))
                meter.connect(session)
                workers.append(meter.get(session, "backend_pid"))
            figures += _footprint(service.pid, workers, yardstick, last=count == max(counts.sessions))
    return figures


def _footprint(supervisor: int, workers: list[int], yardstick: memory.Memory, *, last: bool) -> list[Figure]:
    engines = [engine for worker in workers for engine in memory.children(worker)]
    helpers = [pid for pid in memory.descendants(supervisor) if pid not in workers and pid not in engines]
    of_workers = [memory.memory(pid) for pid in workers]
    of_engines = [memory.memory(pid) for pid in engines]
    of_sessions = [worker + engine for worker, engine in zip(of_workers, of_engines, strict=True)]
    of_helpers = dict[str, memory.Memory]()
    for pid in helpers:  # each is a keeper and the one that serves
        title = memory.title(pid).rpartition(": ")[2].split(",")[0]
        of_helpers[title] = of_helpers.get(title, memory.NOTHING) + memory.memory(pid)
    own = memory.memory(supervisor)
    at = f"at {len(workers)}: "

    def figure(name: str, of: list[memory.Memory], wanted: float | None = None, plain: bool = False) -> Figure:
        return Figure(
            at + name, "MB", [one.private_dirty for one in of],
            "plain openvpn" if plain else "", [yardstick.private_dirty] if plain else (),
            Wanted(wanted) if wanted and last else None,
        )  # fmt: skip

    everything = [*of_sessions, *of_helpers.values(), own]
    return [
        figure("session, private dirty", of_sessions, 4.5, plain=True),
        figure("  its worker", of_workers),
        figure("  its engine", of_engines, plain=True),
        Figure(at + "session, proportional", "MB", [one.pss for one in of_sessions], "plain openvpn", [yardstick.pss]),
        figure("supervisor, private dirty", [own], 30),
        *(figure(f"{title}, private dirty", [one]) for title, one in of_helpers.items()),
        Figure(at + "all processes, proportional", "MB", [sum(one.pss for one in everything)]),
    ]


def fair_shares(pki: Pki, counts: Counts) -> list[Figure]:
    """What one user's flood of calls costs another."""
    with Lab(pki) as lab:
        lab.server(pushes=())
        lab.supervisor(log_level=_LOG_LEVEL)
        return fairness.fairness(lab)


def beside_original(pki: Pki, counts: Counts) -> list[Figure]:
    """The same with OpenVPN 3 Linux's own services."""
    return original.original(pki, counts.sessions)


def footprint_beside_original(pki: Pki, counts: Counts) -> list[Figure]:
    """Only the memory of both, which depends on the release of Python and OpenSSL (`make bench` asks two of them)."""
    return original.footprints(pki, counts.sessions)


def roam(pki: Pki, counts: Counts) -> list[Figure]:
    """The longest silence in a flow through the tunnel when the machine changes to another network."""
    return roaming.measure(pki, rounds=max(1, counts.runs // 2))


def with_settings(pki: Pki, counts: Counts) -> list[Figure]:
    """What a default route and name servers add to Connect."""
    return settings.measure(pki, counts.runs)


def take_over(pki: Pki, counts: Counts) -> list[Figure]:
    """A service that is killed, and the next one."""
    return takeover.measure(pki, max(1, counts.runs // 2), counts.taken_over)


def one_after_the_other(pki: Pki, counts: Counts) -> list[Figure]:
    """A thousand sessions."""
    return churn.measure(pki, counts.cycles)


def at_scale(pki: Pki, counts: Counts) -> list[Figure]:
    """With hundreds of sessions."""
    return scale.measure(pki, counts.runs, counts.calls, counts.scale)


def carry(pki: Pki, counts: Counts) -> list[Figure]:
    """Bytes through a tunnel, beside plain openvpn and OpenVPN 3 Linux."""
    return throughput.measure(pki, max(3, counts.runs // 3), counts.transfer)


def idle_cost(pki: Pki, counts: Counts) -> list[Figure]:
    """What sessions cost that carry no traffic."""
    return idle.measure(pki, counts.idle, counts.idle_seconds)


BENCHES: dict[str, Callable[[Pki, Counts], list[Figure]]] = {
    "start": start,
    "sandbox": sandbox,
    "connect": connect,
    "settings": with_settings,
    "activate": activate,
    "properties": properties,
    "memory": footprint,
    "idle": idle_cost,
    "roaming": roam,
    "scale": at_scale,
    "churn": one_after_the_other,
    "takeover": take_over,
    "throughput": carry,
    "fairness": fair_shares,
    "original": beside_original,
    "beside": footprint_beside_original,
}
