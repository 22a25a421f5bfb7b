"""config-manage: name, tags, overrides and settings of a profile."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from ..policy.profile.overrides import OVERRIDES, SECRET_OVERRIDES
from ..policy.profile.settings import SETTINGS
from .arguments import text, utf8
from .exits import sanitize
from .profiles import (
    MASK,
    Command,
    check_one_name,
    find_profile,
    invalid_reason,
    names_a_profile,
    own_settings,
    readable_properties,
    set_property,
    set_setting,
)
from .run import on_bus, print_json, put
from .services import CONFIGURATION

if TYPE_CHECKING:
    from .bus import Bus

_COLUMN = 32  # where values begin


def _override_options(command: Command) -> Command:
    """An option for each override."""
    for name, row in reversed(OVERRIDES.items()):
        if row.type == "b":
            option = click.option(f"--{name}", type=bool, metavar="true|false", help=f"Override: {row.doc}.")
        elif row.values:
            choice = click.Choice(row.values)
            option = click.option(f"--{name}", type=choice, metavar="|".join(row.values), help=f"Override: {row.doc}.")
        else:
            option = click.option(f"--{name}", type=utf8, metavar="TEXT", help=f"Override: {row.doc}.")
        command = option(command)
    return command


def _setting_options(command: Command) -> Command:
    """An option for each setting that only this session manager knows."""
    for name, row in reversed(SETTINGS.items()):
        values: tuple[str, ...] = row.choices or ("yes", "no")
        default = row.default if row.choices else "yes" if row.default else "no"
        text = f"Setting: {row.doc} (default: {default})."
        kind = click.Choice(row.choices) if row.choices else bool
        command = click.option(f"--{name}", type=kind, metavar="|".join(values), help=text)(command)
    return command


@click.command("config-manage")
@names_a_profile
@click.option("-r", "--rename", type=text, metavar="NAME", help="Rename the profile.")
@click.option("--remove-tag", "removed", type=text, metavar="TAG", multiple=True, help="Remove a tag; may be repeated.")
@click.option("--tag", "added", type=text, metavar="TAG", multiple=True, help="Add a tag; may be repeated.")
@click.option("--dco", type=bool, metavar="true|false", help="Use data channel offload; not supported yet.")
@_override_options
@click.option(
    "--unset-override",
    "unset",
    type=click.Choice([*OVERRIDES], case_sensitive=False),
    metavar="OVERRIDE",
    multiple=True,
    help="Remove an override; may be repeated.",
)
@_setting_options
@click.option("-s", "--show", is_flag=True, help="Show the settings.")
@click.option("--exists", is_flag=True, help="Check that the profile exists.")
@click.option("--quiet", is_flag=True, help="Do not print what was changed.")
@click.option("--json", "as_json", is_flag=True, help="Print the settings, after all changes, as an object.")
def config_manage(
    path: str | None,
    config: str | None,
    rename: str | None,
    removed: tuple[str, ...],
    added: tuple[str, ...],
    dco: bool | None,
    unset: tuple[str, ...],
    show: bool,
    exists: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Change or show a profile's name, tags, overrides and settings.

    Overrides replace what the profile says, settings are what only this session manager knows; both count for sessions
    started later, whoever starts them.  Settings are shown to the profile's owner and root.  Changes are made in the
    order of the options below; the first that fails ends the command.

    \b
    --json prints path, name, tags, readonly, persistent, dco, valid,
    invalid_reason (if it is not), dns_scope, overrides {…}, settings {…} (null
    if they are not yours to see, or no session manager tells them).
    """
    check_one_name(path, config)
    overrides, settings = (_given(options, table) for table in (OVERRIDES, SETTINGS))
    if both := [name for name in unset if name in overrides]:
        raise click.UsageError(f"--{both[0]} cannot be combined with --unset-override {both[0]}.")
    changes = rename is not None or removed or added or dco is not None or unset or overrides or settings
    if not (changes or show or exists or as_json):
        raise click.UsageError("Nothing to do: give --show, --exists, or something to change.")

    async def work(bus: "Bus") -> dict[str, Any]:
        found = await find_profile(bus, path, config)
        done = _Changes(bus, found, quiet or as_json)
        if exists:
            properties = await readable_properties(bus, found)
            done.say(f"Configuration '{properties['name']}' is present")
        if rename is not None:
            await done.rename(rename)
        await done.tags("RemoveTag", removed)
        await done.tags("AddTag", added)
        if dco is not None:
            await done.set_dco(dco)
        for name, value in overrides.items():
            await done.set_override(name, value)
        for name in unset:
            await done.unset_override(name)
        for name, value in settings.items():
            await done.set_setting(name, value)
        return await _settings(bus, found) if show or as_json else {}

    shown = on_bus(work)
    if as_json:
        print_json(shown)
    elif show:
        if changes and not quiet:
            put(f"\n{'-' * 60}")
        put(settings_text(shown))


