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


async def inspected(bus: "Bus", path: str) -> dict[str, Any]:
    """What this session manager alone tells of a session; nothing where another one runs, or it has been removed."""
    try:
        return await bus.properties(SESSIONS, path, INSPECTION)
    except CommandError as error:
        if error.status != CommandExit.REFUSED:
            raise
        return {}
