"""down: sessions are disconnected, and gone."""

import sys
from typing import TYPE_CHECKING, Any

import click

from .arguments import seconds
from .exits import CommandError, CommandExit, NotFound, sanitize
from .run import on_bus, print_json, put, say
from .services import SESSIONS
from .session_commands import disconnect
from .sessions import SessionName, find_session, is_failed, own_sessions, session_line, session_name

if TYPE_CHECKING:
    from .bus import Bus
    from .watch import Watch


@click.command("down", short_help="Disconnect a session, or all of yours, and wait until it is gone.")
@click.argument("named", metavar="NAME", type=session_name, required=False)
@click.option("--all", "everything", is_flag=True, help="Disconnect all sessions that belong to you.")
@click.option("--timeout", type=seconds, metavar="SECONDS", help="Fail after SECONDS; it is disconnected all the same.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print a list.")
def down(named: SessionName | None, everything: bool, timeout: float | None, quiet: bool, as_json: bool) -> None:
    """Disconnect a session, and wait until it is gone.

    NAME is the whole name of its profile, its D-Bus path, or its network device; without NAME it is the only session
    that belongs to you.  Root names the sessions of all users; --all means root's own for root, too.

    \b
    --json prints a list of objects, of each session that was disconnected:
      path, config_name, device, statistics (the counters by name).
    """
    if named and everything:
        raise click.UsageError("Give either NAME or --all.")
    ended, failed = on_bus(lambda bus: _down(bus, named, timeout, everything=everything))
    if as_json:
        print_json(ended)
    elif not quiet:
        for one in ended:
            put(f"{sanitize(one['config_name'] or one['path'])}: disconnected")
        if not ended and not failed:
            put("No sessions available")
    for error in failed:
        say(str(error))
    if failed:
        sys.exit(failed[0].status)


async def _down(
    bus: "Bus", named: SessionName | None, timeout: float | None, *, everything: bool
) -> tuple[list[dict[str, Any]], list[CommandError]]:
    """What was disconnected, and why some of all were not."""
    from .watch import Watch

    watch = await Watch.start(bus)
    with watch.interruptible():
        if not everything:
            path = await find_session(bus, named) if named else await _the_only(bus)
            return [await _end(bus, watch, path, timeout)], []
        ended, failed = [], []
        for path in await own_sessions(bus):
            try:
                ended.append(await _end(bus, watch, path, timeout))
            except NotFound:
                pass  # it has gone by itself
            except CommandError as error:
                if error.status not in (CommandExit.REFUSED, CommandExit.TIMED_OUT):
                    raise
                failed.append(error)
        return ended, failed


async def _the_only(bus: "Bus") -> str:
    own = await own_sessions(bus)
    found = {path: one for path, one in own.items() if not is_failed(one)} or own
    if not found:
        raise CommandError("no session belongs to you", CommandExit.REFUSED, "`ovpnctl sessions-list` shows others'.")
    if len(found) > 1:
        details = (session_line(path, one) for path, one in found.items())
        hint = "Name one, or give --all."
        raise CommandError(f"{len(found)} sessions belong to you:", CommandExit.REFUSED, hint, details)
    return next(iter(found))


async def _end(bus: "Bus", watch: "Watch", path: str, timeout: float | None) -> dict[str, Any]:
    from .connect import until_gone

    properties = await bus.properties(SESSIONS, path)
    statistics = await disconnect(bus, path)
    await until_gone(watch, path, timeout=timeout)
    return {
        "path": path,
        "config_name": properties.get("config_name", ""),
        "device": properties.get("device_name") or None,
        "statistics": statistics,
    }
