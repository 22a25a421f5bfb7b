"""What the contract's tests run against, and the words of the contract: names of errors, codes, domains."""

import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ...policy.dbus_numbers import StatusMinor
from ..lab.connection import SESSIONS, BusClient, BusError, Signal
from ..lab.incumbent_tree import V24, V27, Release
from ..lab.processes import DEADLINE, LabError

INTROSPECTABLE = "org.freedesktop.DBus.Introspectable"
PEER = "org.freedesktop.DBus.Peer"
PROPERTIES = "org.freedesktop.DBus.Properties"
DBUS_ERROR = "org.freedesktop.DBus.Error."
ALICE, BOB = 4001, 4002  # user ids

MANAGER = "net.openvpn.gdbuspp"
REQUEST = "net.openvpn.gdbuspp.request"  # asked of the process behind a session
READY = "net.openvpn.v3.error.ready"

CREATED, DESTROYED = 1, 2


@dataclass(frozen=True)
class Subject:
    """The services under test: this project's, or a release of OpenVPN 3 Linux."""

    release: Release | None

    @property
    def ours(self) -> bool:
        """Whether it is this project."""
        return self.release is None

    @property
    def v24(self) -> bool:
        """Whether it is the older release, whose contract differs here and there from that of 27."""
        return self.release is V24


SUBJECT = Subject({"ours": None, "incumbent": V27, "incumbent24": V24}[os.environ.get("SESSIONS_UNDER_TEST", "ours")])


def gdbus_error(domain: str, text: str) -> tuple[str, str]:
    """Name and text of an error that a method of OpenVPN 3 Linux gives: clients match on both."""
    mangled = domain.replace(".", "_2e")
    gap = "  " if domain == REQUEST else " "
    return f"org.gtk.GDBus.UnmappedGError.Quark._{mangled}.Code36", f"GDBus.Error:{domain}:{gap}{text}"


def error_of(user: BusClient, path: str, member: str, signature: str = "", *arguments: Any) -> tuple[str, str]:
    """Name and text of the error that a method of the object gives, or a failed test."""
    interface = ".".join(path.split("/")[1:5])
    return error_of_call(user, path, interface, member, signature, *arguments)


def error_of_call(
    user: BusClient, path: str, interface: str, member: str, signature: str = "", *arguments: Any, to: str = ""
) -> tuple[str, str]:
    """Name and text of the error that any call gives, or a failed test."""
    with pytest.raises(BusError) as caught:
        user.call(path, interface, member, signature, *arguments, to=to)
    return caught.value.name, caught.value.text


def error_of_set(user: BusClient, path: str, name: str, signature: str, value: Any) -> tuple[str, str]:
    """Name and text of the error that setting a property gives."""
    with pytest.raises(BusError) as caught:
        user.set(path, name, signature, value)
    return caught.value.name, caught.value.text


def error_of_get(user: BusClient, path: str, name: str) -> tuple[str, str]:
    """Name and text of the error that reading a property gives."""
    with pytest.raises(BusError) as caught:
        user.get(path, name)
    return caught.value.name, caught.value.text


def missing(path: str) -> tuple[str, str]:
    """The error for an object that is not there."""
    text = f"Object does not exist at path “{path}”"
    if SUBJECT.ours:
        # Clients look for "No such interface" and give up at once; without it they retry for 1.5 s.
        text += " (No such interface)"
    return DBUS_ERROR + "UnknownMethod", text


def come_about(condition: Callable[[], bool]) -> None:
    """Let the original, which on a busy machine replies before it has done all, come to where ours must be at once.

    Raises LabError if it takes too long.
    """
    until = time.monotonic() + DEADLINE
    while not (SUBJECT.ours or condition()):
        if time.monotonic() > until:
            raise LabError(f"the original did not come about within {DEADLINE:g} s")


@dataclass
class Session:
    """A session and its owner's connection."""

    user: BusClient
    profile: str
    path: str

    def call(self, member: str, signature: str = "", *arguments: Any) -> Any:
        """Call a method of it."""
        return self.user.session(self.path, member, signature, *arguments)

    def get(self, name: str) -> Any:
        """Read a property of it."""
        return self.user.get(self.path, name)

    @property
    def device(self) -> str:
        """The name of its device, the first that is free: those of sessions which have ended may stay for a while."""
        name: str = self.get("device_name")
        assert re.fullmatch(r"tun\d{1,2}", name)
        return name

    def begun(self, minor: int) -> list[Any]:
        """Its status, which has this minor code once the session has begun."""
        come_about(lambda: bool(self.get("status")[1] == minor))
        status: list[Any] = self.get("status")
        return status

    def watch(self) -> None:
        """Have its status changes sent to its owner."""
        if not SUBJECT.ours:
            # Ours sends them to everybody who uses the session; the original to nobody who has not asked.
            self.call("LogForward", "b", True)

    def connect(self) -> None:
        """Connect, and wait until it is."""
        self.watch()
        self.call("Connect")
        self.wait(StatusMinor.CONN_CONNECTED)

    def wait(self, minor: int, since: int = 0) -> tuple[int, int, str]:
        """Wait for a status."""
        return self.user.wait_status(self.path, minor, since=since)

    @property
    def seen(self) -> int:
        """How many signals have come so far, to look at later ones only."""
        return len(self.user.signals())

    def statuses(self, since: int = 0) -> list[tuple[int, int]]:
        """Major and minor codes of the statuses."""
        return [status[:2] for status in self.user.statuses(self.path, since)]


def events(user: BusClient, path: str) -> list[Signal]:
    """The session manager's events about a session that have reached a user."""
    return [
        one
        for one in user.signals()
        if one.interface == SESSIONS and one.member == "SessionManagerEvent" and one.arguments[0] == path
    ]


def wait_event(user: BusClient, path: str, kind: int) -> Signal:
    """Wait for one of them."""
    return user.wait_signal(
        lambda one: one.member == "SessionManagerEvent" and one.arguments[:2] == [path, kind], what=f"event {kind}"
    )


def only(values: Sequence[Any]) -> Any:
    """The only one of them."""
    [value] = values
    return value


Connect = Callable[[str], BusClient]  # by user name
Begin = Callable[..., Session]  # of a new profile, with options of `Lab.profile`
