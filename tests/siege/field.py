"""What a siege takes place in: the service, a bus, servers good and bad."""

from pathlib import Path

from ...policy.limits import MAX_ROUTES
from ..lab.bus import Bus
from ..lab.lab import Lab
from ..lab.network import CABLE, SERVER_ADDRESS, ip
from ..lab.processes import Process, helper
from ..lab.service import Service
from ..lab.surroundings import BOB, MORE_USERS
from .profiles import Texts

ATTACKERS = (BOB, *MORE_USERS)
ALICES_SERVER = "198.19.0.1"  # inside her tunnel
ECHO_PORT = 7000
ASIDE = "198.51.100.9"  # of the server's machine, reached without a tunnel
_GRASPING_ADDRESS = "198.51.100.3"
_LOG_LEVEL = 4  # transitions of sessions, but not each line of debugging

# Alice's server, her server inside her tunnel, parts of her subnet; the cable's; all there is, in large pieces.
_TAKEN = (
    f"route {SERVER_ADDRESS} 255.255.255.255",
    f"route {ALICES_SERVER} 255.255.255.255",
    "route 198.19.0.0 255.255.255.128",
    "route 198.51.100.0 255.255.255.128",
    "route 198.51.100.8 255.255.255.254",
)
_HALVES = ("route 0.0.0.0 128.0.0.0", "route 128.0.0.0 128.0.0.0", "route-ipv6 ::/1", "route-ipv6 8000::/1")
_EIGHTS = tuple(f"route {number}.0.0.0 255.0.0.0" for number in range(1, 221))
_MANY = tuple(f"route 203.0.{number // 200}.{number % 200} 255.255.255.255" for number in range(MAX_ROUTES + 10))
# Alice's own, one in her subnet, her server's, somebody else's on the Internet.  (That of a host behind her tunnel
# could be taken: docs/SECURITY.md, what is left open.)
_ADDRESSES = (
    "ifconfig 198.19.0.2 255.255.255.0",
    "ifconfig 198.19.0.77 255.255.255.0",
    f"ifconfig {SERVER_ADDRESS} 255.255.255.255",
    "ifconfig 192.0.2.77 255.0.0.0",
)


class Field:
    """The lab with everything in it but people."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        for address in (_GRASPING_ADDRESS, ASIDE):
            ip("-n", lab.server_side.name, "address", "add", f"{address}/32", "dev", CABLE)
        self.alices_profile = _alices(lab)
        self.texts = Texts(good=_good(lab), grasping=_grasping(lab))
        self.echo: Process = lab.server_side.start("echo", helper("echo.py", "serve", str(ECHO_PORT)))
        self.echo.wait_line("^ready$")
        self.names: Process = lab.dns({"vpn.example": [SERVER_ADDRESS]}, delay=0.5)
        self.service: Service = lab.supervisor(log_level=_LOG_LEVEL)

    @property
    def directory(self) -> Path:
        """Where the service has its directories."""
        return self.lab.service_directory

    @property
    def bus(self) -> Bus:
        return self.lab.bus

    def close(self) -> None:
        self.echo.stop()


def _alices(lab: Lab) -> str:
    lab.server(port=1195, pushes=(), subnet="198.19.0.0", subnet6="2001:db8:4::/64")
    return lab.profile(remotes=[f"{SERVER_ADDRESS} 1195"])


def _good(lab: Lab) -> list[str]:
    lab.server(pushes=())
    lab.server(protocol="tcp", port=1196, pushes=(), subnet="198.18.1.0", subnet6="2001:db8:5::/64")
    return [
        lab.profile(),
        lab.profile(protocol="tcp", remotes=[f"{SERVER_ADDRESS} 1196"]),
        lab.profile(remotes=["vpn.example 1194"]),
    ]


def _grasping(lab: Lab) -> list[str]:
    texts = []
    for number, pushes in enumerate((_TAKEN, _HALVES, _EIGHTS, _MANY, *((address,) for address in _ADDRESSES))):
        lab.server(
            port=1201 + number, pushes=pushes, pool=not pushes[0].startswith("ifconfig"),
            subnet=f"198.18.{2 + number}.0", subnet6=f"2001:db8:{10 + number}::/64",
            more=(f"local {_GRASPING_ADDRESS}",),
        )  # fmt: skip
        texts.append(lab.profile(remotes=[f"{_GRASPING_ADDRESS} {1201 + number}"]))
    return texts
