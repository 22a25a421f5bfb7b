"""PKCS#11 providers: the modules that sessions may use, listed by the administrator.

A module is a shared library that is loaded into the engine, so a profile only chooses among those that are listed.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from .syntax import Option  # the service starts without it

MAX_PROVIDERS = 32  # a request for a worker has one bit for each
MAX_PATH = 200  # bytes; the engine reads lines of 254
OPTION = "pkcs11-providers"

_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"  # compiled when it is used: each service that starts imports this
_UNUSABLE = r"[\x00-\x1f\x7f\ud800-\udfff]"
_GROUP = "group="
_FORM = "NAME=MODULE[,PATH...][,group=GROUP]"

# Parts of every session's root directory: they can neither be added to it nor be kept out of it.
_IN_EVERY_ROOT = {
    *(
        "/",
        "/bin",
        "/dev",
        "/dev/net",
        "/etc",
        "/etc/hosts",
        "/etc/nsswitch.conf",
        "/lib",
        "/lib64",
        "/proc",
        "/providers",
    ),
    *("/run", "/run/hosts", "/run/management", "/run/profile", "/sbin", "/sys"),
    *("/usr", "/usr/bin", "/usr/lib", "/usr/lib64", "/usr/sbin", "/usr/sbin/openvpn"),
}
_LIBRARY_DIRECTORY = r"/(usr/)?lib/[^/]*-linux-gnu[^/]*"


class Provider(msgspec.Struct, frozen=True):
    """One module that the administrator lists."""

    name: str  # what profiles call it
    module: str  # path of the shared library
    paths: tuple[str, ...] = ()  # what else it needs: configuration, tokens' files, a socket's directory
    group: str = ""  # that may read these


class ListedProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker knows of a provider: enough to compile a profile that names it."""

    name: str
    module: str
    problem: str = ""  # why it cannot be used; empty: it can


def parse_provider(text: str) -> Provider:
    """Read `NAME=MODULE[,PATH...][,group=GROUP]`.  Raises ValueError, whose text says what is wrong."""
    name, _, rest = text.partition("=")
    if not re.fullmatch(_NAME, name) or not rest:
        raise ValueError(f"{text!r} is not {_FORM}, with a NAME of letters, digits, dots and dashes")
    words = rest.split(",")
    groups = [word.removeprefix(_GROUP) for word in words if word.startswith(_GROUP)]
    module, *paths = [word for word in words if not word.startswith(_GROUP)] or [""]
    for path in (module, *paths):
        _check_path(path)
    if len(groups) > 1 or groups == [""]:
        raise ValueError(f"{text!r} does not name one group")
    return Provider(name, module, tuple(paths), "".join(groups))


def _check_path(path: str) -> None:
    # PurePosixPath takes away doubled slashes, "." and a slash at the end, but leaves ".." and "//" at the start.
    if not path.startswith("/") or str(PurePosixPath(path)) != path or path.startswith("//") or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not a full path without . and ..")
    if len(path.encode("utf-8", "replace")) > MAX_PATH or re.search(_UNUSABLE, path):
        raise ValueError(f"{path!r} is longer than {MAX_PATH} bytes, or not text")
    if path in _IN_EVERY_ROOT or re.fullmatch(_LIBRARY_DIRECTORY, path):
        raise ValueError(f"{path!r} is part of every session's root directory; name what is needed inside it")


def find(listed: Sequence[ListedProvider], text: str) -> int | None:
    """The number of the provider that a profile means by `text`: its name, or exactly the path of its module."""
    return next((number for number, one in enumerate(listed) if text in (one.name, one.module)), None)


def asked_for(options: "Iterable[Option]", listed: Sequence[ListedProvider]) -> frozenset[int]:
    """The numbers of the usable providers that a profile with these options names."""
    numbers = {find(listed, text) for text in _named(options)}
    return frozenset(number for number in numbers if number is not None and not listed[number].problem)


def _named(options: "Iterable[Option]") -> Iterable[str]:
    return (text for option in options if option.name == OPTION for text in option.params)


def token_label(identity: str) -> str:
    """The label of the token that a `pkcs11-id` is on, or "" if that is not in it.

    pkcs11-helper writes manufacturer/model/serial/label/id, with \\xNN for what is not a plain character; where it is
    built so, a URI (RFC 7512).
    """
    if identity.startswith("pkcs11:"):
        attributes = dict(part.partition("=")[::2] for part in identity.removeprefix("pkcs11:").split(";"))
        return _unescaped(attributes.get("token", ""), "%")
    fields = identity.split("/")
    return _unescaped(fields[3], r"\\x") if len(fields) == 5 else ""


def _unescaped(text: str, mark: str) -> str:
    raw = re.sub(
        mark.encode() + rb"([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "replace")
    )
    return raw.decode("utf-8", "replace")
