"""The options that name one configuration profile, and reading and changing its properties."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from .arguments import object_path, text
from .config_commands import profiles_named, the_only
from .exits import CommandError, CommandExit
from .services import CONFIGURATION

if TYPE_CHECKING:
    from .bus import Bus

Command = Callable[..., None]


def names_a_profile(command: Command) -> Command:
    """Add the options that name one profile, `path` and `config`."""
    for option in (
        click.option("-c", "--config", type=text, metavar="NAME", help="Name of the profile."),
        click.option(
            "-o", "--path", "--config-path", "path", type=object_path, metavar="PATH", help="D-Bus path of the profile."
        ),
    ):
        command = option(command)
    return command


def check_one_name(path: str | None, config: str | None) -> None:
    """Raise UsageError unless exactly one of the two is given."""
    if (path is None) == (config is None):
        raise click.UsageError("Name the profile by either --config or --path.")


async def find_profile(bus: "Bus", path: str | None, config: str | None) -> str:
    """The path of the profile that the options name; raises CommandError."""
    return path or the_only(await profiles_named(bus, str(config)), "config", str(config))


async def readable_properties(bus: "Bus", path: str) -> dict[str, Any]:
    """All properties of a profile; raises CommandError if it is not shared with this user."""
    properties = await bus.properties(CONFIGURATION, path)
    if "name" not in properties:
        raise CommandError(
            "Access to the configuration profile is denied.",
            CommandExit.REFUSED,
            "It belongs to another user, who can share it.",
        )
    return properties


async def set_property(bus: "Bus", path: str, name: str, signature: str, value: Any) -> None:
    """Set one property of a profile."""
    await bus.set_property(CONFIGURATION, path, name, signature, value)
