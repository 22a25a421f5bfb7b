"""The service's objects on the bus, by path, and what answers each row of their interfaces."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import cache
from itertools import groupby
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Protocol

import msgspec
from dbus_fast.signature import SignatureTree, get_signature_tree

from ...policy.access import Acl, Caller, Who, sees
from ..errors import NoSuchObject
from .errors import INVALID_ARGS, UNKNOWN_METHOD, CallRejected
from .interface import Interface, Method, Property
from .introspect import node_xml

_PIECE = 100  # objects of a list looked at in one go, which takes about as long as a call


class Target(Protocol):
    """An object that is served; it also has a method for each method row and an attribute for each property row."""

    @property
    def acl(self) -> Acl | None: ...


class Looking(Target, Protocol):
    """A target of an interface that `looks`."""

    async def look(self) -> Any:
        """What has an attribute for each property row, as it is now."""


class BoundMethod(msgspec.Struct, frozen=True):
    """A method row and what answers it (None: not supported yet)."""

    row: Method
    handler: Callable[..., Any] | None
    signature: str
    results: SignatureTree


class Reader(msgspec.Struct, frozen=True):
    """A property row and how its value is read from a target."""

    row: Property
    read: Callable[[Any], Any]
    sent_as: SignatureTree

    def refresh(self, target: Any) -> Awaitable[None] | None:
        """What to await until the property of `target` is as it is now; None if it is."""
        pending: Awaitable[None] | None = getattr(target, self.row.refreshed_by)()
        return pending


@cache
def readers(interface: Interface) -> dict[str, Reader]:
    """The readers of all properties of `interface`, by name."""
    return {
        row.name: Reader(row, attrgetter(row.read_from), get_signature_tree(row.sent_as))
        for row in interface.properties
    }


@cache
def refreshing(interface: Interface) -> tuple[Reader, ...]:
    """The readers of the properties that are to be refreshed before they are read."""
    return tuple(reader for reader in readers(interface).values() if reader.row.refreshed_by)


@cache
def runs(interface: Interface) -> tuple[tuple[Who, tuple[Reader, ...]], ...]:
    """The readable properties in their order, those beside each other with the same `who` taken together."""
    readable = [reader for reader in readers(interface).values() if reader.row.supported]
    return tuple((who, tuple(run)) for who, run in groupby(readable, lambda reader: reader.row.who))


class Served:
    """One object on the bus, or an extension of it: another interface, answered by another target."""

    __slots__ = ("bus_name", "extensions", "interface", "methods", "path", "readers", "target")

    def __init__(
        self,
        path: str,
        interface: Interface,
        target: Target,
        bus_name: str | None,
        extensions: Mapping[Interface, Target] = MappingProxyType({}),
    ) -> None:
        self.extensions = {one.name: Served(path, one, other, bus_name) for one, other in extensions.items()}
        self.path = path
        self.interface = interface
        self.target = target
        self.bus_name = bus_name
        self.readers = readers(interface)
        self.methods = {
            row.name: BoundMethod(
                row,
                getattr(target, row.handler) if row.supported else None,
                row.signature,
                get_signature_tree(row.result_signature),
            )
            for row in interface.methods
        }

    def visible_at(self, destination: str | None) -> bool:
        """Whether a call to the bus name `destination` is meant for this object."""
        return not destination or destination[0] == ":" or self.bus_name in (None, destination)

    def part(self, interface: str) -> "Served":
        """The extension with an interface of this name, else the object itself."""
        return self.extensions.get(interface, self)

    def method(self, interface: str, member: str, signature: str) -> BoundMethod:
        """The row for a call.

        Raises CallRejected as GDBus words it.
        """
        if interface != self.interface.name:
            raise CallRejected(UNKNOWN_METHOD, f"No such interface “{interface}” on object at path {self.path}")
        method = self.methods.get(member)
        if method is None:
            raise CallRejected(UNKNOWN_METHOD, f"No such method “{member}”")
        check_signature(signature, method.signature)
        return method

    def reader(self, interface: str, name: str) -> Reader:
        """The property `name`; raises CallRejected as GDBus words it."""
        self.check_interface(interface)
        reader = self.readers.get(name)
        if reader is None:
            raise CallRejected(INVALID_ARGS, f"No such property “{name}”")
        return reader

    def check_interface(self, interface: str) -> None:
        """Raise CallRejected unless `interface`, named in a call for properties, is this object's, or empty."""
        if interface not in ("", self.interface.name):
            raise CallRejected(INVALID_ARGS, f"No such interface “{interface}”")


