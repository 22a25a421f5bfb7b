"""What a worker may report of its engine and server: one check for both sides.

The worker fails its session, with the reason, rather than report anything else; the supervisor kills a worker that
does.
"""

import re
from collections.abc import Sequence
from enum import Enum
from ipaddress import ip_address

from .dbus_numbers import HTTP_PROXIED
from .limits import MAX_ALGORITHM, MAX_NOTICE, MAX_NOTICES, MAX_QUESTION, MAX_URL

_WEB_PAGE = re.compile(r"https?://[^\s/?#]\S*", re.IGNORECASE)
_ALGORITHM = re.compile(r"[A-Za-z0-9._ :+-]*")
_MAX_HOST = 253  # characters of a host name (RFC 1035)


class About(Enum):
    """What a worker's notices, of things left out or changed, are about; new ones replace those about the same."""

    PROFILE = "profile"
    CONNECTION = "connection"


def as_notices(texts: Sequence[str]) -> tuple[str, ...]:
    """As much of `texts` as may be reported as notices."""
    kept = [text[:MAX_NOTICE] for text in texts[:MAX_NOTICES]]
    if len(texts) > MAX_NOTICES:
        kept[-1] = f"{len(texts) - MAX_NOTICES + 1} more: see the log of the session"
    return tuple("".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in one) for one in kept)


def are_notices(texts: Sequence[str]) -> bool:
    """Whether a user may be shown these as notices."""
    return len(texts) <= MAX_NOTICES and all(len(text) <= MAX_NOTICE and text.isprintable() for text in texts)


def is_web_page(url: str) -> bool:
    """Whether a user may be asked to open `url`."""
    return len(url) <= MAX_URL and url.isprintable() and _WEB_PAGE.fullmatch(url) is not None


def is_question(name: str, label: str) -> bool:
    """Whether a user may be asked a question with this label, which front-ends recognise by this name."""
    return name.isidentifier() and len(label) <= MAX_QUESTION and label.isprintable()


def is_address(text: str) -> bool:
    """Whether an engine can talk to that address; none has a scope."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def is_endpoint(proto: str, address: str, port: int, name: str) -> bool:
    """Whether an engine can be connected to that; a proxy may be all that knows the address, which then is a name."""
    return (
        proto in ("udp", "tcp", *HTTP_PROXIED.values())
        and _is_host_name(address)
        and 0 < port < 65536
        and _is_host_name(name)
    )


def is_algorithm(name: str) -> bool:
    """Whether a user may be shown this as the name of a cipher, or of a version of TLS with a cipher."""
    return len(name) <= MAX_ALGORITHM and _ALGORITHM.fullmatch(name) is not None


def are_gateways(addresses: Sequence[str]) -> bool:
    """Whether these are addresses, at most one for each version of IP."""
    try:
        versions = [ip_address(one).version for one in addresses]
    except ValueError:
        return False
    return len(versions) == len(set(versions)) and not any("%" in one for one in addresses)


def _is_host_name(text: str) -> bool:
    return 0 < len(text) <= _MAX_HOST and text.isascii() and text.isprintable()
