"""What engine and server have agreed on, from the engine's log: nothing else tells of ciphers and handshakes.

The engine logs these lines at verb 1 and 2; the least that it runs with is 3 (downlink.py).
"""

import re
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from ...ipc.messages import Negotiated
from ...policy.reports import is_algorithm

# "Control Channel: TLSv1.3, cipher TLSv1.3 TLS_AES_256_GCM_SHA384, peer certificate: …": with every exchange of keys
_CONTROL = re.compile(r"Control Channel: (?P<version>[^,]+), cipher (?:[^, ]+ )?(?P<cipher>[^, ]+)")
# "Data Channel: cipher 'AES-256-GCM', peer-id: 0", or before 2.6 "Outgoing Data Channel: Cipher 'AES-256-GCM' …"
_DATA = re.compile(r"(?:Outgoing )?Data Channel: [Cc]ipher '([^']+)'")
_NOTHING = Negotiated(0, "", "", ())


class Negotiation:
    """What is to be reported of it, when it has changed."""

    def __init__(self) -> None:
        self._now = self._told = _NOTHING

    def heard(self, text: str) -> None:
        """A line of the engine's log."""
        now = self._now
        if found := _CONTROL.match(text):
            tls = f"{found['version']} {found['cipher']}"
            self._now = Negotiated(int(time.time()), _shown(tls), now.cipher, now.gateways)
        elif found := _DATA.match(text):
            self._now = Negotiated(now.handshake, now.tls, _shown(found[1]), now.gateways)

    def device_up(self, gateways: Iterable[IPv4Address | IPv6Address]) -> None:
        """The device is set up anew: these are the tunnel's gateways, the default ones first."""
        first: dict[int, str] = {}
        for one in gateways:
            if "%" not in str(one):  # which names a device of the engine's
                first.setdefault(one.version, str(one))
        self._now = Negotiated(self._now.handshake, self._now.tls, self._now.cipher, tuple(first.values()))

    @property
    def has_news(self) -> bool:
        """Whether there is something to report."""
        return self._now != self._told

    def news(self) -> Negotiated | None:
        """All that is true now, if that has changed since it was asked for last."""
        if not self.has_news:
            return None
        self._told = self._now
        return self._now


def _shown(name: str) -> str:
    return name if is_algorithm(name) else ""
