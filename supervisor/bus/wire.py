"""Checks of outgoing messages that dbus-fast does not make, though a bus closes the connection over them.

dbus-fast sends strings with a NUL byte (up to 2.44) and invalid object paths; a bus closes the connection of a client
that does.  Texts come from workers and servers, so every outgoing body is checked here.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from dbus_fast import Message, Variant
from dbus_fast.signature import SignatureType, get_signature_tree
from dbus_fast.validators import is_object_path_valid

_Check = Callable[[Any], None]


def check_body(signature: str, body: Sequence[Any]) -> None:
    """Raise ValueError if `body` may not go over the bus as `signature`.

    Types are not checked here, marshalling does that.
    """
    count, checks = _checks_of(signature)
    if len(body) != count:
        raise ValueError(f"{len(body)} values for the signature {signature!r}")
    for index, check in checks:
        check(body[index])


def fits(signature: str, body: list[Any]) -> bool:
    """Whether `body` can be sent as `signature`."""
    try:
        check_body(signature, body)
        Message("a.b", "/", member="C", serial=1, signature=signature, body=body)._marshall(False)
    except Exception:
        return False
    return True


@lru_cache(maxsize=1024)
def _checks_of(signature: str) -> tuple[int, tuple[tuple[int, _Check], ...]]:
    types = get_signature_tree(signature).types
    checks = [(index, _check_of(kind)) for index, kind in enumerate(types)]
    return len(types), tuple((index, check) for index, check in checks if check)


def _check_of(kind: SignatureType) -> _Check | None:
    match kind.token:
        case "s":
            return _check_string
        case "o":
            return _check_path
        case "v":
            return _check_variant
        case "a" if kind.children[0].token == "{":
            return _entries(*(_check_of(child) for child in kind.children[0].children))
        case "a":
            return _elements(_check_of(kind.children[0]))
        case "(":
            return _members(tuple(_check_of(child) for child in kind.children))
    return None


def _check_string(value: str) -> None:
    if "\0" in value:
        raise ValueError("a string with a NUL byte")


def _check_path(value: str) -> None:
    if not is_object_path_valid(value):
        raise ValueError(f"{value!r} is not an object path")


def _check_variant(value: Variant) -> None:
    check = _check_of_one(value.signature)
    if check is not None:
        check(value.value)


@lru_cache(maxsize=1024)
def _check_of_one(signature: str) -> _Check | None:
    return _check_of(get_signature_tree(signature).types[0])


def _elements(check: _Check | None) -> _Check | None:
    if check is None:
        return None

    def check_elements(values: Iterable[Any]) -> None:
        for value in values:
            check(value)

    return check_elements


def _entries(check_key: _Check | None, check_value: _Check | None) -> _Check | None:
    keys, values = _elements(check_key), _elements(check_value)
    if keys is None and values is None:
        return None

    def check_entries(mapping: dict[Any, Any]) -> None:
        if keys:
            keys(mapping)
        if values:
            values(mapping.values())

    return check_entries


def _members(checks: tuple[_Check | None, ...]) -> _Check:
    indexed = tuple((index, check) for index, check in enumerate(checks) if check)
    count = len(checks)

    def check_members(value: Sequence[Any]) -> None:
        if len(value) != count:
            raise ValueError(f"{len(value)} values for a structure of {count}")
        for index, check in indexed:
            check(value[index])

    return check_members
