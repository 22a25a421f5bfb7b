"""Kinds of values of options: how each is written on the command line and in a file (TOML), and what it is then.

All readers raise ValueError, whose text says what is wrong.
"""

import math
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

import msgspec

from .. import device_names
from ..limits import MAX_LOCK_NETWORKS
from ..profile.pkcs11 import MAX_PROVIDERS, Provider, parse_provider
from ..rights import parse_who
from ..sandbox import layers

_LOWEST_SESSION_UID = 1000  # below are system accounts
_HIGHEST_UID = 2**32 - 3  # the last two mean "nobody given" to various system calls
_TOO_MANY = 1_000_000  # minutes or seconds

_TEXTS = 'a text in quotation marks, or a list of such: ["…", "…"]'
_SHOWN = {"flag": "true or false", "number": "a number, without quotation marks", "text": "a text in quotation marks"}


class Kind(msgspec.Struct, frozen=True):
    """What an option takes: `read` makes its value of a text, or with `form` list of several."""

    form: Literal["flag", "number", "text", "list"]
    read: Callable[[Any], Any]
    separator: str = ","  # of several on the command line; "": the option is repeated there
    place: bool = False  # a path: in files a full one

    def of_text(self, text: str) -> Any:
        """The value of an option that the command line has."""
        if not text:
            # Most likely of an unset variable; it would mean the working directory, or no log.
            raise ValueError("it is empty")
        if self.form != "list":
            return self.read(text)
        return self.read(text.split(self.separator) if self.separator else [text])

    def of_toml(self, value: Any) -> Any:
        """The value of a key that a file has."""
        if self.form == "flag":
            if not isinstance(value, bool):
                raise ValueError(f"it is {_SHOWN[self.form]}")
            return value
        if self.form == "list" and isinstance(value, list):
            if not all(isinstance(one, str) for one in value):
                raise ValueError(f"it is {_TEXTS}")
            return self.read(value)
        wanted = (int, float) if self.form == "number" else (str,)
        if type(value) not in wanted:
            raise ValueError(f"it is {_SHOWN.get(self.form, _TEXTS)}")
        if self.place and not value.startswith(("/", "stdout:")):
            raise ValueError(f"{value[:64]!r} is not a full path: it begins with /")
        return self.of_text(str(value))


def _number(text: str, *, lowest: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not lowest <= value < _TOO_MANY:
        raise ValueError(f"{text[:64]!r} is not a number from {lowest:g} to {_TOO_MANY - 1}")
    return value


def _whole(numbers: range) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) < 11 and int(text) in numbers):
            raise ValueError(f"{text[:64]!r} is not a number from {numbers[0]} to {numbers[-1]}")
        return int(text)

    return read


def _bit(text: str) -> int:
    try:
        mark = int(text, 0)
    except ValueError:
        mark = 0
    if not 0 < mark < 2**32 or mark.bit_count() != 1:
        raise ValueError(f"{text[:64]!r} is not a mark with one bit of 32, as 0x10000000")
    return mark


def _uids(text: str) -> range:
    first, _, last = text.partition("-")
    try:
        ids = range(int(first), int(last) + 1)
    except ValueError:
        ids = range(0)
    # The first one is the resolver's.
    if len(ids) < 2 or ids.start < _LOWEST_SESSION_UID or ids.stop > _HIGHEST_UID + 1:
        raise ValueError(
            f"{text[:64]!r} is not FIRST-LAST with two ids or more from {_LOWEST_SESSION_UID} to {_HIGHEST_UID}"
        )
    return ids


def _providers(texts: Sequence[str]) -> tuple[Provider, ...]:
    providers = tuple(map(parse_provider, texts))
    names = [provider.name for provider in providers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{twice[0]!r} is listed more than once")
    if len(providers) > MAX_PROVIDERS:
        raise ValueError(f"there are more than {MAX_PROVIDERS} providers")
    return providers


def _networks(texts: Sequence[str]) -> tuple[str, ...]:
    networks = tuple(dict.fromkeys(map(_network, texts)))
    if len(networks) > MAX_LOCK_NETWORKS:
        raise ValueError(f"{len(networks)} networks are more than {MAX_LOCK_NETWORKS}")
    return networks


def _network(text: str) -> str:
    network = ip_network(text)
    if not network.prefixlen:
        raise ValueError(f"{text} is everything")
    return str(network)


def whole(numbers: range) -> Kind:
    """A number among these."""
    return Kind("number", _whole(numbers))


def mebibytes(numbers: range) -> Kind:
    """A size in MiB among these; the value is in bytes."""
    return Kind("number", lambda text: _whole(numbers)(text) * 2**20)


def choice(*words: str) -> Kind:
    """One of these words."""

    def read(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text[:64]!r} is not {', '.join(words[:-1])} or {words[-1]}")
        return text

    return Kind("text", read)


FLAG = Kind("flag", bool)
TEXT = Kind("text", str, place=True)
PATH = Kind("text", lambda text: Path(text).absolute(), place=True)
MINUTES = Kind("number", lambda text: _number(text, lowest=0) * 60)
SECONDS = Kind("number", lambda text: _number(text, lowest=1))
GRACE = Kind("number", lambda text: _number(text, lowest=0))
BIT = Kind("number", _bit)
UIDS = Kind("text", _uids)
LAYERS = Kind("list", lambda names: layers.parse(",".join(names)))
DEVICE_NAMES = Kind("list", lambda patterns: device_names.parse(",".join(patterns)))
WHO = Kind("list", parse_who)
NETWORKS = Kind("list", _networks)
PROVIDERS = Kind("list", _providers, separator="")
