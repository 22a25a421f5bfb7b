"""config-acl: who may use a profile, and how."""

import pwd
from typing import TYPE_CHECKING, Any

import click

from .arguments import text
from .config_names import check_one_name, find_profile, names_a_profile, readable_properties, set_property
from .exits import CommandError, CommandExit, sanitize
from .run import ask, on_bus, print_json, put, say
from .services import CONFIGURATION
from .show import user_name

if TYPE_CHECKING:
    from .bus import Bus

_NOBODY = 2**32 - 1  # stands for "no user" in system calls

# What is said when a switch is set to false, and to true.
_SAID = {
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
@click.option("-G", "--grant", type=text, metavar="USER", multiple=True, help="Share it with a user (name or number).")
@click.option("-R", "--revoke", type=text, metavar="USER", multiple=True, help="No longer share it with a user.")
@click.option(
    "-T",
    "--transfer-owner-session",
    type=bool,
    metavar="true|false",
    help="Have its sessions belong to its owner, whoever starts them.",
)
@click.option("--lock-down", type=bool, metavar="true|false", help="Let nobody but the owner read its text.")
@click.option("--public-access", type=bool, metavar="true|false", help="Let everybody use it.")
@click.option("-S", "--seal", is_flag=True, help="Make it read-only for good.")
@click.option("--force", is_flag=True, help="Do not ask before --seal.")
@click.option("-s", "--show", is_flag=True, help="Show who may do what.")
@click.option("--json", "as_json", is_flag=True, help="Print who may do what, when all is changed, as an object.")
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

    Changes are made in the order of the options below; the first that is refused ends the command.

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
    users = [("AccessGrant", "Granted access to", user_id(user)) for user in grant]
    users += [("AccessRevoke", "Revoked access from", user_id(user)) for user in revoke]
    set_to = {name: value for name, value in switches.items() if value is not None}
    if not (users or set_to or seal or show or as_json):
        raise click.UsageError("Nothing to do: give --show, or something to change.")

    def tell(text: str) -> None:
        if not as_json:
            put(text)

    async def change(bus: "Bus") -> str:
        found = await find_profile(bus, path, config)
        for member, said, uid in users:
            await bus.call(CONFIGURATION, member, "u", uid, path=found)
            tell(f"{said} {user_name(uid)} (uid {uid})")
        for name, value in set_to.items():
            await set_property(bus, found, name, "b", value)
            tell(_SAID[name][value])
        return found

    async def seal_it(bus: "Bus") -> None:
        await bus.call(CONFIGURATION, "Seal", path=found)

    async def read(bus: "Bus") -> dict[str, Any]:
        return acl_json(found, await readable_properties(bus, found))

    found = on_bus(change)
    if seal:
        if force or _certain():
            on_bus(seal_it)
            tell("Configuration has been sealed.")
        else:
            raise CommandError("--seal was cancelled", CommandExit.OTHER)
    if as_json:
        print_json(on_bus(read))
    elif show:
        put(acl_text(on_bus(read)))


def user_id(user: str) -> int:
    """The number of a user given by name or number; raises CommandError."""
    if user.isascii() and user.isdecimal() and len(user) <= len(str(_NOBODY)) and int(user) < _NOBODY:
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise CommandError(f"there is no user {user}", CommandExit.REFUSED) from None


def _certain() -> bool:
    say("This operation CANNOT be undone and makes this configuration profile read-only.")
    return ask("Are you sure you want to do this? (enter yes in upper case)") == "YES"


def acl_json(path: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Who may do what, as the help of config-acl says."""
    return {
        "path": path,
        "name": properties["name"],
        "owner": user_name(properties["owner"]),
        "owner_uid": properties["owner"],
        "readonly": properties["readonly"],
        "locked_down": properties["locked_down"],
        "transfer_owner_session": properties["transfer_owner_session"],
        "public_access": properties["public_access"],
        "granted_access": [{"name": user_name(uid), "uid": uid} for uid in properties["acl"]],
    }


def acl_text(acl: dict[str, Any]) -> str:
    """Who may do what, as the openvpn3 command line shows it."""
    lines = [
        f"    Configuration name: {sanitize(acl['name'])}",
        f"                 Owner: ({acl['owner_uid']})  {acl['owner']}",
        f"             Read-only: {yes_or_no(acl['readonly'])}",
        f"           Locked down: {yes_or_no(acl['locked_down'])}",
        f"    Ownership transfer: {yes_or_no(acl['transfer_owner_session'])}",
        f"         Public access: {yes_or_no(acl['public_access'])}",
    ]
    if not acl["public_access"]:
        granted = acl["granted_access"]
        lines.append(f"  Users granted access: {len(granted)} {'user' if len(granted) == 1 else 'users'}")
        lines += [f"{'-':>25} ({user['uid']})  {user['name']}" for user in granted]
    return "\n".join(lines)


def yes_or_no(value: bool) -> str:
    """A switch in words."""
    return "yes" if value else "no"
