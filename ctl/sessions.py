"""Sessions: how one is named on the command line, finding and reading it."""

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import SESSION_FAILED
from .arguments import object_path, text
from .exits import CommandError, CommandExit, sanitize
from .run import at_terminal, say
from .services import INSPECTION, SESSIONS
from .show import status_of, user_name

if TYPE_CHECKING:
    from .bus import Bus

Properties = Mapping[str, Any]
_PROFILE, _DEVICE = "config_name", "device_name"
_WORDS = {_PROFILE: "profile", _DEVICE: "device"}


@dataclass(frozen=True)
class SessionName:
    """What somebody calls a session: `value` is its path, or is in one of `properties`."""

    value: str
    properties: tuple[str, ...] = (_PROFILE, _DEVICE)


def session_name(value: str) -> SessionName:
    """The argument that names a session by profile, path or device.  Raises BadParameter."""
    return SessionName(path_or_name(value), ()) if value.startswith("/") else SessionName(text(value))


def path_or_name(value: str) -> str:
    """A D-Bus path, or a name of something.  Raises BadParameter."""
    return object_path(value) if value.startswith("/") else text(value)


def names_a_session(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument and the options that name one session; the command has it as `named`, a SessionName."""

    @functools.wraps(command)
    def naming_one(
        name: SessionName | None, path: str | None, config: str | None, interface: str | None, **others: Any
    ) -> None:
        given = [
            *([name] if name else []),
            *([SessionName(path, ())] if path else []),
            *([SessionName(config, (_PROFILE,))] if config else []),
            *([SessionName(interface, (_DEVICE,))] if interface else []),
        ]
        if len(given) != 1:
            raise click.UsageError("Name the session by NAME, or by one of --path, --config and --interface.")
        command(named=given[0], **others)

    with_options: Callable[..., None] = naming_one
    for option in (
        click.option("-I", "--interface", type=text, metavar="DEVICE", help="Network device of the session."),
        click.option("-c", "--config", type=text, metavar="NAME", help="Name of the profile it was started with."),
        click.option(
            "-o",
            "--path",
            "--session-path",
            "path",
            type=object_path,
            metavar="PATH",
            help="D-Bus path of the session.",
        ),
        click.argument("name", type=session_name, required=False),
    ):
        with_options = option(with_options)
    return with_options


async def visible_sessions(bus: "Bus") -> dict[str, dict[str, Any]]:
    """The properties of all sessions that this user may use, by path; for root those of all users."""
    reply = await bus.call(SESSIONS, "FetchAvailableSessions")
    return await bus.all_properties(SESSIONS, reply.body[0])


async def own_sessions(bus: "Bus") -> dict[str, dict[str, Any]]:
    """Those of them that belong to this user."""
    return {path: one for path, one in (await visible_sessions(bus)).items() if one.get("owner") == os.getuid()}


def is_failed(properties: Properties) -> bool:
    """Whether a session has failed for good, and is only still shown."""
    return status_of(properties).minor in SESSION_FAILED


async def find_session(bus: "Bus", named: SessionName, *, may_begin: bool = False) -> str:
    """The path of the session that was named; raises CommandError unless it is one.

    With `may_begin` the beginning of its name suffices at a terminal: for what neither ends nor changes anything.
    """
    if not named.properties:
        return named.value
    return the_only_session(named, await visible_sessions(bus), may_begin=may_begin)


def the_only_session(named: SessionName, sessions: Mapping[str, Properties], *, may_begin: bool = False) -> str:
    """The same, of these."""
    found = matching(named, sessions)
    if not found and may_begin and at_terminal():
        found = matching(named, sessions, beginning=True)
        for one in found.values() if len(found) == 1 else ():
            say(sanitize(f"{named.value} is taken for {one.get(_PROFILE)} ({one.get(_DEVICE) or 'no device'})"))
    if len(found) == 1:
        return next(iter(found))
    if found:
        raise several_sessions(named.value, found)
    hint = "`ovpnctl sessions-list` shows yours, `ovpnctl why` those that failed."
    what = " or ".join(_WORDS[one] for one in named.properties)
    raise CommandError(f"there is no session of a {what} {named.value}", CommandExit.REFUSED, hint)


def matching(
    named: SessionName, sessions: Mapping[str, Properties], *, beginning: bool = False
) -> dict[str, Properties]:
    """The sessions that have this name, or one that begins so; those that failed only where no other one has it."""
    compare = str.startswith if beginning else str.__eq__
    found = {
        path: one
        for path, one in sessions.items()
        if any(compare(str(one.get(member, "")), named.value) for member in named.properties)
    }
    return {path: one for path, one in found.items() if not is_failed(one)} or found


def several_sessions(name: str, found: Mapping[str, Properties]) -> CommandError:
    """The refusal of a name that several sessions have, with a line about each."""
    hint = "Name one by its path or device."
    details = (session_line(path, one) for path, one in found.items())
    return CommandError(f"{len(found)} sessions are named {name}:", CommandExit.REFUSED, hint, details)


def session_line(path: str, properties: Properties) -> str:
    """A session in a line: its path, owner, device and state."""
    owner = user_name(properties["owner"]) if "owner" in properties else "-"
    return f"{path}  {owner}  {properties.get(_DEVICE) or '-'}  {status_of(properties)}"


async def readable_properties(bus: "Bus", path: str) -> dict[str, Any]:
    """All properties of a session; raises CommandError if it is not shared with this user."""
    properties = await bus.properties(SESSIONS, path)
    if "owner" not in properties:
        raise CommandError("Access denied", CommandExit.REFUSED, "It belongs to another user, who can share it.")
    return properties


async def inspected(bus: "Bus", path: str, interface: str = INSPECTION) -> dict[str, Any]:
    """What this session manager alone tells of a session; nothing where another one runs, or it has been removed."""
    try:
        return await bus.properties(SESSIONS, path, interface)
    except CommandError as error:
        if error.status != CommandExit.REFUSED:
            raise
        return {}
