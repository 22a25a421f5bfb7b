"""Who has which names looked up by its name servers: what a session asks for, checked against the other sessions.

Pure logic.  Whoever comes first keeps what it has:

- A domain that lies in one of another user's session waits until that session no longer has it.
- So does a domain that another session of the same user has: two name servers for the same names, and who answers
  first is believed.

The domain of all names (policy/dns.py: EVERYTHING) is one like the others, so one session at a time has it.
"""

from collections.abc import Iterable

import msgspec

from ...policy.dns import EVERYTHING, DnsSettings, within


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
    """What one session asks for and has; known by its device."""

    session: str
    owner: int
    wanted: DnsSettings
    has: frozenset[str] = frozenset()


class NameClaims:
    """What all sessions have, and what they wait for."""

    def __init__(self) -> None:
        self._claims: dict[str, _Claim] = {}  # by device, in the order of requests

    def request(self, device: str, session: str, owner: int, wanted: DnsSettings) -> Grant:
        """Take what `wanted` asks for, in place of what the device's session had."""
        before = self._claims.get(device)
        claim = _Claim(session, owner, wanted, before.has if before else frozenset())
        self._claims[device] = claim
        return self._grant(device, claim)

    def again(self) -> list[tuple[str, Grant]]:
        """Grant what no longer stands in anybody's way: the devices whose sessions have more than before."""
        more = []
        for device, claim in self._claims.items():
            before = claim.has
            if before != _asked(claim.wanted):
                grant = self._grant(device, claim)
                if claim.has != before:
                    more.append((device, grant))
        return more

    def release(self, device: str) -> None:
        """Forget the device's session."""
        self._claims.pop(device, None)

    def _grant(self, device: str, claim: _Claim) -> Grant:
        waits, notes, has = [], [], set[str]()
        for domain in sorted(_asked(claim.wanted)):
            if domain not in claim.has and (obstacle := self._obstacle(device, claim.owner, domain)):
                reason, other = obstacle
                names = "for all names" if domain == EVERYTHING else f"for names in {domain}"
                waits.append((f"name servers {names}", reason))
                notes.append(f"name servers {names} wait for session {other.session} of user {other.owner}")
            else:
                has.add(domain)
        claim.has = frozenset(has)
        return Grant(_limited(claim.wanted, has), tuple(waits), tuple(notes))

    def _obstacle(self, device: str, owner: int, domain: str) -> tuple[str, _Claim] | None:
        """Why a domain has to wait, and for whom."""
        for holder, claim in self._claims.items():
            if holder == device:
                continue
            for taken in claim.has:
                if claim.owner != owner and within(domain, taken):
                    return "another user's session has them", claim
                if domain.lower() == taken.lower():
                    return "another session of the same user has them", claim
        return None


def _asked(settings: DnsSettings) -> frozenset[str]:
    return frozenset((*settings.domains, *((EVERYTHING,) if settings.everything else ())))


def _limited(settings: DnsSettings, has: Iterable[str]) -> DnsSettings:
    kept = set(has)
    return msgspec.structs.replace(
        settings,
        search=tuple(one for one in settings.search if one in kept),
        routing=tuple(one for one in settings.routing if one in kept),
        everything=EVERYTHING in kept,
    )
