"""What the supervisor has to know of a profile before a worker compiles it: what that worker is made with."""

import re
from collections.abc import Iterable, Sequence

import msgspec

from ..pieces import Pieces
from .pkcs11 import OPTION, ListedProvider, asked_for
from .syntax import Option, ProfileTextError, decode, tokenizing

_PIECE = 64 * 1024  # bytes that are searched in a piece of work
_OVERLAP = 64
# Any "dev" that is followed by another word than tun.
_NAMED = re.compile(rb"""dev["']?[ \t\v\f]+(?!tun[ \t\v\f\r\n])""")


class Wanted(msgspec.Struct, frozen=True):
    """What a profile asks for."""

    providers: frozenset[int] = frozenset()  # numbers of PKCS#11 providers that can be used
    device: str = ""  # name of the tun device, "" for any


def wanted_by(profile: bytes, listed: Sequence[ListedProvider]) -> Pieces[Wanted]:
    """What `profile` asks for; nothing if it cannot be read, which compiling it tells."""
    if not (listed and OPTION.encode() in profile) and not (yield from _may_name_a_device(profile)):
        return Wanted()
    try:
        options = yield from tokenizing(decode(profile))
    except ProfileTextError:
        return Wanted()
    return Wanted(asked_for(options, listed), device_name(options))


def device_name(options: Iterable[Option]) -> str:
    """The name that a profile with these options gives to its tun device; "" for any, or if that is another device."""
    given = {option.name: option.params[0] for option in options if len(option.params) == 1}  # the last one counts
    name, kind = given.get("dev", ""), given.get("dev-type", "")
    if name == "tun" or (kind or ("tun" if name.startswith("tun") else "")) != "tun":
        return ""
    return name


def _may_name_a_device(profile: bytes) -> Pieces[bool]:
    for at in range(0, len(profile), _PIECE):
        if _NAMED.search(profile, at, at + _PIECE + _OVERLAP):
            return True
        yield
    return False
