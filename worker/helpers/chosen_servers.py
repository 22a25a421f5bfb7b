"""Has getaddrinfo(3) in this process ask chosen name servers; all that comes before them in nsswitch.conf(5) counts.

By the state of the C library's resolver (resolver(3), resolv.h), which glibc lets a program set itself.
"""

import ctypes
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from ...kernel.libc import libc

_NSSWITCH = Path("/etc/nsswitch.conf")
_USUAL = "files dns"  # of hosts, where that file says nothing (nsswitch.conf(5))
_RESOLVED = "resolve"  # nss-resolve(8): asks systemd-resolved, which has name servers of its own
_DNS = "dns"
_PORT = 53
_MAX_SERVERS, _MAX_SEARCH = 3, 6  # MAXNS, MAXDNSRCH


class _Address4(ctypes.Structure):
    """struct sockaddr_in."""

    _fields_ = (
        ("family", ctypes.c_ushort),
        ("port", ctypes.c_ubyte * 2),
        ("address", ctypes.c_ubyte * 4),
        ("zero", ctypes.c_ubyte * 8),
    )


class _Address6(ctypes.Structure):
    """struct sockaddr_in6."""

    _fields_ = (
        ("family", ctypes.c_ushort),
        ("port", ctypes.c_ubyte * 2),
        ("flow", ctypes.c_uint32),
        ("address", ctypes.c_ubyte * 16),
        ("scope", ctypes.c_uint32),
    )


class _Extension(ctypes.Structure):
    """What struct __res_state has for name servers of IPv6."""

    _fields_ = (
        ("count", ctypes.c_ushort),
        ("map", ctypes.c_ushort * _MAX_SERVERS),
        ("sockets", ctypes.c_int * _MAX_SERVERS),
        ("counts", ctypes.c_ushort * 2),
        ("servers", ctypes.POINTER(_Address6) * _MAX_SERVERS),
    )


class _State(ctypes.Structure):
    """struct __res_state, as far as it is used."""

    _fields_ = (
        ("retrans", ctypes.c_int),
        ("retry", ctypes.c_int),
        ("options", ctypes.c_ulong),
        ("count", ctypes.c_int),
        ("servers", _Address4 * _MAX_SERVERS),
        ("id", ctypes.c_ushort),
        ("search", ctypes.c_char_p * (_MAX_SEARCH + 1)),
        ("default", ctypes.c_char * 256),
        ("pfcode", ctypes.c_ulong),
        ("ndots", ctypes.c_uint),
        ("sort_list", ctypes.c_uint32 * 20),
        ("hooks", ctypes.c_void_p * 2),
        ("error", ctypes.c_int),
        ("socket", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("extension", _Extension),
    )


def ask_only(servers: Sequence[str], search: Sequence[str]) -> None:
    """Have names looked up with these name servers ("192.0.2.1"), none: with none, and in these domains.

    For the rest of this process's life.  Raises OSError.
    """
    sources = " ".join(_without(_sources(), {_RESOLVED} if servers else {_RESOLVED, _DNS}))
    if libc.__nss_configure_lookup(b"hosts", sources.encode()):
        raise OSError("the C library does not take these sources of names")
    if libc.__res_init():
        raise OSError("the C library cannot read resolv.conf")
    get_state = libc.__res_state
    get_state.restype = ctypes.POINTER(_State)
    state = get_state().contents
    addresses = list(_addresses(servers))[:_MAX_SERVERS]
    for number, one in enumerate(addresses):
        if isinstance(one, _Address4):
            state.servers[number] = one
        else:
            state.servers[number].family = 0
            state.extension.servers[number] = ctypes.pointer(one)
    state.count = len(addresses)
    domains = [domain.encode() for domain in search][:_MAX_SEARCH]
    for number in range(_MAX_SEARCH + 1):
        state.search[number] = domains[number] if number < len(domains) else None
    _kept.append((state, addresses, domains))


_kept: list[object] = []  # what the C library points to


def _addresses(servers: Sequence[str]) -> Iterator[_Address4 | _Address6]:
    port = (ctypes.c_ubyte * 2)(*_PORT.to_bytes(2, "big"))
    for text in servers:
        bare, _, zone = text.partition("%")
        try:
            packed, scope = ip_address(bare).packed, socket.if_nametoindex(zone) if zone else 0
        except (ValueError, OSError):
            continue  # as the C library does
        if len(packed) == 4:
            yield _Address4(socket.AF_INET, port, (ctypes.c_ubyte * 4)(*packed))
        else:
            yield _Address6(socket.AF_INET6, port, 0, (ctypes.c_ubyte * 16)(*packed), scope)


def _sources() -> list[str]:
    """The words of the line of nsswitch.conf(5) for hosts."""
    try:
        lines = _NSSWITCH.read_text(encoding="latin-1").splitlines()
    except OSError:
        lines = []
    said = (line.partition("#")[0].strip() for line in lines)
    words = next((line[6:].split() for line in said if line.startswith("hosts:")), [])
    return words or _USUAL.split()


def _without(words: Sequence[str], sources: set[str]) -> Iterator[str]:
    """All but these sources, and what follows them in brackets."""
    left_out = in_brackets = False
    for word in words:
        if not in_brackets and not word.startswith("["):
            left_out = word in sources
        in_brackets = (in_brackets or word.startswith("[")) and not word.endswith("]")
        if not left_out:
            yield word
