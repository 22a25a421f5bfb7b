"""Sessions: the options that name one, finding and reading it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .arguments import object_path, text
from .exits import CommandError, CommandExit
from .profiles import the_only
from .services import INSPECTION, SESSIONS

if TYPE_CHECKING:
    from .bus import Bus


def names_a_session(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name one session, `path`, `config` and `interface`."""
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
    ):
        command = option(command)
    return command


async def find_session(bus: "Bus", path: str | None, config: str | None, interface: str | None) -> str:
    """The path of the session that the options name; raises CommandError."""
    if path:
        return path
    if interface:
        reply = await bus.call(SESSIONS, "LookupInterface", "s", interface)
        return str(reply.body[0])
    reply = await bus.call(SESSIONS, "LookupConfigName", "s", config)
    return the_only(reply.body[0], "session", str(config))


def check_one_name(path: str | None, config: str | None, interface: str | None) -> None:
    """Raise UsageError unless exactly one of the three is given."""
    if sum(value is not None for value in (path, config, interface)) != 1:
        raise click.UsageError("Name the session by one of --path, --config and --interface.")


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


def path_or_name(value: str) -> str:
    """The argument that names a session.  Raises BadParameter."""
    return object_path(value) if value.startswith("/") else text(value)


async def find_named(bus: "Bus", session: str) -> str:
    """The path of the session that `session` names; root finds those of all users."""
    if session.startswith("/"):
        return session
    reply = await bus.call(SESSIONS, "FetchAvailableSessions")
    everything = await bus.all_properties(SESSIONS, reply.body[0])
    paths = [path for path, one in everything.items() if session in (one.get("config_name"), one.get("device_name"))]
    match paths:
        case [path]:
            return path
        case []:
            hint = "`ovpnctl sessions-list` shows yours, `ovpnctl why` those that failed."
            raise CommandError(f"there is no session of a profile or device {session}", CommandExit.REFUSED, hint)
    hint = f"Name one by its path: {', '.join(paths)}"
    raise CommandError(f"{len(paths)} sessions are of profiles named {session}", CommandExit.REFUSED, hint)
