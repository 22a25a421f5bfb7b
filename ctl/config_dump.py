"""config-dump: the text of a profile."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from ..policy.pieces import whole
from ..policy.profile.credentials import without_credentials
from ..policy.profile.overrides import SECRET_OVERRIDES
from ..policy.profile.syntax import ProfileTextError
from .exits import CommandError, CommandExit, sanitize
from .profiles import MASK, check_one_name, find_profile, names_a_profile, readable_properties
from .run import on_bus, print_json, put
from .services import CONFIGURATION

if TYPE_CHECKING:
    from .bus import Bus

_MEMBERS = (
    *("owner", "name", "tags", "import_timestamp", "last_used_timestamp", "locked_down", "transfer_owner_session"),
    *("readonly", "used_count", "dco", "public_access", "acl"),
)
# What FetchJSON gives for options that have user name and password asked for.
_ASKED = {"auth-user-pass": None, "http-proxy-user-pass": ["stdin"]}


@click.command("config-dump")
@names_a_profile
@click.option("--with-credentials", is_flag=True, help="Also print user names and passwords, if the profile is yours.")
@click.option("-j", "--json", "as_json", is_flag=True, help="Print an object, with the options by name.")
def config_dump(path: str | None, config: str | None, with_credentials: bool, as_json: bool) -> None:
    """Print the text of a profile, as it was imported; user names and passwords in it only if you ask for them.

    \b
    --json prints the members that openvpn3 config-dump --json has: object_path,
    owner (number), name, tags, import_timestamp, last_used_timestamp,
    locked_down, transfer_owner_session, readonly, used_count, dco,
    public_access, acl (numbers), overrides {…}, profile [{options by name}].
    """
    check_one_name(path, config)

    async def read_text(bus: "Bus") -> str:
        reply = await bus.call(CONFIGURATION, "Fetch", path=await find_profile(bus, path, config))
        return str(reply.body[0])

    async def read_all(bus: "Bus") -> dict[str, Any]:
        found = await find_profile(bus, path, config)
        reply = await bus.call(CONFIGURATION, "FetchJSON", path=found)
        properties = await readable_properties(bus, found)
        overrides = {name: variant.value for name, variant in properties["overrides"].items()}
        members = {name: properties[name] for name in _MEMBERS}
        options = json.loads(reply.body[0])
        if not with_credentials:
            options |= {name: _ASKED[name] for name in _ASKED.keys() & options.keys()}
            overrides |= {name: MASK for name in overrides if name in SECRET_OVERRIDES}
        return {"object_path": found, **members, "overrides": overrides, "profile": [options]}

    if as_json:
        print_json(on_bus(read_all))
    else:
        text = on_bus(read_text)
        if not with_credentials:
            text = _without_credentials(text)
        if sys.stdout.isatty():
            text = "\n".join(sanitize(line.rstrip("\r").replace("\t", " " * 8)) for line in text.split("\n"))
        put(text, newline=not text.endswith("\n"))


def _without_credentials(text: str) -> str:
    try:
        return whole(without_credentials(text))
    except ProfileTextError as error:
        raise CommandError(
            f"the profile cannot be read: {error}", CommandExit.REFUSED, "--with-credentials prints it as it is."
        ) from None
