"""Tables that declare D-Bus interfaces: one row for each method, property and signal.

Dispatch and access checks (answering.py), introspection XML (introspect.py), the D-Bus policy files and docs/api.md
(packaging/generate.py) all come from these rows; nothing about a member is written down a second time.

A method row `Method("NewTunnel", ...)` is answered by the served object's `new_tunnel(caller, *arguments)`, a
property row `Property("device_name", ...)` by its attribute of that name, setting it by `set_device_name(caller,
value)`.  A row with `supported=False` is declared, so that clients see the whole interface, and answered "not
supported yet"; a property with `settable=False` can be read, and says so when it is set.
"""

import re
from functools import cached_property

import msgspec

from ...policy.access import Who


class Argument(msgspec.Struct, frozen=True):
    """One named argument of a method or signal; `signature` is a single complete D-Bus type."""

    name: str
    signature: str


def parse_arguments(text: str) -> tuple[Argument, ...]:
    """Read "reason:s uids:au" as arguments.

    Raises ValueError for a word that is not NAME:TYPE.
    """
    arguments = []
    for word in text.split():
        name, colon, signature = word.partition(":")
        if not (name and colon and signature):
            raise ValueError(f"argument {word!r} is not NAME:TYPE")
        arguments.append(Argument(name, signature))
    return tuple(arguments)


def snake_case(member: str) -> str:
    """The Python name that answers a D-Bus member: "NewTunnel" → "new_tunnel"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", member).lower()


class _Row:
    """The part that method and signal rows have in common: named arguments."""

    name: str
    takes: str
    doc: str
    supported: bool

    @cached_property
    def arguments(self) -> tuple[Argument, ...]:
        return parse_arguments(self.takes)

    @cached_property
    def signature(self) -> str:
        return "".join(argument.signature for argument in self.arguments)


class Method(_Row, msgspec.Struct, frozen=True, dict=True):
    """A method; `takes` and `gives` are words of NAME:TYPE.

    `secret`: its arguments may be secrets, and are no longer in this process's memory when the caller is answered.
    `largest`: bytes of its arguments, where they may be more than a few (0: MAX_SMALL_BODY).
    """

    name: str
    takes: str
    gives: str
    who: Who
    doc: str
    supported: bool = True
    secret: bool = False
    largest: int = 0

    @cached_property
    def results(self) -> tuple[Argument, ...]:
        return parse_arguments(self.gives)

    @cached_property
    def result_signature(self) -> str:
        return "".join(result.signature for result in self.results)

    @cached_property
    def handler(self) -> str:
        return snake_case(self.name)

    @cached_property
    def takes_descriptors(self) -> bool:
        """Whether some of its arguments are file descriptors, which it closes."""
        return "h" in self.signature


class Property(msgspec.Struct, frozen=True):
    """A property; `who` may read it, `writable_by` may set it (None: read-only).

    `attribute` is where on the served object the value is, dotted if it is deeper (default: the name).
    `wire_signature` is what the value is sent as where that differs from the declared type: the original
    declares `device_path` a string and sends an object path, and clients rely on both.
    `refreshed_by` is the method of the served object that gives what to await before it is read, None if nothing.
    """

    name: str
    signature: str
    who: Who
    doc: str
    writable_by: Who | None = None
    supported: bool = True
    wire_signature: str = ""
    settable: bool = True
    attribute: str = ""
    refreshed_by: str = ""

    @property
    def sent_as(self) -> str:
        return self.wire_signature or self.signature

    @property
    def read_from(self) -> str:
        return self.attribute or self.name

    @property
    def setter(self) -> str:
        return f"set_{self.name}"


class Signal(_Row, msgspec.Struct, frozen=True, dict=True):
    """A signal; `doc` says to whom it is sent."""

    name: str
    takes: str
    doc: str
    supported: bool = True


class Interface(msgspec.Struct, frozen=True, eq=False, dict=True):
    """One interface as one kind of object has it; compared by identity, and hashable.

    `denied` is the error text for callers who may not call or read a member, `denied_setting` for those who may not set
    it.  With `looks`, what `await target.look()` gives is what has the properties, asked for at each reading.
    """

    name: str
    title: str  # what the object is, for docs/api.md
    methods: tuple[Method, ...]
    properties: tuple[Property, ...]
    signals: tuple[Signal, ...] = ()
    denied: str = "Access denied"
    denied_setting: str = "Access denied"
    hidden: bool = False  # to those who may not see it, an object is not there: its path can be guessed
    looks: bool = False

    @cached_property
    def method(self) -> dict[str, Method]:
        return {row.name: row for row in self.methods}

    @cached_property
    def property(self) -> dict[str, Property]:
        return {row.name: row for row in self.properties}

    @cached_property
    def signal(self) -> dict[str, Signal]:
        return {row.name: row for row in self.signals}
