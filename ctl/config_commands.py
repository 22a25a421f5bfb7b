"""config-import, configs-list, config-remove."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .arguments import file, text, utf8
from .exits import CommandError, CommandExit, sanitize
from .profiles import check_one_name, find_profile, import_profile, invalid_reason, names_a_profile, own_settings
from .run import ask, on_bus, print_json, put, say
from .services import CONFIGURATION
from .show import profile_json, profiles_text
from .verdicts import asks_credentials, remarks_text, verdict_json, verdict_text

if TYPE_CHECKING:
    from .bus import Bus


@click.command("config-import")
@click.option(
    "-c",
    "--config",
    "source",
    type=file,
    metavar="FILE",
    required=True,
    help="Profile to import; - for standard input.",
)
@click.option("-n", "--name", type=text, metavar="NAME", help="Name of the profile (default: the name of the file).")
@click.option("-p", "--persistent", is_flag=True, help="Keep the profile across reboots.")
@click.option("--tag", "tags", type=text, metavar="TAG", multiple=True, help="Add a tag; may be repeated.")
@asks_credentials
@click.option(
    "--force", is_flag=True, help="Import it even if no session can be started with it, if it can be read at all."
)
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
def config_import(
    source: str,
    name: str | None,
    persistent: bool,
    tags: tuple[str, ...],
    ask_credentials: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Import a configuration profile.

    The files that the profile names are embedded in it: certificates, keys, user names and passwords.  They are looked
    for in the directory of the profile, or the one that its option cd names.

    What sessions would leave out or change is printed on standard error.  If none could be started, all reasons are
    printed, and the profile is not imported.

    \b
    --json prints path (null if it is not imported), name, and the members that
    check --json prints.
    """
    from .profile_file import CREDENTIALS, read_profile

    if name is None:
        name = _file_name(source)
    profile = read_profile(source, ask=CREDENTIALS if ask_credentials else ())
    verdict = profile.verdict()
    if verdict.refused and not force:
        if as_json:
            print_json({"path": None, "name": name, **verdict_json(verdict)})
        else:
            forced = "; --force imports it all the same" if profile.importable else ""
            say(f"{verdict_text(name, verdict)}\nIt is not imported{forced}.")
        sys.exit(CommandExit.REFUSED)

    async def work(bus: "Bus") -> str:
        path = await import_profile(bus, name, profile.text, single_use=False, persistent=persistent)
        try:
            for tag in tags:
                await bus.call(CONFIGURATION, "AddTag", "s", tag, path=path)
        except CommandError:
            await bus.call(CONFIGURATION, "Remove", path=path)
            raise
        return path

    path = on_bus(work)
    if as_json:
        print_json({"path": path, "name": name, **verdict_json(verdict)})
    else:
        if text := verdict_text(name, verdict) if verdict.refused else remarks_text(verdict):
            say(text)
        put(f"Configuration imported.  Configuration path: {path}")


def _file_name(source: str) -> str:
    if source == "-":
        raise click.UsageError("A profile from standard input needs a --name.")
    try:
        return utf8(Path(source).name)
    except click.BadParameter:
        raise click.UsageError("The name of the file is not UTF-8: give the profile a --name.") from None


@click.command("configs-list", short_help="List the configuration profiles that you may use.")
@click.option(
    "--filter-config", "prefix", metavar="PREFIX", default="", help="Only profiles whose name begins with PREFIX."
)
@click.option("--filter-tag", "tag", type=text, metavar="TAG", help="Only profiles with this tag.")
@click.option("--filter-owner", "owner", type=text, metavar="USER", help="Only profiles of this user (name or number).")
@click.option("--count", is_flag=True, help="Print only the number of profiles.")
@click.option("-v", "--verbose", is_flag=True, help="Also show path, owner and number of uses.")
@click.option("--json", "as_json", is_flag=True, help="Print an object, the profiles by path.")
def configs_list(prefix: str, tag: str | None, owner: str | None, count: bool, verbose: bool, as_json: bool) -> None:
    """List the configuration profiles that you may use.

    \b
    --json prints an object whose keys are the D-Bus paths; each profile has
      path, name, valid, invalid_reason (if it is not), persistent, single_use,
      tags, dco, transfer_owner_session, use_count,
      imported, lastused (local time),
      imported_tstamp, lastused_tstamp (seconds since 1970),
      acl {owner, locked_down, public_access, granted_access},
      settings {…} as config-manage --json prints them.
    """
    if as_json and (count or verbose):
        raise click.UsageError("--json cannot be combined with --count or --verbose.")
    if tag is not None and owner is not None:
        raise click.UsageError("--filter-tag cannot be combined with --filter-owner.")

    async def work(bus: "Bus") -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
        if tag is not None:
            reply = await bus.call(CONFIGURATION, "SearchByTag", "s", tag)
        elif owner is not None:
            reply = await bus.call(CONFIGURATION, "SearchByOwner", "s", owner)
        else:
            reply = await bus.call(CONFIGURATION, "FetchAvailableConfigs")
        every = await bus.all_properties(CONFIGURATION, reply.body[0])
        profiles = {path: one for path, one in every.items() if one.get("name", "").startswith(prefix)}
        return profiles, {path: await _more(bus, path, one) for path, one in profiles.items()} if as_json else {}

    profiles, more = on_bus(work)
    if count:
        put(f"Configurations found: {len(profiles)}")
    elif as_json:
        print_json({path: profile_json(path, one) | more[path] for path, one in profiles.items()})
    else:
        put(profiles_text(profiles, verbose))


async def _more(bus: "Bus", path: str, properties: dict[str, Any]) -> dict[str, Any]:
    """What is not among the properties of a profile, as JSON."""
    found: dict[str, Any] = {"settings": await own_settings(bus, path, properties)}
    if not properties.get("valid", True):
        found["invalid_reason"] = await invalid_reason(bus, path)
    return found


@click.command("config-remove")
@names_a_profile
@click.option("--force", is_flag=True, help="Do not ask for confirmation.")
def config_remove(path: str | None, config: str | None, force: bool) -> None:
    """Remove a configuration profile; sessions that use it continue."""
    check_one_name(path, config)

    async def find(bus: "Bus") -> str:
        return await find_profile(bus, path, config)

    async def remove(bus: "Bus") -> None:
        await bus.call(CONFIGURATION, "Remove", path=found)

    found = on_bus(find)
    if not force:
        answer = ask(f"Remove the profile {sanitize(config or found)}? [y/N]:")
        if answer.lower() not in ("y", "yes"):
            raise CommandError("config-remove was cancelled", CommandExit.OTHER)
    on_bus(remove)
    say("Configuration removed.")
