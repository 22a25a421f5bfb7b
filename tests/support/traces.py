"""That nothing is left of what is tried on the client's machine: all that tells of its network, before and after."""

import shutil
import time
from pathlib import Path

from ..lab.lab import Lab
from ..lab.network import ip
from ..lab.private_etc import OF_RESOLV_CONF
from ..lab.processes import DEADLINE, LabError

_BY_PROTOCOL = ("rule", "route show table all")
_OF_LINKS = ("dns", "domain", "default-route", "llmnr", "mdns", "dnsovertls", "dnssec", "nta")  # resolvectl(1)
_FILES = (Path("/run/systemd/resolve/netif"), Path("/run/resolvconf"))  # systemd-resolved's, resolvconf's

State = dict[str, list[str]]


class Traces:
    """What there was: of the kernel now, and of name servers when the first service is started."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        until = time.monotonic() + DEADLINE
        while _coming_up(before := self.kernel()) and time.monotonic() < until:
            pass
        self._kernel = before
        self._names: State = {}
        lab.before_services.append(self._note_names)

    def _note_names(self) -> None:
        self._names = self._names or self.names()

    def kernel(self) -> State:
        """Links, addresses, routes of all tables, rules, and the firewall's rules."""
        client = self._lab.client_side
        found = {what: _sorted(ip("-n", client.name, "-o", what)) for what in ("link", "address")}
        for version in ("-4", "-6"):
            found |= {
                f"{what} {version}": _sorted(ip("-n", client.name, version, *what.split())) for what in _BY_PROTOCOL
            }
        if shutil.which("nft"):
            found["nft"] = client.run(["nft", "--stateless", "list", "ruleset"]).stdout.splitlines()
        return found

    def names(self) -> State:
        """How names are looked up: by resolv.conf, resolvconf, systemd-resolved."""
        found = {"resolv.conf": [f"link to {OF_RESOLV_CONF.readlink()}"] if OF_RESOLV_CONF.is_symlink() else []}
        if OF_RESOLV_CONF.exists():
            found["resolv.conf"] += OF_RESOLV_CONF.read_text().splitlines()
        for place in _FILES:
            found[str(place)] = sorted(f"{one}: {one.read_text()}" for one in place.rglob("*") if one.is_file())
        resolver = self._lab.resolver
        if resolver is not None and resolver.running:
            found |= {what: resolver.ctl(what).splitlines() for what in _OF_LINKS}
        return found

    def check(self, *, names: bool = True) -> None:
        """End all services, and wait until everything is as before: some things go a moment after their cause."""
        for service in self._lab.started:
            if service.process.running():
                assert service.stop() == 0, service.log[-2000:]
        until = time.monotonic() + DEADLINE
        while (left := self.differences(names=names)) and time.monotonic() < until:
            pass
        assert not left

    def differences(self, *, names: bool) -> dict[str, tuple[list[str], list[str]]]:
        """By kind: what was there before and is not now, and the reverse."""
        try:
            now = self.kernel() | (self.names() if names and self._names else {})
        except (LabError, OSError):  # something went while it was listed
            return {"unknown": ([], [])}
        before = self._kernel | (self._names if names else {})
        return {
            kind: ([one for one in before[kind] if one not in rows], [one for one in rows if one not in before[kind]])
            for kind, rows in now.items()
            if kind in before and rows != before[kind]
        }


def _coming_up(state: State) -> bool:
    """Whether a link has a carrier that the rest of the kernel does not know of yet, such as local routes of IPv6."""
    return any("NO-CARRIER" in link and "LOWER_UP" in link for link in state["link"])


def _sorted(text: str) -> list[str]:
    """Lines, without what changes by itself: their order, how long addresses are good for, those of one link."""
    return sorted(line.split(" valid_lft")[0].rstrip() for line in text.splitlines() if "fe80" not in line)
