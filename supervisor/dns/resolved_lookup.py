"""Look-ups by systemd-resolved with the name servers of the machine's own links."""

import asyncio
import socket
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from ...policy.limits import MAX_RESOLVED, RESOLVE_DEADLINE
from ..errors import SystemFailure
from .resolved_bus import BUS_NAME, MANAGER, PATH, Ask, asked

_ANY_FAMILY, _NO_FLAGS = 0, 0


async def look_up(ask: Ask, host: str, devices: Iterable[str]) -> tuple[tuple[str, ...], str]:
    """The addresses of a name by any link but these devices; none, and why, if none answers."""
    try:
        servers = await _servers(ask)
    except SystemFailure as error:
        return (), str(error)
    indexes = {index for index, _ in servers if index} - {_index(device) for device in devices}
    trouble = ""
    questions = [asyncio.ensure_future(_ask_link(ask, index, host)) for index in indexes]
    try:
        for answer in asyncio.as_completed(questions):
            found, trouble = await answer
            if found:
                return found, ""
    finally:
        for question in questions:
            question.cancel()
    return (), trouble


async def servers_of_no_link(ask: Ask) -> tuple[str, ...]:
    """The name servers that it has for no link (resolved.conf(5))."""
    try:
        return tuple(address for index, address in await _servers(ask) if not index)
    except SystemFailure:
        return ()


async def _servers(ask: Ask) -> list[tuple[int, str]]:
    """Its name servers, each with the link that it is for; 0: for none.  Raises SystemFailure."""
    body = [MANAGER, "DNS"]
    (value,) = await asked(ask, PATH, "org.freedesktop.DBus.Properties", "Get", "ss", body)
    rows = value.value if value.signature == "a(iiay)" else []
    return [(index, str(ip_address(bytes(address)))) for index, _, address in rows if len(address) in (4, 16)]


async def _ask_link(ask: Ask, index: int, host: str) -> tuple[tuple[str, ...], str]:
    """What one link's name servers say; none, and why."""
    body: list[Any] = [index, host, _ANY_FAMILY, _NO_FLAGS]
    try:
        answer = await ask(BUS_NAME, PATH, MANAGER, "ResolveHostname", "isit", body, deadline=RESOLVE_DEADLINE)
    except SystemFailure as error:
        return (), f"systemd-resolved: {error}"
    rows = answer[0][:MAX_RESOLVED]
    return tuple(str(ip_address(bytes(address))) for _, _, address in rows if len(address) in (4, 16)), ""


def _index(device: str) -> int:
    """The index of a device; 0 if there is none."""
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return 0
