"""Overrides: settings of a profile's owner that replace those in its text, one row each.

Names and types are those of OpenVPN 3 Linux 27.1, whose front-ends refuse a profile with any other (what is ours alone
is in settings.py).  An empty text is the same as no override.  worker/profile/overrides.py applies them.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import msgspec

from ..limits import MAX_OVERRIDE

GOOGLE_DNS = ("8.8.8.8", "8.8.4.4")

_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
_INTEGERS = set("ynqiuxt")  # D-Bus types


class InvalidOverride(Exception):
    """An override that cannot be set; the text is that of OpenVPN 3 Linux, if it has one."""


class Override(msgspec.Struct, frozen=True):
    """One row: the D-Bus type of its value ("s" or "b"), what it does, and the values that a text may have."""

    type: str
    doc: str
    values: tuple[str, ...] = ()
    wanted: str = ""  # what else a text must be
    fits: Callable[[str], bool] = str.isprintable
    number: bool = False  # given as an integer, it is taken for the text of it
    secret: bool = False  # shown and kept with the profile only


def _is_host(text: str) -> bool:
    return _HOST.fullmatch(text) is not None


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65536


def _switch(doc: str) -> Override:
    return Override("b", doc)


def _choice(doc: str, values: str, number: bool = False) -> Override:
    return Override("s", doc, tuple(values.split()), number=number)


def _text(doc: str, *, secret: bool = False) -> Override:
    return Override("s", doc, wanted=f"a text of at most {MAX_OVERRIDE} bytes of printable characters", secret=secret)


def _host(doc: str) -> Override:
    return Override("s", doc, wanted="a host name or address", fits=_is_host)


def _port(doc: str) -> Override:
    return Override("s", doc, wanted="a port", fits=_is_port, number=True)


OVERRIDES: dict[str, Override] = {
    "server-override": _host("connect to this server instead of the profile's"),
    "port-override": _port("connect to this port instead of the profile's"),
    "proto-override": _choice(
        "use only servers of this protocol; if there are none, all servers with this protocol", "tcp udp"
    ),
    "ipv6": _choice("IPv6 in the tunnel: no rejects it, yes allows it even if the server does not", "yes no default"),
    "persist-tun": _switch("keep the device across reconnects"),
    "log-level": _choice("log level, instead of the profile's verb", "1 2 3 4 5 6", number=True),
    "dns-fallback-google": _switch("use Google's name servers if the server sends none"),
    "dns-setup-disabled": _switch("do not change the system's name servers"),
    "dns-scope": _choice(
        "names to look up with the tunnel's name servers: all, or only those in their domains", "global tunnel"
    ),
    "dns-sync-lookup": _switch("no effect, since no look-up delays another session"),
    "auth-fail-retry": _switch("treat a failed authentication as temporary"),
    "allow-compression": _choice("whether compression is allowed", "no asym yes"),
    "enable-legacy-algorithms": _switch("also offer old data ciphers"),
    "tls-version-min": _choice("minimum TLS version", "tls_1_0 tls_1_1 tls_1_2 tls_1_3"),
    "tls-cert-profile": _choice("required strength of certificates", "legacy preferred suiteb"),
    "proxy-host": _host("connect through this HTTP proxy instead of the profile's, at proxy-port"),
    "proxy-port": _port("port of proxy-host"),
    "proxy-username": _text("user name for proxy-host"),
    "proxy-password": _text("password for proxy-host", secret=True),
    "proxy-auth-cleartext": _switch("allow sending the password to proxy-host in clear text"),
    "enterprise-profile": _text("device posture checks, which are not supported: sessions do not start"),
    "automatic-restart": _choice("whether to restart a session whose worker or engine has died", "no on-failure"),
}

SECRET_OVERRIDES = frozenset(name for name, row in OVERRIDES.items() if row.secret)


def read(name: str, signature: str, value: Any) -> bool | str:
    """The value of override `name` that came over D-Bus with this type.  Raises InvalidOverride."""
    row = OVERRIDES.get(name)
    if row is None:
        raise InvalidOverride(f"Invalid override key '{name}'")
    if row.number and signature in _INTEGERS:
        signature, value = "s", str(value)
    if signature not in ("s", "b"):
        raise InvalidOverride(f"Unsupported override data type: {signature}")
    if signature != row.type:
        raise InvalidOverride(f"(SetOverride) Invalid override data type for '{name}': {signature}")
    if text := problem(name, value):
        raise InvalidOverride(text)
    return bool(value) if row.type == "b" else str(value)


def problem(name: str, value: bool | str) -> str:
    """What is wrong with the value of a known override; empty if nothing."""
    row = OVERRIDES[name]
    if isinstance(value, bool) != (row.type == "b"):
        return f"Invalid value for override '{name}': a {'switch' if row.type == 'b' else 'text'} is needed"
    if isinstance(value, bool) or not value:
        return ""
    if row.values:
        return (
            "" if value in row.values else f"Invalid value for override '{name}': it is one of {' '.join(row.values)}"
        )
    return (
        ""
        if len(value.encode("utf-8", "replace")) <= MAX_OVERRIDE and row.fits(value)
        else f"Invalid value for override '{name}': not {row.wanted}"
    )


class SessionOverrides(msgspec.Struct, frozen=True):
    """The overrides that the service applies itself, rather than to what the engine reads."""

    log_level: int | None = None  # 1 to 6
    retry_authentication: bool = False
    restart_on_failure: bool = False
    dns_setup: bool = True
    dns_scope: Literal["", "global", "tunnel"] = ""  # "": global, unless the server gives domains to route by
    dns_fallback: tuple[str, ...] = ()  # name servers to use if the server names none


def for_session(overrides: Mapping[str, bool | str]) -> SessionOverrides:
    """The overrides that the service applies itself; an invalid value counts as not set."""
    known = {name: value for name, value in overrides.items() if name in OVERRIDES and not problem(name, value)}
    level = known.get("log-level")
    return SessionOverrides(
        log_level=int(level) if level else None,
        retry_authentication=bool(known.get("auth-fail-retry")),
        restart_on_failure=known.get("automatic-restart") == "on-failure",
        dns_setup=not known.get("dns-setup-disabled"),
        dns_scope=cast(Literal["", "global", "tunnel"], known.get("dns-scope", "")),
        dns_fallback=GOOGLE_DNS if known.get("dns-fallback-google") else (),
    )
