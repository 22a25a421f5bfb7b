"""Name servers and domains, from the options of the profile and of the server's reply.

Not from the environment of the engine's device: OpenVPN 2.6 has them there, 2.7 does not.  The options are described
in openvpn(8), `--dns` and `--dhcp-option`; DOMAIN-ROUTE is of other clients.
"""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from typing import Literal

import msgspec

from ...policy.dns import EVERYTHING, DnsSettings, NameServer, is_domain, server_problem
from ...policy.limits import MAX_DNS_DOMAINS, MAX_NAME_SERVERS
from ...policy.profile.overrides import SessionOverrides

_PRIORITIES = range(-128, 128)  # of `dns server`, the lowest first
_DNSSEC: dict[str, Literal["yes", "optional", "no"]] = {"yes": "yes", "optional": "optional", "no": "no"}
_TRANSPORTS = {"plain": False, "dot": True}  # whether over TLS
_SERVERS = ("DNS", "DNS6")
_SEARCHED = ("DOMAIN", "DOMAIN-SEARCH", "ADAPTER_DOMAIN_SUFFIX")
_ROUTED = "DOMAIN-ROUTE"
_ABOUT_NAMES = (*_SERVERS, *_SEARCHED, _ROUTED)


class _Profile(msgspec.Struct):
    """The name servers of one `dns server` number, any of which knows the same names."""

    servers: list[tuple[str, int]] = []  # addresses and ports
    domains: list[str] = []
    over_tls: bool = False
    dnssec: Literal["", "yes", "optional", "no"] = ""
    sni: str = ""
    unusable: str = ""  # why


class _Reader:
    """What the options say, and what is wrong with them."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.profiles: dict[int, _Profile] = {}
        self.servers: list[str] = []  # of dhcp-option
        self.search: list[str] = []
        self.routing: list[str] = []

    def read(self, options: Iterable[Sequence[str]]) -> None:
        """Read the options of the profile, or of the server, whose word replaces the profile's."""
        fresh = set[int]()  # whose addresses are replaced by the next ones
        fresh.update(self.profiles)
        for name, *words in options:
            if name == "dhcp-option" and words:
                self._dhcp_option(words[0].upper(), words[1:])
            elif name == "dns" and words[:1] == ["search-domains"]:
                self.search += words[1:]
            elif name == "dns" and words[:1] == ["server"] and len(words) > 3:
                self._dns_server(words[1], words[2], words[3:], fresh)
            elif name == "dns":
                self.warnings.append(f"dns {' '.join(words)[:64]!r} is unknown: left out")

    def _dhcp_option(self, kind: str, values: list[str]) -> None:
        if kind in _SERVERS:
            self.servers += values
        elif kind in _SEARCHED:
            self.search += values
        elif kind == _ROUTED:
            self.routing += values
        else:
            self.warnings.append(f"dhcp-option {kind[:32]} has no effect on Linux: left out")

    def _dns_server(self, number: str, what: str, values: list[str], fresh: set[int]) -> None:
        try:
            priority = int(number)
        except ValueError:
            priority = 128
        if priority not in _PRIORITIES:
            self.warnings.append(f"dns server {number[:16]!r}: the number is not from -128 to 127: left out")
            return
        profile = self.profiles.setdefault(priority, _Profile())
        match what:
            case "address":
                if priority in fresh:
                    fresh.discard(priority)
                    profile.servers = []
                for value in values:
                    profile.servers.append(_address_and_port(value))
            case "resolve-domains":
                profile.domains += values
            case "dnssec" if values[0] in _DNSSEC:
                profile.dnssec = _DNSSEC[values[0]]
            case "transport" if values[0].lower() in _TRANSPORTS:
                profile.over_tls = _TRANSPORTS[values[0].lower()]
            case "transport":
                # In the clear they would tell everybody on the way what they were to hide.
                profile.unusable = f"transport {values[0][:16]!r} is not supported"
            case "sni":
                profile.sni = values[0]
            case _:
                self.warnings.append(f"dns server {number} {what[:32]!r} is unknown: left out")


def asked_for(options: Iterable[Sequence[str]]) -> bool:
    """Whether options of profile or server are about name servers or domains."""
    return any(
        name == "dns" or (name == "dhcp-option" and words and words[0].upper() in _ABOUT_NAMES)
        for name, *words in options
    )


