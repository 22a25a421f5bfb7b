"""Types of option values: one that is not valid, or cannot be sent over the bus, is an error of the command line."""

import math
import re

import click

from ..policy.limits import MAX_PASS

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}  # seconds
# "Valid Object Paths" of the D-Bus specification.
_OBJECT_PATH = re.compile(r"/|(/[A-Za-z0-9_]+)+")


def utf8(value: str) -> str:
    """Text that may be empty.  Raises BadParameter."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("It is not UTF-8.") from None
    return value


def text(value: str) -> str:
    """Text that is not empty: an empty value is most likely that of an unset variable.  Raises BadParameter."""
    return utf8(file(value))


def file(value: str) -> str:
    """Name of a file, in any encoding.  Raises BadParameter."""
    if not value:
        raise click.BadParameter("It is empty.")
    return value


def object_path(value: str) -> str:
    """A D-Bus path.  Raises BadParameter."""
    if not _OBJECT_PATH.fullmatch(text(value)):
        raise click.BadParameter(f"{value!r} is not a D-Bus path, like /net/openvpn/v3/….")
    return value


def seconds(value: str) -> float:
    """A duration above 0.  Raises BadParameter."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise click.BadParameter(f"{value!r} is not a number of seconds above 0.")
    return number


def duration(value: str) -> int:
    """Seconds, as 90, 90s, 5m or 1h, of which the kill switch may be lifted.  Raises BadParameter."""
    found = re.fullmatch(r"([0-9]{1,6})([smh]?)", value)
    number = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 1 <= number <= MAX_PASS:
        raise click.BadParameter(f"{value!r} is not a time as 90s or 5m, of {MAX_PASS // 60} minutes at most.")
    return number
