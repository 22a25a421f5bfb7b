"""Who has which addresses and routes: what a session asks for, checked against the other sessions and the machine.

Pure logic.  Whoever comes first keeps what it has:

- An address that another session, the machine or a name server has ends the session that asks for it (Conflict).
- A route into the machine's own networks, or around a name server, is left out.
- A route past the tunnel goes as the machine would send by itself; it takes nothing out of another session's tunnel.
- A route into a network of another user's session, one that this user's other session has, and one around another
  session's VPN server are pending: set as soon as the other session no longer stands in the way.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from itertools import islice

import msgspec
from msgspec.structs import replace

from ...policy import redirect as redirection
from ...policy.limits import MAX_NETWORK_WARNINGS
from ...policy.network import NetworkSettings, is_private, public_size, requested_networks, server_address
from ..errors import SystemFailure
from .claim import Claim, Past, too_much_public
from .claim_register import ClaimRegister
from .device_routes import DeviceRoute, wanted
from .prefixes import Host, Prefix, PrefixMap
from .surroundings import Machine, Surroundings


class Conflict(SystemFailure):
    """A session asks for what it cannot have; the text names the rule, `note` the other session, for root only."""

    def __init__(self, text: str, note: str = "") -> None:
        super().__init__(text)
        self.note = note


class Decision(msgspec.Struct):
    """What a session gets of what it asked for."""

    addresses: tuple[Host, ...]
    warnings: list[str]
    notes: list[str]  # with names of other sessions, for root only


class Claims:
    """What all sessions have, and what they wait for."""

    def __init__(self, *, public_networks: bool = True) -> None:
        """Without `public_networks`, sessions get private addresses and routes only."""
        self.public_networks = public_networks  # may be changed at any time
        self._claims = ClaimRegister()
        self._routed = PrefixMap()
        self._pending: dict[tuple[str, DeviceRoute], Prefix] = {}  # by device, in the order of requests
        self._past = Counter[str]()  # routes past the tunnel, by device
        self._postponed = set[tuple[str, DeviceRoute]]()  # of those, what somebody else's route keeps from being set
        self._machine = Machine()
        self._surroundings = Surroundings(self._machine)
        self._given_up = False  # what may have stood in somebody's way, since it was looked at what is pending

    def request(self, device: str, session: str, owner: int, settings: NetworkSettings, machine: Machine) -> Decision:
        """Take what `settings` ask for, in place of what the device's session had; raises Conflict, changing nothing.

        `settings` are known to be acceptable by themselves (policy/network.py).
        """
        self._see(machine)
        mine = self._claims.get(device) or Claim(session, owner)
        warnings: list[str] = []
        addresses, peers = self._hosts(device, mine, settings, warnings)
        public = public_size(requested_networks(settings)) if self.public_networks else {}
        if problem := too_much_public(public, self._claims.others(device, owner)):
            raise Conflict(problem)

        server = Host.of(server_address(settings.server))
        notes = []
        if through := self._way_to(device, server):
            network, other = through
            warnings.append(
                f"the VPN server {server} is reached through another session's tunnel, by its route {network}"
            )
            notes.append(f"the VPN server {server} is reached through {other.name}")
        redirected = redirection.versions(settings.redirect) if settings.redirect else frozenset()
        for other in self._past_others(owner, redirected):
            warnings.append(f"another user's session has routes past the tunnel ({other.past.routes})")
            notes.append(f"{other.past.routes} routes of {other.name} go past its tunnel")
        had = {(prefix, route.way is not None) for route, prefix in mine.routes.items()}
        routes: dict[DeviceRoute, Prefix] = {}
        pending: dict[tuple[str, DeviceRoute], Prefix] = {}
        going_past = Past()
        for route, prefix, past in wanted(settings, addresses):
            if past and self._surroundings.attached(prefix):
                continue  # no tunnel gets it, so it goes past them all
            if past:
                route = replace(route, way=self._surroundings.way_past(prefix))
                reason = self._never_past(device, owner, route, going_past)
            else:
                reason = self._never(owner, prefix)
            if reason:
                warnings.append(f"route {prefix}{' past the tunnel' * past} is left out: {reason}")
            elif (prefix, past) not in had and (obstacle := self._obstacle(device, owner, prefix, past=past)):
                reason, other = obstacle
                pending[device, route] = prefix
                warnings.append(f"route {prefix} is pending: {reason}")
                notes.append(f"route {prefix} waits for {other.name}")
            else:
                routes[route] = prefix

        waited = [key for key in self._pending if key[0] == device]
        if mine.routes.keys() - routes.keys() or mine.redirected - redirected or mine.server not in (None, server):
            self._given_up = True
        self._drop_routes(device)
        self._claims.put(
            device,
            Claim(
                session, owner, server, frozenset(addresses), frozenset(peers), routes, public, going_past, redirected
            ),
        )
        for route, prefix in routes.items():
            self._hold(device, route, prefix)
        for key in waited:
            if key not in pending:
                del self._pending[key]
        self._pending |= pending  # those that waited before keep their places
        return Decision(tuple(addresses), _shortened(warnings), _shortened(notes))

    def routes(self, device: str) -> list[DeviceRoute]:
        """What its session may have set."""
        return list(self._claims[device].routes)

    @property
    def pending(self) -> bool:
        """Whether anybody waits for anything."""
        return bool(self._pending)

    @property
    def to_settle(self) -> bool:
        """Whether some of that may no longer be in anybody's way."""
        self._postponed &= self._pending.keys()
        return self.pending and (self._given_up or bool(self._postponed))

    def waits(self, device: str) -> Iterator[tuple[Prefix, str]]:
        """The routes that its session waits for, each with the reason; other requests may come between."""
        for key, prefix in [(key, prefix) for key, prefix in self._pending.items() if key[0] == device]:
            claim = self._claims.get(device)
            if claim is not None and key in self._pending:
                obstacle = self._obstacle(device, claim.owner, prefix, past=key[1].way is not None)
                yield prefix, obstacle[0] if obstacle else "the machine has another route to it"

    def rest(self, device: str) -> None:
        """Forget what the device's session has and waits for, but keep others off its server, where it may return."""
        self._drop_routes(device)
        if claim := self._claims.get(device):
            if claim.routes or claim.redirected:
                self._given_up = True
            self._claims.put(device, Claim(claim.session, claim.owner, claim.server))
            for key in [key for key in self._pending if key[0] == device]:
                del self._pending[key]

    def release(self, devices: Iterable[str]) -> None:
        """Forget these devices' sessions."""
        for device in devices:
            self.rest(device)
            if claim := self._claims.get(device):
                self._claims.remove(device)
                if claim.server is not None and not self._claims.is_server(claim.server):
                    self._given_up = True

    def postpone(self, device: str, route: DeviceRoute) -> None:
        """A route that was granted cannot be set, since somebody else's is there: it is pending again."""
        prefix = self._claims[device].routes.pop(route)
        self._let_go(device, route, prefix)
        self._pending[device, route] = prefix
        self._postponed.add((device, route))

    def settle(self) -> Iterator[tuple[str, DeviceRoute] | None]:
        """Grant what is pending and no longer in anybody's way: device and route, or None for each that is.

        Other requests may come between.
        """
        self._given_up = False
        for key, prefix in list(self._pending.items()):
            device, route = key
            claim = self._claims.get(device)
            past = route.way is not None
            if claim is None or key not in self._pending or self._obstacle(device, claim.owner, prefix, past=past):
                yield None
                continue
            del self._pending[key]
            claim.routes[route] = prefix
            self._hold(device, route, prefix)
            yield key

    @property
    def going_past(self) -> list[str]:
        """The devices of sessions that have routes past their tunnels."""
        return list(self._past)

    def follow(self, machine: Machine) -> None:
        """Have what goes past tunnels go as the machine sends by now; where it sends nowhere, as before."""
        self._see(machine)
        for claim in self._claims:
            claim.routes = {self._led_anew(route, prefix): prefix for route, prefix in claim.routes.items()}
        self._pending = {
            (device, self._led_anew(route, prefix)): prefix for (device, route), prefix in self._pending.items()
        }

    def _see(self, machine: Machine) -> None:
        if machine != self._machine:
            self._machine, self._surroundings = machine, Surroundings(machine)
            self._given_up = True

    def _led_anew(self, route: DeviceRoute, prefix: Prefix) -> DeviceRoute:
        way = self._surroundings.way_past(prefix) if route.way is not None else None
        return replace(route, way=way) if way is not None else route

    def _drop_routes(self, device: str) -> None:
        if claim := self._claims.get(device):
            for route, prefix in claim.routes.items():
                self._let_go(device, route, prefix)

    # What goes past a tunnel keeps nobody's routes away: others' more exact ones go before it, as before any of the
    # machine's.

    def _hold(self, device: str, route: DeviceRoute, prefix: Prefix) -> None:
        if route.way is None:
            self._routed.add(prefix, device)
        else:
            self._past[device] += 1

    def _let_go(self, device: str, route: DeviceRoute, prefix: Prefix) -> None:
        if route.way is None:
            self._routed.remove(prefix, device)
        elif self._past[device] == 1:
            del self._past[device]
        else:
            self._past[device] -= 1

    # The rules

    def _hosts(
        self, device: str, mine: Claim, settings: NetworkSettings, warnings: list[str]
    ) -> tuple[list[Host], list[Host]]:
        """The addresses of its own, and those of the other ends.  Raises Conflict."""
        addresses: dict[Host, None] = {}
        peers: dict[Host, None] = {}
        for one in settings.addresses:
            local = Host.of(ip_address(one.local))
            if not self.public_networks and not is_private(local.version, local.number, local.number):
                warnings.append(f"address {local} is left out: {_NO_PUBLIC}")
                continue
            if local not in mine.addresses:
                self._check_host("address", device, local)
            addresses[local] = None
            if one.peer is not None:
                peer = Host.of(ip_address(one.peer))
                if peer not in mine.peers:
                    self._check_host("peer", device, peer)
                peers[peer] = None
        if settings.addresses and not addresses:
            raise Conflict(warnings[-1])
        return list(addresses), list(peers)

    def _check_host(self, what: str, device: str, host: Host) -> None:
        for claim in self._claims.with_host(device, host):
            # Users of one VPN may have the same other end.
            if host in claim.addresses or (host in claim.peers and what == "address"):
                raise Conflict(f"{what} {host}: another session has it", f"{what} {host} belongs to {claim.name}")
            if host == claim.server:
                text = f"{what} {host}: it is the address of another session's VPN server"
                raise Conflict(text, f"{what} {host} is the VPN server of {claim.name}")
        if reason := self._surroundings.host_problem(host):
            raise Conflict(f"{what} {host}: {reason}")

    def _never(self, owner: int, prefix: Prefix) -> str:
        """Why a session of `owner` does not get a route however long it waits; "" if it may."""
        if not self.public_networks and not is_private(prefix.version, prefix.first, prefix.last):
            return _NO_PUBLIC
        return self._surroundings.route_problem(prefix, administrator=owner == 0)

    def _never_past(self, device: str, owner: int, route: DeviceRoute, past: Past) -> str:
        """The same of a route past the tunnel; if it may, it is counted."""
        if route.way is None:
            return "this machine has no route by which it would send there"
        return past.count(route, [claim.past for claim in self._claims.others(device, owner)])

    def _past_others(self, owner: int, versions: frozenset[int]) -> list[Claim]:
        """The other users' sessions of which something of these versions of IP goes past their tunnels."""
        others = [claim for claim in map(self._claims.__getitem__, self._past) if claim.owner != owner]
        return [claim for claim in others if any(route.way and route.version in versions for route in claim.routes)]

    def _way_to(self, device: str, server: Host) -> tuple[Prefix, Claim] | None:
        """The route of another session by which this machine sends to `server`, if it does."""
        ways = [(taken, holder) for taken, holder in self._routed.covering(Prefix.alone(server)) if holder != device]
        best, holder = max(ways, key=lambda way: way[0].length, default=(None, ""))
        if best is None or not self._surroundings.captures(best, server):
            return None
        return best, self._claims[holder]

    def _obstacle(self, device: str, owner: int, prefix: Prefix, *, past: bool) -> tuple[str, Claim] | None:
        """Why a route has to wait, and for whom."""
        for taken, holder in self._routed.covering(prefix):
            if holder == device:
                continue
            claim = self._claims[holder]
            if claim.owner != owner:
                return f"it lies in {taken}, which another user's session has", claim
            if taken == prefix:
                return "another session of the same user has it", claim
        if past:
            others = (claim for claim in self._claims if claim.owner != owner)
            has_all = next((claim for claim in others if prefix.version in claim.redirected), None)
            return ("another user's session has the default route", has_all) if has_all else None
        servers = self._claims.servers
        for server, holder in islice(servers, bisect_left(servers, (Host(prefix.version, prefix.first), "")), None):
            if not prefix.covers(server):
                break
            if holder != device and self._surroundings.captures(prefix, server):
                return f"it covers {server}, the VPN server of another session", self._claims[holder]
        return None


_NO_PUBLIC = "this service makes tunnels to private networks only (--public-networks refuse)"


def _shortened(lines: list[str]) -> list[str]:
    if len(lines) <= MAX_NETWORK_WARNINGS:
        return lines
    kept = MAX_NETWORK_WARNINGS - 1
    return [*lines[:kept], f"{len(lines) - kept} more like these"]
