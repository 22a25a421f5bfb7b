"""inspect: the processes of a session, the layers of the sandbox that confine them, what was left out of it."""

import os
from typing import TYPE_CHECKING, Any

import click

from .run import on_bus, print_json, put
from .services import INSPECTION, SESSIONS
from .sessions import SessionName, find_session, readable_properties, session_name

if TYPE_CHECKING:
    from .bus import Bus

Properties = dict[str, Any]


@click.command("inspect", short_help="Show the processes of a session, and what confines them.")
@click.argument("session", type=session_name, metavar="SESSION")
@click.option("--json", "as_json", is_flag=True, help="Print an object, with more details.")
def inspect_session(session: SessionName, as_json: bool) -> None:
    """Show the processes of a session, the layers of the sandbox that confine them, and what was left out or changed.

    SESSION is its D-Bus path, its network device, or the name of the profile it was started with.  For root, ovpnctl
    also reads what the kernel shows of the processes to root only (proc(5)).

    \b
    --json prints the members of sessions-list --json, and
      notices (what was left out or changed),
      session_uid (of the processes; null if there are none),
      layers (those in force), missing_layers (reasons by name),
      name_servers, domains (in use by this machine; "." is all names),
      dns_backend (what sets them),
      processes: role, pid, gone (ended meanwhile, or hidden), uid, state,
        cpu_user and cpu_system (seconds), cpu_percent (of one processor, since
        its start), memory and shared (bytes), threads, started (seconds since
        1970), and details, null except for root:
          descriptors, read_bytes, written_bytes (by all its system calls),
          uss, pss, swap (bytes), no_new_privs, seccomp (mode),
          seccomp_filters, capabilities (set: hexadecimal), namespaces (its own).
    """
    properties, inspection = on_bus(lambda bus: _read(bus, session))
    from .inspection import inspection_json, inspection_text

    details = _details(inspection) if os.geteuid() == 0 else {}
    shown = inspection_json(*properties, inspection, details)
    if as_json:
        print_json(shown)
    else:
        put(inspection_text(shown))


async def _read(bus: "Bus", session: SessionName) -> tuple[tuple[str, Properties], Properties]:
    """The path and properties of a session, and those of the interface for inspection."""
    found = await find_session(bus, session, may_begin=True)
    properties = await readable_properties(bus, found)
    return (found, properties), await bus.properties(SESSIONS, found, INSPECTION)


def _details(inspection: Properties) -> dict[int, dict[str, Any]]:
    from .process_details import details

    rows = [{name: variant.value for name, variant in row.items()} for row in inspection.get("processes", ())]
    return {row["pid"]: found for row in rows if "started" in row and (found := details(row))}
