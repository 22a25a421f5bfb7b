"""up: a session of a profile or file, as it is there or new, and waiting until it is of use."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import StatusMinor
from .arguments import seconds, text
from .exits import CommandError, CommandExit, NotFound, help_epilog, sanitize
from .profiles import invalid_reason
from .progress import Progress, progress
from .run import on_bus, print_json, put
from .services import SESSIONS
from .session_commands import disconnect, only_resumed
from .session_start import (
    Source,
    blocks_left_out,
    find_source,
    goal_of,
    notices_of,
    start,
    takes_credentials_file,
    warn,
)
from .sessions import SessionName, is_failed, matching, own_sessions, session_line, several_sessions
from .show import connected_text, session_json, status_of
from .verdicts import asks_credentials, reasons_text

if TYPE_CHECKING:
    from .bus import Bus
    from .connect import Answering
    from .watch import Watch

# Statuses of a session that goes on when it is told to.
_WAITS = (StatusMinor.CFG_OK, StatusMinor.CFG_REQUIRE_USER)


@click.command("up", epilog=help_epilog(), short_help="Connect a profile or file, and wait until it is connected.")
@click.argument("name", metavar="NAME|FILE", type=text)
@click.option(
    "--wait",
    type=click.Choice(["connected", "usable"]),
    default="connected",
    show_default=True,
    help="What to wait for.",
)
@click.option("--timeout", type=seconds, metavar="SECONDS", help="Fail after SECONDS.")
@click.option("--replace", is_flag=True, help="First end the session of this name that is there.")
@takes_credentials_file
@asks_credentials
@click.option("-q", "--quiet", is_flag=True, help="Print no progress, and no warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
def up(
    name: str,
    wait: str,
    timeout: float | None,
    replace: bool,
    credentials_file: str | None,
    ask_credentials: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Connect a profile or file, and wait until it is connected.

    NAME is that of a profile, or its D-Bus path; at a terminal the beginning of the name of a profile of yours suffices
    if no other one begins so (not with --replace).  A FILE has a slash in its name, or ends in .ovpn, and
    is used once; where a profile of yours has such a name, that is used.

    A session of yours of this profile that is there already is the one that is waited for; one that is paused is
    resumed.  There are never two of one name: that of another profile or file is in the way, unless --replace ends it.
    What can be found wrong with the profile or file is found before that.

    With --wait usable, it is also waited for that all that was asked for is in force, so that `ovpnctl status` has
    nothing that is not: addresses, routes, the default route, DNS.  What was left out for good, as the warnings say, is
    not waited for.

    User input is asked for as by session-start.  If the connection fails, or is not there in time, or ovpnctl is
    interrupted, a session that was started is disconnected, and one that was there before goes on.

    \b
    --json prints the members of sessions-list --json, and
      notices (what was left out or changed),
      started (false if the session was there before).
    """

    async def work(bus: "Bus") -> tuple[str, dict[str, Any], list[str], bool]:
        from .credentials import Asker, read_credentials
        from .watch import Watch

        credentials = read_credentials(credentials_file)
        watch = await Watch.start(bus)
        with watch.interruptible(), progress(quiet=quiet) as shown:
            left_out = blocks_left_out(credentials_file, ask_credentials=ask_credentials)
            source = await find_source(bus, name, left_out, shown, may_begin=not replace)
            there = await _there(bus, source)
            asker = Asker(bus, shown, credentials)
            if there and not replace:
                path, properties = there
                _check_same(source, path, properties)
                return *await _join(bus, watch, path, asker, shown, wait, timeout), False
            if there:
                await _check_usable(bus, source)
                await _end(bus, watch, there[0], shown, timeout)
            return *await start(bus, watch, source, asker, shown, wait=wait, timeout=timeout), True

    path, properties, notices, started = on_bus(work)
    warn(notices, quiet=quiet)
    if as_json:
        print_json({**session_json(path, properties), "notices": notices, "started": started})
    else:
        device = f" on {sanitize(properties['device_name'])}" if properties.get("device_name") else ""
        put(f"{sanitize(properties.get('config_name', ''))}: {connected_text(properties)}{device}")


async def _there(bus: "Bus", source: Source) -> tuple[str, dict[str, Any]] | None:
    """The session that this user has of a profile, or of one of its name, with its properties."""
    own = {path: one for path, one in (await own_sessions(bus)).items() if not is_failed(one)}
    of_profile = {path: one for path, one in own.items() if source.profile == one.get("config_path")}
    found = of_profile or matching(SessionName(source.name, ("config_name",)), own)
    if len(found) > 1:
        raise several_sessions(source.name, found)
    return next(((path, own[path]) for path in found), None)


def _check_same(source: Source, path: str, properties: dict[str, Any]) -> None:
    if source.profile != properties.get("config_path"):
        raise CommandError(
            f"there is a session named {source.name} already, of another profile or file:",
            CommandExit.REFUSED,
            "--replace ends it first; `ovpnctl session-start` starts one beside it.",
            [session_line(path, properties)],
        )


async def _join(
    bus: "Bus",
    watch: "Watch",
    path: str,
    asker: "Answering",
    shown: Progress,
    wait: str,
    timeout: float | None,
) -> tuple[str, dict[str, Any], list[str]]:
    """Wait for a session that is there, as `start` does; if that fails, it goes on."""
    from .connect import connect, explained, until

    async with explained(bus, path):
        status = status_of(await bus.properties(SESSIONS, path))
        if status.minor == StatusMinor.CONN_PAUSING:
            status = await until(StatusMinor.CONN_PAUSED, watch, path, shown, timeout=timeout)
        waits = status.minor in _WAITS
        if status.minor == StatusMinor.CONN_PAUSED:
            await bus.call(SESSIONS, "Resume", path=path)
            waits = await only_resumed(bus, path)
            status = status_of(await bus.properties(SESSIONS, path))
        if waits:
            status = await connect(bus, watch, path, asker)
        goal, lacking = goal_of(bus, path, wait)
        await until(goal, watch, path, shown, first=status, timeout=timeout, asker=asker, lacking=lacking)
    return path, await bus.properties(SESSIONS, path), await notices_of(bus, path)


async def _check_usable(bus: "Bus", source: Source) -> None:
    """Raise CommandError if no session can be started of it."""
    from ..worker.profile.verdict import verdict

    if source.profile:
        reason = await invalid_reason(bus, source.profile)
    else:
        reason = reasons_text(verdict(source.text).refused)
    if reason:
        raise CommandError(f"{source.name} cannot be used: {reason}", CommandExit.REFUSED)


async def _end(bus: "Bus", watch: "Watch", path: str, shown: Progress, timeout: float | None) -> None:
    """End the session that is to be replaced."""
    from .connect import until_gone

    shown.show(f"Disconnecting {path}")
    with suppress(NotFound):  # it has gone by itself
        await disconnect(bus, path)
    await until_gone(watch, path, timeout=timeout)
