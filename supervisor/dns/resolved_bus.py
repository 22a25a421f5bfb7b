"""Calls to systemd-resolved over the bus (org.freedesktop.resolve1(5))."""

import socket
from collections.abc import Awaitable
from typing import Any, Protocol

from ...policy.limits import DNS_DEADLINE
from ..bus.connection import BusRefused
from ..errors import SystemFailure

BUS_NAME = "org.freedesktop.resolve1"
PATH = "/org/freedesktop/resolve1"
MANAGER = "org.freedesktop.resolve1.Manager"
_ERRORS = {
    "org.freedesktop.DBus.Error.AccessDenied": "it does not let this service (no polkit?)",
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": "polkit does not let this service: its rule is not "
    "installed (net.openvpn.v3.sessionmgr.rules)",
    "org.freedesktop.DBus.Error.ServiceUnknown": "it does not run",
    "org.freedesktop.DBus.Error.NoReply": f"it does not answer in {DNS_DEADLINE:g} s",
    "org.freedesktop.resolve1.LinkBusy": "systemd-networkd manages the device: one of its .network files matches any "
    "name",
}


class Ask(Protocol):
    """BusConnection.ask."""

    def __call__(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Any = (),
        *,
        deadline: float = ...,
    ) -> Awaitable[list[Any]]: ...


async def asked(ask: Ask, path: str, interface: str, member: str, signature: str, body: list[Any]) -> list[Any]:
    """What systemd-resolved answers, which it does at once or never.  Raises SystemFailure."""
    try:
        return await ask(BUS_NAME, path, interface, member, signature, body, deadline=DNS_DEADLINE)
    except BusRefused as error:
        raise SystemFailure(f"systemd-resolved: {_ERRORS.get(error.name) or error.text}") from error


def exists(device: str) -> bool:
    """Whether there is such a device: when it goes, so does all that was set for it."""
    try:
        return bool(socket.if_nametoindex(device))
    except OSError:
        return False


def index_of(device: str) -> int:
    """The index of a device.  Raises SystemFailure if there is none."""
    try:
        return socket.if_nametoindex(device)
    except OSError as error:
        raise SystemFailure(f"there is no device {device}") from error
