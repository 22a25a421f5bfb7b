"""What the default route and name servers of a session cost: Connect to CONNECTED with them, and without."""

from ..tests.lab.lab import Lab
from ..tests.lab.openvpn import PORT
from ..tests.lab.pki import Pki
from ..tests.network.world import SERVERS, World
from .figures import Figure, Wanted
from .meter import Meter

_PUSHES = ("redirect-gateway def1 ipv6", "dhcp-option DNS 198.18.0.1", "dhcp-option DOMAIN corp.example")
_LOG_LEVEL = 3  # what an installed service logs at
_LEAST = 15  # sessions of each kind


def measure(pki: Pki, rounds: int) -> list[Figure]:
    """A session of each kind in turns, with systemd-resolved and polkit, which ask each other."""
    with Lab(pki) as lab, World(lab) as world:
        lab.resolved()
        for number, pushes in enumerate((_PUSHES, ())):
            world.server(*pushes, number=number)
        service = lab.supervisor(log_level=_LOG_LEVEL)
        both: list[list[float]] = [[], []]
        with Meter(lab) as meter:
            profiles = [
                meter.import_profile(f"profile {number}", lab.profile(remotes=[f"{SERVERS[number]} {PORT}"]))
                for number in range(len(both))
            ]
            for _ in range(max(rounds, _LEAST)):
                for profile, taken in zip(profiles, both, strict=True):
                    _, session = meter.new_tunnel(profile)
                    taken.append(meter.connect(session))
                    meter.disconnect(session)
        service.stop()
    having, without = both
    more = [one - other for one, other in zip(having, without, strict=True)]
    return [
        Figure("Connect with default route and DNS", "ms", having, "the same without", without),
        Figure("more than without", "ms", more, wanted=Wanted(20)),
    ]