def requested(
    profile: Iterable[Sequence[str]], pushed: Iterable[Sequence[str]], overrides: SessionOverrides
) -> tuple[DnsSettings | None, list[str]]:
    """The settings to ask for, if any, and a warning for each thing that is left out.

    `profile` and `pushed` have name and parameters of each option.
    """
    reader = _Reader()
    reader.read(profile)
    reader.read(pushed)
    warnings = reader.warnings
    chosen = _chosen(reader)
    if not overrides.dns_setup:
        asked = chosen.servers or reader.search or reader.routing
        return None, [*warnings, "name servers are left as they are (dns-setup-disabled)"] if asked else warnings
    servers = _servers(chosen, warnings)
    if not servers and overrides.dns_fallback:
        servers = [NameServer(address) for address in overrides.dns_fallback]
        warnings.append(f"no name server was given: {', '.join(overrides.dns_fallback)} (dns-fallback-google)")
    domains = [_domain(one) for one in (*reader.search, *reader.routing, *chosen.domains)]
    given = domains[: len(reader.search)], domains[len(reader.search) :]
    search, routing = (_usable(domains, warnings) for domains in given)
    search = [domain for domain in search if domain != EVERYTHING]
    if len(search) + len(routing) > MAX_DNS_DOMAINS:
        warnings.append(f"more than {MAX_DNS_DOMAINS} domains: the others are left out")
        search = search[:MAX_DNS_DOMAINS]
        routing = routing[: MAX_DNS_DOMAINS - len(search)]
    if not servers:
        if search or routing:
            warnings.append("domains without a name server are left out")
        return None, warnings
    scope = overrides.dns_scope
    everything = scope == "global" or EVERYTHING in routing or (not scope and not routing)
    if scope == "tunnel":
        everything = False
        if not search and not routing:
            warnings.append("the name servers are for nothing: dns-scope is tunnel, and no domain was given")
    settings = DnsSettings(
        servers=tuple(servers),
        search=tuple(search),
        routing=tuple(domain for domain in routing if domain != EVERYTHING),
        everything=everything,
        over_tls=chosen.over_tls,
        dnssec=chosen.dnssec,
    )
    return settings, warnings


def _chosen(reader: _Reader) -> _Profile:
    """The servers to use: of the first number that can be used, else those of dhcp-option."""
    for number, profile in sorted(reader.profiles.items()):
        if not profile.servers:
            continue
        if profile.unusable:
            reader.warnings.append(f"dns server {number} is left out: {profile.unusable}")
            continue
        return profile
    return _Profile(servers=[(address, 0) for address in dict.fromkeys(reader.servers)])


def _servers(chosen: _Profile, warnings: list[str]) -> list[NameServer]:
    found = []
    for address, port in chosen.servers:
        server = NameServer(address, port, chosen.sni)
        if reason := server_problem(server):
            warnings.append(f"name server {address[:64]!r} is left out: {reason}")
        else:
            found.append(server)
    if len(found) > MAX_NAME_SERVERS:
        warnings.append(f"more than {MAX_NAME_SERVERS} name servers: the others are left out")
    return found[:MAX_NAME_SERVERS]


def _usable(domains: Iterable[str], warnings: list[str]) -> list[str]:
    found = []
    for domain in dict.fromkeys(domains):
        if is_domain(domain):
            found.append(domain)
        else:
            warnings.append(f"{domain[:64]!r} is no domain: left out")
    return found


def _domain(text: str) -> str:
    """Without what some write before or after a domain."""
    return text.removeprefix("~").removesuffix(".") or EVERYTHING


def _address_and_port(text: str) -> tuple[str, int]:
    """ADDRESS, IPV4:PORT or [IPV6]:PORT; a port that is none is -1."""
    address, port = text, ""
    if text.startswith("["):
        address, _, port = text[1:].partition("]")
        if port and not port.startswith(":"):
            return address, -1
        port = port[1:]
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    try:
        address = str(ip_address(address))
    except ValueError:
        pass  # server_problem says so
    if not port:
        return address, 0 if ":" not in text[len(address) :] else -1
    return address, int(port) if port.isascii() and port.isdigit() and len(port) < 6 else -1
