"""sessions-list, session-manage, session-stats."""

from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import StatusMinor
from .arguments import seconds
from .progress import progress
from .run import on_bus, print_json, put
from .services import SESSIONS
from .sessions import SessionName, find_session, names_a_session, visible_sessions
from .show import session_json, sessions_text, statistics_text, status_json, status_of

if TYPE_CHECKING:
    from .bus import Bus
    from .status_text import Status


@click.command("sessions-list", short_help="List the sessions that you may use.")
@click.option("--json", "as_json", is_flag=True, help="Print an object, the sessions by path.")
def sessions_list(as_json: bool) -> None:
    """List the sessions that you may use.

    \b
    --json prints an object whose keys are the D-Bus paths; each session has
      path, config_path, config_name, session_name, device, owner, owner_uid,
      created (seconds since 1970), pid (of its worker),
      connected_to {protocol, address, port},
      status {major, minor, text, message};
    null where you may not read a value, or there is none yet.
    """

    sessions = on_bus(visible_sessions)
    if as_json:
        print_json({path: session_json(path, properties) for path, properties in sessions.items()})
    else:
        put(sessions_text(sessions))


@click.command("session-manage")
@names_a_session
@click.option("-P", "--pause", is_flag=True, help="Disconnect, and keep the session for --resume.")
@click.option("-R", "--resume", is_flag=True, help="Connect a paused session.")
@click.option("--restart", is_flag=True, help="Disconnect and connect again.")
@click.option("-D", "--disconnect", is_flag=True, help="End the session.")
@click.option(
    "--timeout",
    type=seconds,
    metavar="SECONDS",
    help="Wait until the session is paused or connected, and fail after SECONDS; without this option, do not wait.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was done as an object.")
def session_manage(
    named: SessionName,
    timeout: float | None,
    as_json: bool,
    **actions: bool,
) -> None:
    """Pause, resume, restart or end a session.

    With --timeout, user input that the session needs to connect again is asked for at the terminal, or read from
    standard input; for a session that was paused before it was ever connected, --resume does so in any case.

    \b
    --json prints path, action, and
      status {major, minor, text, message} (null without --timeout),
      or for --disconnect statistics (the counters by name).
    """
    try:
        [action] = [name for name, given in actions.items() if given]
    except ValueError:
        raise click.UsageError("Give one of --pause, --resume, --restart and --disconnect.") from None

    async def work(bus: "Bus") -> dict[str, Any]:
        found = await find_session(bus, named)
        if action == "disconnect":
            return {"path": found, "action": action, "statistics": await disconnect(bus, found)}
        status = await _change(bus, found, action, timeout)
        return {"path": found, "action": action, "status": status_json(status) if status else None}

    done = on_bus(work)
    if as_json:
        print_json(done)
    elif action == "disconnect":
        put("Session disconnected.")
        put(statistics_text(done["statistics"]))
    else:
        put(_SAID[action][timeout is not None])


# What is printed about an action that was begun, and about one that was waited for.
_SAID = {
    "pause": ("Initiated session pause", "Session paused"),
    "resume": ("Initiated session resume", "Session connected"),
    "restart": ("Initiated session restart", "Session connected"),
}


async def disconnect(bus: "Bus", path: str) -> dict[str, int]:
    """End a session; returns its last statistics."""
    statistics = await _statistics(bus, path)
    await bus.call(SESSIONS, "Disconnect", path=path)
    return statistics


async def _change(bus: "Bus", path: str, action: str, timeout: float | None) -> "Status | None":
    """Pause, resume or restart a session and, given a timeout, wait for that; returns the status then."""
    from .connect import connect, explained, until
    from .credentials import Asker
    from .watch import Watch

    watch = await Watch.start(bus)
    goal = StatusMinor.CONN_CONNECTED
    if action == "pause":
        goal = StatusMinor.CONN_PAUSED
        await bus.call(SESSIONS, "Pause", "s", "Front-end request", path=path)
    else:
        await bus.call(SESSIONS, action.capitalize(), path=path)
    unconnected = action == "resume" and await only_resumed(bus, path)
    if timeout is None and not unconnected:
        return None
    with watch.interruptible(), progress() as shown:
        asker = Asker(bus, shown)
        status = await connect(bus, watch, path, asker) if unconnected else None
        if timeout is None:
            return None
        async with explained(bus, path):
            return await until(goal, watch, path, shown, first=status, timeout=timeout, asker=asker)


async def only_resumed(bus: "Bus", path: str) -> bool:
    """Whether a session that was just resumed still waits for Connect, since it was paused before it ever got that.

    One that was connecting or connected goes on at once to the next status.
    """
    status = status_of({"status": await bus.property(SESSIONS, path, "status")})
    return status.minor == StatusMinor.CONN_RESUMING


async def _statistics(bus: "Bus", path: str) -> dict[str, int]:
    statistics: dict[str, int] = await bus.property(SESSIONS, path, "statistics")
    return statistics


@click.command("session-stats")
@names_a_session
@click.option("-j", "--json", "as_json", is_flag=True, help="Print an object, the counters by name.")
def session_stats(named: SessionName, as_json: bool) -> None:
    """Show a session's traffic and event counters, without those at zero."""

    async def work(bus: "Bus") -> dict[str, int]:
        return await _statistics(bus, await find_session(bus, named, may_begin=True))

    statistics = on_bus(work)
    if as_json:
        print_json(statistics)
    else:
        put(statistics_text(statistics))
