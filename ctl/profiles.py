"""Configuration profiles: the options that name one, finding, importing and reading it."""

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..policy.profile.settings import SETTINGS
from .arguments import object_path, text
from .exits import CommandError, CommandExit
from .services import CONFIGURATION, PROFILE_SETTINGS, SESSIONS
from .show import user_name

if TYPE_CHECKING:
    from .bus import Bus

Command = Callable[..., None]
MASK = "********"  # in place of a secret that was not asked for


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


async def profiles_named(bus: "Bus", name: str) -> dict[str, dict[str, Any]]:
    """The properties of the profiles of a name that this user may use, by path."""
    reply = await bus.call(CONFIGURATION, "LookupConfigName", "s", name)
    return await bus.all_properties(CONFIGURATION, reply.body[0])


async def own_profiles_beginning(bus: "Bus", beginning: str) -> dict[str, dict[str, Any]]:
    """The properties of this user's profiles whose name begins so, by path."""
    reply = await bus.call(CONFIGURATION, "FetchAvailableConfigs")
    every = await bus.all_properties(CONFIGURATION, reply.body[0])
    own = {path: one for path, one in every.items() if one.get("owner") == os.getuid()}
    return {path: one for path, one in own.items() if one["name"].startswith(beginning)}


def the_only(found: Mapping[str, Mapping[str, Any]], name: str, option: str = "--path", hint: str = "") -> str:
    """The path of the only profile that was found for a name; raises CommandError if there is none, or several.

    `option` is the option that takes a path instead of a name; `hint` is what to do if there is none.
    """
    match [*found]:
        case [path]:
            return path
        case []:
            hint = hint or "`ovpnctl configs-list` shows yours."
            raise CommandError(f"there is no configuration profile named {name}", CommandExit.REFUSED, hint)
    raise CommandError(
        f"{len(found)} configuration profiles are named {name}:",
        CommandExit.REFUSED,
        f"Name one by {option}.",
        [profile_line(path, properties) for path, properties in found.items()],
    )


def profile_line(path: str, properties: Mapping[str, Any]) -> str:
    """A profile in a line: its path, owner and name."""
    owner = user_name(properties["owner"]) if "owner" in properties else "-"
    return f"{path}  {owner}  {properties.get('name', '')}"


async def find_profile(bus: "Bus", path: str | None, config: str | None) -> str:
    """The path of the profile that the options name; raises CommandError."""
    return path or the_only(await profiles_named(bus, str(config)), str(config))


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


async def own_settings(bus: "Bus", path: str, properties: Mapping[str, Any]) -> dict[str, bool] | None:
    """The settings of a profile that only this session manager knows; `properties` are those of the profile.

    None if they are not for this user, or there is no session manager that tells.
    """
    if os.geteuid() not in (0, properties.get("owner")):
        return None
    try:
        reply = await bus.call(SESSIONS, "GetSettings", "o", path, interface=PROFILE_SETTINGS)
    except CommandError:
        return None
    return {name: variant.value for name, variant in reply.body[0].items()}


async def set_setting(bus: "Bus", path: str, name: str, value: bool | str) -> None:
    """Set one of these settings."""
    from dbus_fast import Variant

    arguments = (path, name, Variant(SETTINGS[name].type, value))
    await bus.call(SESSIONS, "SetSetting", "osv", *arguments, interface=PROFILE_SETTINGS)


async def invalid_reason(bus: "Bus", path: str) -> str:
    """Why a profile is not valid, as Validate says; empty if it is."""
    try:
        await bus.call(CONFIGURATION, "Validate", path=path)
    except CommandError as error:
        if error.status != CommandExit.REFUSED:
            raise
        return error.message
    return ""


async def import_profile(bus: "Bus", name: str, text: str, *, single_use: bool, persistent: bool) -> str:
    """Store a profile in the configuration service; returns its object path.  Raises CommandError."""
    if "\0" in text:  # no text on a bus has one: the bus would close the connection
        raise CommandError(f"{name} is not text: it contains a NUL byte", CommandExit.REFUSED)
    reply = await bus.call(CONFIGURATION, "Import", "ssbb", name, text, single_use, persistent)
    path: str = reply.body[0]
    return path