def check_signature(signature: str, expected: str) -> None:
    """Raise CallRejected, as GDBus words it, if a call's arguments are not those expected."""
    if signature != expected:
        raise CallRejected(
            INVALID_ARGS, f"Type of message, “({signature})”, does not match expected type “({expected})”"
        )


class ObjectTree:
    """All objects, by path.

    What is below an object is found at the same bus names as the object, or at fewer.
    """

    def __init__(self, service_uid: int) -> None:
        self._service_uid = service_uid
        self._objects: dict[str, Served] = {}
        self._below: dict[str, dict[str, str]] = {}  # of each node that has any: name → path of the nodes below it

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def add(self, served: Served) -> None:
        """Put an object on the bus; raises ValueError if its path is taken."""
        path = served.path
        if path in self._objects:
            raise ValueError(f"{path} is on the bus already")
        self._objects[path] = served
        while path != "/":
            above, _, name = path.rpartition("/")
            self._below.setdefault(above or "/", {})[name] = path
            path = above or "/"

    def remove(self, path: str) -> None:
        """Remove an object from the bus, if it is there."""
        if self._objects.pop(path, None) is None:
            return
        while path != "/" and path not in self._objects and path not in self._below:
            above, _, name = path.rpartition("/")
            siblings = self._below[above or "/"]
            del siblings[name]
            if not siblings:
                del self._below[above or "/"]
            path = above or "/"

    def has_property(self, path: str, interface: str, name: str) -> bool:
        """Whether the object at `path` has such a property."""
        served = self._objects.get(path)
        return served is not None and served.interface.name == interface and name in served.readers

    def has_method(self, path: str, interface: str, name: str) -> bool:
        """Whether the object at `path` has such a method."""
        served = self._objects.get(path)
        return served is not None and served.interface.name == interface and name in served.methods

    def at(self, path: str, destination: str | None, caller: Caller) -> Served:
        """The object at `path`, as seen by a call to `destination`; a hidden one only by who may see it.

        Raises NoSuchObject.
        """
        served = self._objects.get(path)
        if served is None or not served.visible_at(destination):
            raise NoSuchObject(path)
        if served.interface.hidden and not sees(caller, served.target.acl, self._service_uid):
            raise NoSuchObject(path)
        return served

    def introspect(self, path: str, destination: str | None, caller: Caller) -> Iterator[str | None]:
        """The XML of the node at `path`, an object or between objects: of what is there, what the caller may see.

        None comes before it, once for each piece of a long list.  Raises NoSuchObject if there is nothing to see.
        """
        names: list[str] = []
        for number, (name, child) in enumerate(list(self._below.get(path, {}).items()), 1):
            if self._seen(child, destination, caller):
                names.append(name)
            if number % _PIECE == 0:
                yield None
        here = self._objects.get(path)
        if here is None or not self._shown(here, destination, caller):
            if not names and path != "/":
                raise NoSuchObject(path)
            yield node_xml(None, names)
        else:
            yield node_xml(here.interface, names, [one.interface for one in here.extensions.values()])

    def _shown(self, served: Served, destination: str | None, caller: Caller) -> bool:
        return served.visible_at(destination) and sees(caller, served.target.acl, self._service_uid)

    def _seen(self, path: str, destination: str | None, caller: Caller) -> bool:
        """Whether at `path` or below is an object that the caller may see."""
        served = self._objects.get(path)
        if served is not None:
            if self._shown(served, destination, caller):
                return True
            if not served.visible_at(destination):
                return False
        return any(self._seen(child, destination, caller) for child in self._below.get(path, {}).values())
