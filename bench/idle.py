"""What sessions cost that carry no traffic: processor time of all processes, beside as many plain openvpn.

Both are kept alive as servers usually have it, and are measured in the same time.
"""

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ..supervisor.workers.proc import children
from ..tests.lab.lab import Lab
from ..tests.lab.network import SERVER_ADDRESS
from ..tests.lab.openvpn import PORT
from ..tests.lab.pki import Pki
from . import memory, sessions
from .figures import Figure, Wanted
from .yardsticks import PlainOpenVpn

_LOG_LEVEL = 3  # what an installed service logs at
_OF_SERVER = 200  # connections of one server, whose subnet has 252 addresses
_KEEPALIVE = "keepalive 10 60"
_PLAIN = ("ifconfig-noexec", "route-noexec")  # so that they do not quarrel over addresses
_WANTED = {"all processes": Wanted(1.0), "supervisor": Wanted(0.2)}  # percent of a core at _MOST sessions
_MOST = 400
_MOST_PLAIN = 100  # beyond, each further one would cost as much
_SETTLED = 10  # seconds after the last connection: the kernel asks each device for routers, ever less often
_NAMES = ("supervisor", "workers", "engines", "helpers", "all processes")


def measure(pki: Pki, numbers: tuple[int, ...], seconds: float) -> list[Figure]:
    """With so many sessions, over so many seconds each."""
    figures: list[Figure] = []
    with Lab(pki) as lab, ExitStack() as plain:
        service, servers = lab.supervisor(sessions.AMPLE, log_level=_LOG_LEVEL), _Servers(lab)
        pids: list[int] = []
        made = 0
        for number in sorted(numbers):
            profiles = [lab.profile(remotes=[servers.next()]) for _ in range(number - made)]
            made += len(list(sessions.connected(lab, profiles, made)))
            while len(pids) < min(number, _MOST_PLAIN):
                pids.append(plain.enter_context(_plain(lab, servers.next(), len(pids))))
            time.sleep(_SETTLED)
            shares, of_plain = _over(service.pid, pids, seconds)
            figures += _figures(number, shares, of_plain / len(pids) * number)
        for pid in pids:
            os.kill(pid, signal.SIGTERM)  # all at once, before each is waited for
    return figures


@contextmanager
def _plain(lab: Lab, server: str, number: int) -> Iterator[int]:
    """Plain openvpn that is connected to a server, with a device that is up; its process id."""
    device = f"plain{number}"
    profile = lab.profile(remotes=[server], more=(f"dev {device}", "dev-type tun", *_PLAIN))
    with PlainOpenVpn(lab.client_side, lab.directory / device, profile).connected() as (_, pid):
        lab.client_side.run(["ip", "link", "set", device, "up"])
        yield pid


class _Servers:
    """Servers for any number of connections."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._given = 0

    def next(self) -> str:
        """Where the next connection is to be made to."""
        number, taken = divmod(self._given, _OF_SERVER)
        port = PORT + number
        if taken == 0:
            self._lab.server(
                port=port,
                subnet=f"198.18.{number}.0",
                subnet6=f"2001:db8:{number + 2:x}::/64",
                pushes=(),
                more=(_KEEPALIVE,),
            )
        self._given += 1
        return f"{SERVER_ADDRESS} {port}"


def _over(supervisor: int, plain: list[int], seconds: float) -> tuple[dict[str, float], float]:
    """Percent of a core that each kind of process takes in this time, and that plain openvpn takes."""
    kinds = _kinds(supervisor)
    before, plain_before, began = _used(kinds), _sum(plain), time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    shares = {name: (after - before[name]) / took * 100 for name, after in _used(kinds).items()}
    return shares, (_sum(plain) - plain_before) / took * 100


def _kinds(supervisor: int) -> dict[str, list[int]]:
    """The service's processes, by what they are."""
    kinds: dict[str, list[int]] = {"supervisor": [supervisor], "workers": [], "engines": [], "helpers": []}
    for pid in children(supervisor):
        below = children(pid)
        if memory.title(pid).startswith("openvpn3-session:"):
            kinds["workers"].append(pid)
            kinds["engines"] += below
        else:
            kinds["helpers"] += [pid, *below]
    return kinds


def _used(kinds: Mapping[str, list[int]]) -> dict[str, float]:
    return {name: _sum(pids) for name, pids in kinds.items()}


def _sum(pids: list[int]) -> float:
    """Seconds that these processes, with all their threads, have used a processor (/proc/PID/task/TID/schedstat)."""
    files = (file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def _figures(number: int, shares: Mapping[str, float], plain: float) -> list[Figure]:
    shares = {**shares, "all processes": sum(shares.values())}
    return [
        Figure(
            f"{number} idle sessions: {name}",
            "% of a core",
            [shares[name]],
            "plain openvpn" if name in ("engines", "all processes") else "",
            [plain] if name in ("engines", "all processes") else (),
            _WANTED.get(name) if number == _MOST else None,
        )
        for name in _NAMES
    ]
