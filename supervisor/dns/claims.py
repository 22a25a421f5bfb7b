"""Who has which names looked up by its name servers: what a session asks for, checked against the other sessions.

Pure logic.  Whoever comes first keeps what it has:

- A domain that lies in one of another user's session waits until that session no longer has it.
- So does a domain that another session of the same user has: two name servers for the same names, and who answers
  first is believed.

The domain of all names (policy/dns.py: EVERYTHING) is one like the others, so one session at a time has it.
"""

from collections.abc import Container, Iterable, Iterator

import msgspec

from ...policy.dns import EVERYTHING, DnsSettings


class Grant(msgspec.Struct, frozen=True):
    """What a session has of what it asked for."""

    settings: DnsSettings
    waits: tuple[tuple[str, str], ...] = ()  # what it does not have yet, each with the reason
    notes: tuple[str, ...] = ()  # with names of other sessions, for root only

    @property
    def usable(self) -> bool:
        """Whether there is something to set: not if all that is asked for waits."""
        return self.settings.everything or bool(self.settings.domains) or not self.waits

    @property
    def warnings(self) -> tuple[str, ...]:
        """The same for the session's user."""
        return tuple(f"the tunnel's {what} are pending: {reason}" for what, reason in self.waits)


class _Claim(msgspec.Struct):
    """What one session asks for and has; known by its device.  Its domains are in lower case."""

    session: str
    owner: int
    wanted: DnsSettings
    held: set[str]  # nobody else gets these; they may be more than it asks for now
    waits: dict[str, str] = {}  # what it asks for and does not have: the domain in its way


class NameClaims:
    """What all sessions have, and what they wait for."""

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}  # by device, in the order of requests
        self._holders: dict[str, str] = {}  # by domain: the device
        self._free = set[str]()  # domains given up since `again`

    def request(self, device: str, session: str, owner: int, wanted: DnsSettings) -> Grant:
        """Take what `wanted` asks for, in place of what the device's session had: that is kept until `give_up`."""
        before = self._claims.get(device)
        claim = _Claim(session, owner, wanted, before.held if before else set())
        self._claims[device] = claim
        self._take(device, claim)
        return self._granted(claim)

    def give_up(self, device: str) -> None:
        """What the device's session no longer asks for is not set any more: others may have it."""
        if claim := self._claims.get(device):
            self._let_go(claim, claim.held - _asked(claim.wanted))

    def release(self, device: str) -> None:
        """Forget the device's session."""
        if claim := self._claims.pop(device, None):
            self._let_go(claim, frozenset(claim.held))

    def again(self) -> list[tuple[str, Grant]]:
        """Grant what no longer stands in anybody's way: the devices whose sessions have more than before."""
        free, self._free = self._free, set()
        return [
            (device, self._granted(claim))
            for device, claim in self._claims.items()
            if not free.isdisjoint(claim.waits.values()) and self._take(device, claim)
        ]

    def _let_go(self, claim: _Claim, domains: Iterable[str]) -> None:
        for domain in domains:
            claim.held.discard(domain)
            del self._holders[domain]
            self._free.add(domain)

    def _take(self, device: str, claim: _Claim) -> bool:
        """Take all that stands in nobody's way; whether that is more than before."""
        claim.waits = {}
        more = False
        for domain in sorted(_asked(claim.wanted) - claim.held):
            if obstacle := self._obstacle(device, claim.owner, domain):
                claim.waits[domain] = obstacle
            else:
                claim.held.add(domain)
                self._holders[domain] = device
                more = True
        return more

    def _obstacle(self, device: str, owner: int, domain: str) -> str:
        """The domain for which this one has to wait; "" if it need not."""
        for taken in _with_those_above(domain):
            holder = self._holders.get(taken, device)
            if holder != device and (taken == domain or self._claims[holder].owner != owner):
                return taken
        return ""

    def _granted(self, claim: _Claim) -> Grant:
        waits, notes = [], []
        for domain, taken in claim.waits.items():
            other = self._claims[self._holders[taken]]
            whose = "another user's session" if other.owner != claim.owner else "another session of the same user"
            names = "for all names" if domain == EVERYTHING else f"for names in {domain}"
            waits.append((f"name servers {names}", f"{whose} has them"))
            notes.append(f"name servers {names} wait for session {other.session} of user {other.owner}")
        return Grant(_limited(claim.wanted, claim.held), tuple(waits), tuple(notes))


def _with_those_above(domain: str) -> Iterator[str]:
    """The domain and all that it lies in, the widest last."""
    while domain != EVERYTHING:
        yield domain
        domain = domain.partition(".")[2] or EVERYTHING
    yield EVERYTHING


def _asked(settings: DnsSettings) -> frozenset[str]:
    domains = (domain.lower() for domain in settings.domains)
    return frozenset((*domains, *((EVERYTHING,) if settings.everything else ())))


def _limited(settings: DnsSettings, kept: Container[str]) -> DnsSettings:
    return msgspec.structs.replace(
        settings,
        search=tuple(one for one in settings.search if one.lower() in kept),
        routing=tuple(one for one in settings.routing if one.lower() in kept),
        everything=EVERYTHING in kept,
    )
