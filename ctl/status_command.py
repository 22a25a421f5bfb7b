"""status: what is in force of sessions, as the kernel and the resolver say."""

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import click

from .exits import CommandError, CommandExit
from .lock_view import lock_text, read_lock
from .run import on_bus, print_json, put
from .services import NAMESPACE, SESSIONS, STATUS
from .sessions import SessionName, find_session, inspected, readable_properties, session_name
from .status_view import brief_text, full_text, status_json

if TYPE_CHECKING:
    from .bus import Bus

_VERSION = 1  # of what --json prints; it grows when a member is renamed, removed or gets another meaning


@click.command("status", short_help="Show what is in force of your sessions.")
@click.argument("name", required=False, type=session_name)
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
def status(name: SessionName | None, as_json: bool) -> None:
    """Show what is in force of the sessions that you may use, and what was asked for and is not, and why.

    It begins with who has locked the machine by a kill switch, if anybody has.

    NAME is the name of a profile, the D-Bus path of a session, or its network device: of that session everything is
    shown.  Addresses, routes and name servers are those that the kernel and the resolver have now.

    The exit status is 0 if that session is connected, without NAME if all are; else 12.

    \b
    --json prints version (1; members may be added to it), lock: holders
    (user, uid, since, session_there; session, profile or null if they are
    not yours to see), lifted_for (seconds), and sessions, a list of
    objects with the members of sessions-list --json, and
      connected (true or false),
      connected_since, last_handshake (seconds since 1970), tls, cipher,
      bytes_in, bytes_out (on the wire),
      commands (ids of processes, one for each command that has the VPN as
        its only network: then mtu, addresses, name_servers and domains are
        those in its network namespace, and nothing is on this machine),
      mtu, addresses, gateways (the server's end of the tunnel),
      routes: destination, way (tunnel; past, by a gateway of the machine;
        several; unreachable; throw), metric, table,
      more_routes (how many there are besides),
      rules (for its tables), default_route (IPv4, IPv6, if the tunnel is it),
      name_servers, domains ("." is all names; "~": not searched),
      dns_backend (what sets them, and why that),
      not_in_force: what, why; more_not_in_force (how many besides),
      notices (what was left out or changed since it was started),
      last_error {cause, text, hint} (null while it is connected),
      unknown (what the kernel or the resolver did not tell, and why);
    null where there is none, or the service does not tell.
    """
    lock, shown = on_bus(lambda bus: _read_all(bus, name))
    if as_json:
        print_json({"version": _VERSION, "lock": lock, "sessions": shown})
    else:
        texts = [full_text(shown[0])] if name is not None else list(map(brief_text, shown)) or ["No sessions available"]
        put("\n\n".join(filter(None, (lock_text(lock), *texts))))
    if not shown or not all(one["connected"] for one in shown):
        sys.exit(CommandExit.NOT_CONNECTED)


async def _read_all(bus: "Bus", name: SessionName | None) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    return await read_lock(bus), await _read(bus, name)


async def _read(bus: "Bus", name: SessionName | None) -> list[dict[str, Any]]:
    if name is not None:
        return [await _one(bus, await find_session(bus, name, may_begin=True))]
    reply = await bus.call(SESSIONS, "FetchAvailableSessions")
    found = []
    for path in reply.body[0]:
        try:
            found.append(await _one(bus, path))
        except CommandError as error:
            if error.status != CommandExit.REFUSED:
                raise  # else it has been removed meanwhile
    return found


async def _one(bus: "Bus", path: str) -> dict[str, Any]:
    properties, inspection, in_force, namespace = await asyncio.gather(
        readable_properties(bus, path),
        inspected(bus, path),
        inspected(bus, path, STATUS),
        inspected(bus, path, NAMESPACE),
    )
    return status_json(path, properties, inspection, in_force, namespace)
