"""Names that a profile may give to its device: firewalls, and other programs, trust devices by their names."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

DEFAULT = ("tun*",)

# Shorter than the kernel's IFNAMSIZ; without what would mean something in a path, a pattern or sysctl(8).
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,14}")
_PATTERN = re.compile(r"[A-Za-z0-9_*?-]{1,32}")
_TAKEN = ("all", "default", "lo")  # the first two are all devices, and new ones, in /proc/sys/net


def parse(text: str) -> tuple[str, ...]:
    """Patterns of names, as of a shell, with commas between.  Raises ValueError, whose text says what is wrong."""
    patterns = tuple(text.split(","))
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise ValueError(f"{pattern!r} is not a name of letters, digits, _ and -, or a pattern with * and ?")
    return patterns


def refusal(name: str, patterns: Sequence[str]) -> str:
    """Why no device may have this `name`, whether or not there is one; "" if one may."""
    if not _NAME.fullmatch(name) or name in _TAKEN:
        return "it is no name for a device"
    if not any(fnmatchcase(name, pattern) for pattern in patterns):
        return f"the administrator allows {', '.join(patterns)} (the service's option --device-names)"
    return ""
