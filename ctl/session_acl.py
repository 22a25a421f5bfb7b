"""session-acl: who may use a session, and how."""

from typing import TYPE_CHECKING, Any

import click

from .arguments import text
from .config_acl import user_id, yes_or_no
from .exits import CommandError, CommandExit, sanitize
from .run import on_bus, print_json, put
from .services import SESSIONS
from .session_names import check_one_name, find_session, names_a_session
from .show import user_name

if TYPE_CHECKING:
    from .bus import Bus


@click.command("session-acl", short_help="Change or show who may use a session.")
@names_a_session
@click.option("-G", "--grant", type=text, metavar="USER", multiple=True, help="Share it with a user (name or number).")
@click.option("-R", "--revoke", type=text, metavar="USER", multiple=True, help="No longer share it with a user.")
@click.option("--public-access", type=bool, metavar="true|false", help="Let everybody look at it.")
@click.option(
    "--allow-log-access", type=bool, metavar="true|false", help="Let those it is shared with read its log, too."
)
@click.option("-s", "--show", is_flag=True, help="Show who may do what.")
@click.option("--json", "as_json", is_flag=True, help="Print who may do what, when all is changed, as an object.")
def session_acl(
    path: str | None,
    config: str | None,
    interface: str | None,
    grant: tuple[str, ...],
    revoke: tuple[str, ...],
    public_access: bool | None,
    allow_log_access: bool | None,
    show: bool,
    as_json: bool,
) -> None:
    """Change or show who may use a session.

    Changes are made in the order of the options below; the first that is refused ends the command.

    \b
    --json prints path, config_name, owner, owner_uid, public_access,
    log_access, granted_access [{name, uid}].
    """
    check_one_name(path, config, interface)
    users = [("AccessGrant", "Granted access to", user_id(user)) for user in grant]
    users += [("AccessRevoke", "Revoked access from", user_id(user)) for user in revoke]
    if not (users or show or as_json) and public_access is None and allow_log_access is None:
        raise click.UsageError("Nothing to do: give --show, or something to change.")

    def tell(text: str) -> None:
        if not as_json:
            put(text)

    async def work(bus: "Bus") -> dict[str, Any]:
        found = await find_session(bus, path, config, interface)
        for member, said, uid in users:
            await bus.call(SESSIONS, member, "u", uid, path=found)
            tell(f"{said} {user_name(uid)} (uid {uid})")
        if public_access is not None:
            await bus.set_property(SESSIONS, found, "public_access", "b", public_access)
            tell(f"Session is now readable to {'everyone' if public_access else 'only specific users'}")
        if allow_log_access is not None:
            await bus.set_property(SESSIONS, found, "restrict_log_access", "b", not allow_log_access)
            whom = "those it is shared with" if allow_log_access else "its owner only"
            tell(f"Session log is now readable to {whom}")
        return await _read(bus, found) if show or as_json else {}

    acl = on_bus(work)
    if as_json:
        print_json(acl)
    elif show:
        put(_acl_text(acl))


async def _read(bus: "Bus", path: str) -> dict[str, Any]:
    properties = await bus.properties(SESSIONS, path)
    if "owner" not in properties:
        raise CommandError("Access denied", CommandExit.REFUSED, "It belongs to another user, who can share it.")
    return {
        "path": path,
        "config_name": properties["config_name"],
        "owner": user_name(properties["owner"]),
        "owner_uid": properties["owner"],
        "public_access": properties["public_access"],
        "log_access": not properties["restrict_log_access"],
        "granted_access": [{"name": user_name(uid), "uid": uid} for uid in properties["acl"]],
    }


def _acl_text(acl: dict[str, Any]) -> str:
    """Who may do what, as the openvpn3 command line shows it."""
    granted = acl["granted_access"]
    lines = [
        f"            Configuration: {sanitize(acl['config_name'])}",
        f"                    Owner: ({acl['owner_uid']})  {acl['owner']}",
        f"            Public access: {yes_or_no(acl['public_access'])}",
        f" Users granted log access: {yes_or_no(acl['log_access'])}",
        f"     Users granted access: {len(granted)} {'user' if len(granted) == 1 else 'users'}",
    ]
    return "\n".join([*lines, *(f"{'-':>27} ({user['uid']})  {user['name']}" for user in granted)])
