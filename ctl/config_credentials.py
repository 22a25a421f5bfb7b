"""config-credentials: which systemd credentials answer what a profile asks where nobody types."""

from typing import TYPE_CHECKING, Any

import click

from .exits import sanitize
from .profiles import check_one_name, find_profile, names_a_profile
from .run import on_bus, print_json, put
from .services import PROFILE_SETTINGS, SESSIONS

if TYPE_CHECKING:
    from .bus import Bus


@click.command("config-credentials", short_help="Name the systemd credentials for a profile that asks something.")
@names_a_profile
@click.option("--json", "as_json", is_flag=True, help="Print a list.")
def config_credentials(path: str | None, config: str | None, as_json: bool) -> None:
    """Name the systemd credentials that answer what sessions of a profile ask before they connect.

    For the owner of the profile, and root.  They are for sessions that return: those of config-manage --autoconnect,
    for which the unit openvpn3-sessionmgr.service has to have them, and those of openvpn3-sessionmgr-session@.service.
    Who starts a session by hand is asked as ever.

    The names are bound to the profile's owner, its text and its overrides, which say where an answer is sent: when one
    of these is another, so are the names, and the credentials have no effect any more.

    \b
    --json prints a list of objects with
      label (what is asked), credential (its name; empty if none may answer that),
      there (whether openvpn3-sessionmgr.service has it).
    """
    check_one_name(path, config)

    async def work(bus: "Bus") -> list[dict[str, Any]]:
        found = await find_profile(bus, path, config)
        reply = await bus.call(SESSIONS, "GetCredentials", "o", found, interface=PROFILE_SETTINGS)
        return [{"label": label, "credential": name, "there": there} for label, name, there in reply.body[0]]

    asked = on_bus(work)
    if as_json:
        print_json(asked)
    elif not asked:
        put("Sessions of this profile ask nothing before they connect")
    else:
        put("\n".join(map(_row, asked)))


def _row(one: dict[str, Any]) -> str:
    """The name first: the profile's owner chooses the words of some questions, which may look like a name."""
    name = one["credential"] or "no credential may answer"
    there = ", which the service has" if one["there"] else ""
    return sanitize(f"{name}{there}: {one['label']}")
