"""What a worker may request for looking up names: name servers, and the domains that they are for.

The supervisor refuses settings that break these rules (`problem`); the worker leaves out what does, and logs that.
systemd-resolved, which gets them, would accept other texts as well.
"""

import re
from ipaddress import ip_address
from typing import Literal

import msgspec

from .limits import MAX_DNS_DOMAINS, MAX_NAME_SERVERS

BackEnd = Literal["auto", "resolved", "resolvconf", "file", "none"]  # what sets name servers on a machine
# What a helper that is root sets them with; "": there is none.
NameSetter = Literal["", "file", "openresolv", "resolvconf", "resolvectl"]

# What systemd-resolved calls them, "" for what it has by itself.
DNSSEC_MODES = {"yes": "yes", "optional": "allow-downgrade", "no": "no", "": ""}
EVERYTHING = "."  # the domain that all names are in
# The first line of what is ours in resolv.conf.
MARK = "# openvpn3-sessionmgr: the name servers of a VPN session; those that were here follow as comments"

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE | re.ASCII)
_MAX_IN_FILE = 3  # name servers that resolv.conf(5) has any effect of
_MAX_NAME = 253  # characters of a domain (RFC 1035), without a dot at its end


class NameServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """One name server."""

    address: str  # "198.18.0.1" or "2001:db8::1"
    port: int = 0  # 0: the usual one
    sni: str = ""  # name in its certificate (DNS over TLS); "": it is not checked by a name

    @property
    def text(self) -> str:
        """Address, and port if it is given, as in openvpn(8), `--dns`."""
        if not self.port:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class DnsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name servers for this machine, while the session is connected."""

    servers: tuple[NameServer, ...]  # at least one, the first to be asked first
    search: tuple[str, ...] = ()  # domains, also appended to names without a dot
    routing: tuple[str, ...] = ()  # domains that are only looked up with these servers
    everything: bool = True  # all names are looked up with these servers, not only those in the domains
    over_tls: bool = False
    dnssec: Literal["", "yes", "optional", "no"] = ""  # "": as the machine has it

    @property
    def only_routed(self) -> tuple[str, ...]:
        """Domains that are not searched; all names are one."""
        every = (EVERYTHING,) if self.everything else ()
        return tuple(one for one in (*self.routing, *every) if one not in self.search)

    @property
    def domains(self) -> tuple[str, ...]:
        """All domains, each once."""
        return tuple(dict.fromkeys((*self.search, *self.routing)))


def usable_in_file(settings: DnsSettings) -> list[str]:
    """The addresses of those name servers that resolv.conf(5) has room for."""
    return [server.address for server in settings.servers][:_MAX_IN_FILE]


def problem(settings: DnsSettings) -> str:
    """Why name servers and domains are not permitted; "" if they are."""
    if not 0 < len(settings.servers) <= MAX_NAME_SERVERS:
        return f"{len(settings.servers)} name servers are not between 1 and {MAX_NAME_SERVERS}"
    if len(settings.search) + len(settings.routing) > MAX_DNS_DOMAINS:
        return f"{len(settings.search) + len(settings.routing)} domains are more than {MAX_DNS_DOMAINS}"
    for server in settings.servers:
        if reason := server_problem(server):
            return f"name server {server.address[:64]!r}: {reason}"
    if EVERYTHING in settings.search:
        return "the domain of all names is no domain to search"
    for domain in settings.domains:
        if not is_domain(domain):
            return f"{domain[:64]!r} is not a domain"
    return ""


def server_problem(server: NameServer) -> str:
    """Why a name server is not permitted; "" if it is."""
    try:
        address = ip_address(server.address)
    except ValueError:
        return "is not an address"
    # Whoever asks it is the machine, and what it asks may be something else than a name server.
    inner = (address.version == 6 and address.ipv4_mapped) or address
    if inner.is_loopback or inner.is_unspecified or inner.is_multicast or inner.is_link_local or "%" in server.address:
        return "is an address of this machine, or of nobody in particular"
    if not 0 <= server.port <= 65535:
        return "has an impossible port"
    if server.sni and not (is_domain(server.sni) and server.sni != EVERYTHING):
        return f"{server.sni[:64]!r} is not a name"
    return ""


def is_domain(text: str) -> bool:
    """Whether `text` is a domain as name servers know it (letters, digits, "-", "_"), or that of all names."""
    return text == EVERYTHING or (len(text) <= _MAX_NAME and all(_LABEL.fullmatch(label) for label in text.split(".")))
