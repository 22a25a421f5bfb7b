"""The options `route` and `route-ipv6`, as profiles have them and servers push them (openvpn(8))."""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

import msgspec

VPN_GATEWAY, NET_GATEWAY, REMOTE_HOST = KEYWORDS = ("vpn_gateway", "net_gateway", "remote_host")
ROUTE_OPTIONS = {"route": 4, "route-ipv6": 6}  # with the version of IP

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,253}")
_METRIC = re.compile(r"[0-9]{1,10}")
_DEFAULT = "default"  # as good as nothing


class RouteOption(msgspec.Struct, frozen=True):
    """One such option."""

    version: int  # of IP
    network: str  # an address, a host name or one of KEYWORDS
    length: int  # bits of the network
    gateway: str = ""  # the same; "": none was given
    metric: int | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The host names in it."""
        return tuple(one for one in (self.network, self.gateway) if one and one not in KEYWORDS and not address(one))

    def __str__(self) -> str:
        return f"{self.network}/{self.length}"


def address(text: str) -> IPv4Address | IPv6Address | None:
    """The address that `text` is, without a scope; None for anything else."""
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def read_route(words: tuple[str, ...]) -> RouteOption:
    """The route that an option asks for, name first; raises ValueError with what is wrong with it."""
    version = ROUTE_OPTIONS[words[0]]
    network, *rest = words[1:] or [""]
    if version == 4:
        mask, *rest = rest or [""]
        length = _length(mask)
    else:
        network, length = _network6(network)
    if len(rest) > 2:
        raise ValueError("it has too many parameters")
    gateway, metric, *_ = [*rest, "", ""]
    return RouteOption(
        version,
        _host(network, version),
        length,
        _host(gateway, version) if _given(gateway) else "",
        read_metric(metric) if _given(metric) else None,
    )


def read_metric(text: str) -> int:
    """A metric; raises ValueError."""
    if not _METRIC.fullmatch(text):
        raise ValueError(f"{text!a} is not a metric")
    return int(text)


def _given(text: str) -> bool:
    return text not in ("", _DEFAULT)


def _host(text: str, version: int) -> str:
    known = address(text)
    if known is not None and known.version != version:
        raise ValueError(f"{text} is not an IPv{version} address")
    if known is None and (not _NAME.fullmatch(text) or text == _DEFAULT):
        raise ValueError(f"{text!a} is neither an address nor a name")
    return text


def _length(mask: str) -> int:
    if not _given(mask):
        return 32
    given = address(mask)
    for length in range(33):
        if given == IPv4Address(0xFFFFFFFF >> (32 - length) << (32 - length)):
            return length
    raise ValueError(f"{mask!a} is not a netmask")


def _network6(text: str) -> tuple[str, int]:
    network, slash, bits = text.partition("/")
    length = int(bits) if bits.isascii() and bits.isdigit() and len(bits) < 4 else -1
    if not slash:
        length = 128
    if not address(network) or not 0 <= length <= 128:
        raise ValueError(f"{text!a} is not an IPv6 network")
    return network, length
