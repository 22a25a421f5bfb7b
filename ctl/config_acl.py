"""config-acl: who may use and read a profile."""

from typing import TYPE_CHECKING, Any

import click

from .acl import grant_options, granted_json, granted_lines, grants, make_grants, show_options, yes_or_no
from .exits import CommandError, CommandExit, sanitize
from .profiles import check_one_name, find_profile, names_a_profile, readable_properties, set_property
from .run import ask, on_bus, print_json, put, say
from .services import CONFIGURATION
from .show import user_name

if TYPE_CHECKING:
    from .bus import Bus

# What is printed when a switch is set to false, and to true.
_REPORTS = {
    "transfer_owner_session": (
        "Configuration ownership transfer to session disabled",
        "Configuration ownership transfer to session enabled",
    ),
    "locked_down": ("Configuration has been opened up", "Configuration has been locked down"),
    "public_access": (
        "Configuration is now readable to only specific users",
        "Configuration is now readable to everyone",
    ),
}


@click.command("config-acl")
@names_a_profile
@grant_options
@click.option(
    "-T",
    "--transfer-owner-session",
    type=bool,
    metavar="true|false",
    help="Give sessions to the profile's owner, whoever starts them.",
)
@click.option("--lock-down", type=bool, metavar="true|false", help="Let only the owner read its text.")
@click.option("--public-access", type=bool, metavar="true|false", help="Let everybody use it.")
@click.option("-S", "--seal", is_flag=True, help="Make it read-only; cannot be undone.")
@click.option("--force", is_flag=True, help="Do not ask for confirmation of --seal.")
@show_options
def config_acl(
    path: str | None,
    config: str | None,
    grant: tuple[str, ...],
    revoke: tuple[str, ...],
    transfer_owner_session: bool | None,
    lock_down: bool | None,
    public_access: bool | None,
    seal: bool,
    force: bool,
    show: bool,
    as_json: bool,
) -> None:
    """Change or show who may use a profile.

    Changes are made in the order of the options below; the first that fails ends the command.

    \b
    --json prints path, name, owner, owner_uid, readonly, locked_down,
    transfer_owner_session, public_access, granted_access [{name, uid}].
    """
    check_one_name(path, config)
    switches = {
        "transfer_owner_session": transfer_owner_session,
        "locked_down": lock_down,
        "public_access": public_access,
    }
    users = grants(grant, revoke)
    set_to = {name: value for name, value in switches.items() if value is not None}
    if not (users or set_to or seal or show or as_json):
        raise click.UsageError("Nothing to do: give --show, or something to change.")

    def report(text: str) -> None:
        if not as_json:
            put(text)

    async def change(bus: "Bus") -> str:
        found = await find_profile(bus, path, config)
        await make_grants(bus, CONFIGURATION, found, users, report)
        for name, value in set_to.items():
            await set_property(bus, found, name, "b", value)
            report(_REPORTS[name][value])
        return found

    async def seal_profile(bus: "Bus") -> None:
        await bus.call(CONFIGURATION, "Seal", path=found)

    async def read(bus: "Bus") -> dict[str, Any]:
        return acl_json(found, await readable_properties(bus, found))

    found = on_bus(change)
    if seal:
        if force or _confirmed():
            on_bus(seal_profile)
            report("Configuration has been sealed.")
        else:
            raise CommandError("--seal was cancelled", CommandExit.OTHER)
    if as_json:
        print_json(on_bus(read))
    elif show:
        put(acl_text(on_bus(read)))


def _confirmed() -> bool:
    say("This operation CANNOT be undone and makes this configuration profile read-only.")
    return ask("Are you sure you want to do this? (enter yes in upper case)") == "YES"


def acl_json(path: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Who has access, as the help of config-acl says."""
    return {
        "path": path,
        "name": properties["name"],
        "owner": user_name(properties["owner"]),
        "owner_uid": properties["owner"],
        "readonly": properties["readonly"],
        "locked_down": properties["locked_down"],
        "transfer_owner_session": properties["transfer_owner_session"],
        "public_access": properties["public_access"],
        "granted_access": granted_json(properties),
    }


def acl_text(acl: dict[str, Any]) -> str:
    """Who has access, as the openvpn3 command line shows it."""
    lines = [
        f"    Configuration name: {sanitize(acl['name'])}",
        f"                 Owner: ({acl['owner_uid']})  {acl['owner']}",
        f"             Read-only: {yes_or_no(acl['readonly'])}",
        f"           Locked down: {yes_or_no(acl['locked_down'])}",
        f"    Ownership transfer: {yes_or_no(acl['transfer_owner_session'])}",
        f"         Public access: {yes_or_no(acl['public_access'])}",
    ]
    if not acl["public_access"]:
        lines += granted_lines(acl["granted_access"], 22, 25)
    return "\n".join(lines)
