"""session-acl: who may use a session and read its log."""

from typing import TYPE_CHECKING, Any

import click

from .acl import grant_options, granted_json, granted_lines, grants, make_grants, show_options, yes_or_no
from .exits import sanitize
from .run import on_bus, print_json, put
from .services import SESSIONS
from .sessions import SessionName, find_session, names_a_session, readable_properties
from .show import user_name

if TYPE_CHECKING:
    from .bus import Bus


@click.command("session-acl", short_help="Change or show who may use a session.")
@names_a_session
@grant_options
@click.option("--public-access", type=bool, metavar="true|false", help="Let everybody read its properties.")
@click.option(
    "--allow-log-access", type=bool, metavar="true|false", help="Let users that it is shared with read its log."
)
@show_options
def session_acl(
    named: SessionName,
    grant: tuple[str, ...],
    revoke: tuple[str, ...],
    public_access: bool | None,
    allow_log_access: bool | None,
    show: bool,
    as_json: bool,
) -> None:
    """Change or show who may use a session.

    Changes are made in the order of the options below; the first that fails ends the command.

    \b
    --json prints path, config_name, owner, owner_uid, public_access,
    log_access, granted_access [{name, uid}].
    """
    users = grants(grant, revoke)
    changes = bool(users) or public_access is not None or allow_log_access is not None
    if not (changes or show or as_json):
        raise click.UsageError("Nothing to do: give --show, or something to change.")

    def report(text: str) -> None:
        if not as_json:
            put(text)

    async def work(bus: "Bus") -> dict[str, Any]:
        found = await find_session(bus, named, may_begin=not changes)
        await make_grants(bus, SESSIONS, found, users, report)
        if public_access is not None:
            await bus.set_property(SESSIONS, found, "public_access", "b", public_access)
            report(f"Session is now readable to {'everyone' if public_access else 'only specific users'}")
        if allow_log_access is not None:
            await bus.set_property(SESSIONS, found, "restrict_log_access", "b", not allow_log_access)
            whom = "those it is shared with" if allow_log_access else "its owner only"
            report(f"Session log is now readable to {whom}")
        return await _read(bus, found) if show or as_json else {}

    acl = on_bus(work)
    if as_json:
        print_json(acl)
    elif show:
        put(_acl_text(acl))


async def _read(bus: "Bus", path: str) -> dict[str, Any]:
    properties = await readable_properties(bus, path)
    return {
        "path": path,
        "config_name": properties["config_name"],
        "owner": user_name(properties["owner"]),
        "owner_uid": properties["owner"],
        "public_access": properties["public_access"],
        "log_access": not properties["restrict_log_access"],
        "granted_access": granted_json(properties),
    }


def _acl_text(acl: dict[str, Any]) -> str:
    """Who has access, as the openvpn3 command line shows it."""
    lines = [
        f"            Configuration: {sanitize(acl['config_name'])}",
        f"                    Owner: ({acl['owner_uid']})  {acl['owner']}",
        f"            Public access: {yes_or_no(acl['public_access'])}",
        f" Users granted log access: {yes_or_no(acl['log_access'])}",
    ]
    return "\n".join([*lines, *granted_lines(acl["granted_access"], 25, 27)])