class _Changes:
    """Makes changes to one profile, and prints each."""

    def __init__(self, bus: "Bus", path: str, quiet: bool) -> None:
        self._bus = bus
        self._path = path
        self._quiet = quiet

    def say(self, text: str) -> None:
        if not self._quiet:
            put(sanitize(text))

    async def rename(self, name: str) -> None:
        await set_property(self._bus, self._path, "name", "s", name)
        self.say("Configuration renamed")

    async def tags(self, member: str, tags: tuple[str, ...]) -> None:
        for tag in tags:
            await self._bus.call(CONFIGURATION, member, "s", tag, path=self._path)
            self.say(f"{'Added' if member == 'AddTag' else 'Removed'} tag: {tag}")

    async def set_dco(self, value: bool) -> None:
        await set_property(self._bus, self._path, "dco", "b", value)
        self.say(f"Kernel based data channel offload support is {'enabled' if value else 'disabled'}")

    async def set_override(self, name: str, value: bool | str) -> None:
        from dbus_fast import Variant

        variant = Variant(OVERRIDES[name].type, value)
        await self._bus.call(CONFIGURATION, "SetOverride", "sv", name, variant, path=self._path)
        if isinstance(value, bool):
            self.say(f"Override '{name}' is {'enabled' if value else 'disabled'}")
        else:
            self.say(f"Set override '{name}' to '{_shown(name, value)}'")

    async def unset_override(self, name: str) -> None:
        await self._bus.call(CONFIGURATION, "UnsetOverride", "s", name, path=self._path)
        self.say(f"Unset override '{name}'")

    async def set_setting(self, name: str, value: bool | str) -> None:
        await set_setting(self._bus, self._path, name, value)
        shown = f"'{value}'" if isinstance(value, str) else "enabled" if value else "disabled"
        self.say(f"Setting '{name}' is {shown}")


async def _settings(bus: "Bus", path: str) -> dict[str, Any]:
    properties = await readable_properties(bus, path)
    overrides = {name: variant.value for name, variant in properties["overrides"].items()}
    settings = {
        "path": path,
        "name": properties["name"],
        "tags": list(properties["tags"]),
        "readonly": properties["readonly"],
        "persistent": properties["persistent"],
        "dco": properties["dco"],
        "valid": properties["valid"],
        "dns_scope": overrides.get("dns-scope") or "global",
        "overrides": overrides,
        "settings": await own_settings(bus, path, properties),
    }
    reason = "" if properties["valid"] else await invalid_reason(bus, path)
    return settings | ({"invalid_reason": reason} if reason else {})


def settings_text(settings: dict[str, Any]) -> str:
    """Settings as the openvpn3 command line shows them; passwords are not shown."""
    scope = settings["dns_scope"] + ("" if "dns-scope" in settings["overrides"] else " (default)")
    rows = [
        ("Configuration path", settings["path"]),
        ("Name", settings["name"]),
        ("Tags", ", ".join(settings["tags"])),
        ("Read only", _yes_or_no(settings["readonly"])),
        ("Persistent config", _yes_or_no(settings["persistent"])),
        ("Data Channel Offload", _yes_or_no(settings["dco"])),
        ("DNS Resolver Scope", scope),
    ]
    lines = [f"{label + ': ':>{_COLUMN}}{sanitize(value)}" for label, value in rows if value]
    if reason := settings.get("invalid_reason"):
        lines += ["", f"    *WARNING*  Invalid profile: {sanitize(reason)}"]
    overrides = [
        f"{name + ': ':>{_COLUMN}}{sanitize(_shown(name, value))}" for name, value in settings["overrides"].items()
    ]
    lines += ["", "  Overrides:" if overrides else "  Overrides:  No overrides set.", *overrides]
    if settings["settings"] is not None:
        lines += ["", "  Settings:"]
        lines += [f"{name + ': ':>{_COLUMN}}{_setting(name, value)}" for name, value in settings["settings"].items()]
    return "\n".join(["", *lines, ""])


def _given(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The options of these names that were given."""
    values = {name: options[name.replace("-", "_")] for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _setting(name: str, value: bool | str) -> str:
    default = name in SETTINGS and value == SETTINGS[name].default
    shown = value if isinstance(value, str) else _yes_or_no(value)
    return sanitize(shown) + (" (default)" if default and value != "default" else "")


def _shown(name: str, value: bool | str) -> str:
    if name in SECRET_OVERRIDES:
        return MASK
    return str(value).lower() if isinstance(value, bool) else value


def _yes_or_no(value: bool) -> str:
    return "Yes" if value else "No"
