"""What one session has, and how much one user's sessions may have together.  Pure."""

from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_network

import msgspec
from msgspec import field

from ...policy.limits import MAX_ROUTES_PAST
from ...policy.network import MAX_PUBLIC, public_size, too_public
from .device_routes import DeviceRoute
from .prefixes import Host, Prefix


class Past(msgspec.Struct):
    """What of one session goes past its tunnel."""

    routes: int = 0
    public: Counter[int] = field(default_factory=Counter)  # how many public addresses they lead to, by IP version

    def count(self, route: DeviceRoute, others: "Sequence[Past]") -> str:
        """Count one more route, or say why it is too much beside `others`, of the same user's other sessions.

        So nobody can keep more out of the tunnel of another user's later session than a tunnel could take, nor fill the
        machine's table.
        """
        if self.routes + sum(one.routes for one in others) >= MAX_ROUTES_PAST:
            return f"{MAX_ROUTES_PAST} such routes are the most of one user's sessions"
        version = route.version
        mine = self.public[version] + public_size([ip_network(route.destination)])[version]
        total = mine + sum(one.public[version] for one in others)
        if total > MAX_PUBLIC[version]:
            return f"with it, those of this user's sessions lead to {too_public(version, total)}"
        self.routes += 1
        self.public[version] = mine
        return ""


class Claim(msgspec.Struct):
    """What one session has; known by its device."""

    session: str
    owner: int
    server: Host | None = None
    addresses: frozenset[Host] = frozenset()
    peers: frozenset[Host] = frozenset()
    routes: dict[DeviceRoute, Prefix] = {}  # that are set, or about to be
    public: dict[int, int] = {}  # how many public addresses it reaches by its tunnel, by IP version
    past: Past = field(default_factory=Past)
    redirected: frozenset[int] = frozenset()  # versions of IP of which it asks for the default route

    @property
    def name(self) -> str:
        return f"session {self.session} of user {self.owner}"


def too_much_public(public: dict[int, int], others: Sequence[Claim]) -> str:
    """Why a session may not reach so many public addresses, by IP version, beside the same user's other sessions."""
    for version, size in public.items():
        if size and (total := size + sum(claim.public.get(version, 0) for claim in others)) > MAX_PUBLIC[version]:
            return f"the routes of this user's sessions lead to {too_public(version, total)}"
    return ""
