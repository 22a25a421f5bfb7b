"""session-start."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..ipc.codes import StatusMinor
from .config_commands import import_profile, profiles_named, the_only
from .exits import CommandError, Exit, help_epilog
from .profile_file import read_profile
from .progress import Progress, progress
from .run import on_bus, print_json
from .services import CONFIGURATION, SESSIONS
from .show import connected_text, session_json
from .words import Status

if TYPE_CHECKING:
    from .bus import Bus


@click.command("session-start", epilog=help_epilog())
@click.option("-c", "--config", metavar="NAME|FILE", help="Profile by name, or a file to be used once.")
@click.option("-p", "--config-path", metavar="PATH", help="D-Bus path of the profile.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Give up then.")
@click.option(
    "--credentials-file",
    metavar="FILE",
    help="User name and password, one a line; what else the session asks for is asked.",
)
@click.option("--background", is_flag=True, help="Do not wait for the connection.")
@click.option("--json", "as_json", is_flag=True, help="Print the session as sessions-list --json does.")
def session_start(
    config: str | None,
    config_path: str | None,
    timeout: float | None,
    credentials_file: str | None,
    background: bool,
    as_json: bool,
) -> None:
    """Start a session, and wait until it is connected.

    What it needs to know is asked at the terminal; without one, the answers are read from standard input, one a
    line, in the order of the questions. A web page to log in at is shown on standard error, and waited for.

    A session that cannot be connected is removed again, and so is one that is interrupted by Ctrl-C.
    """
    if (config is None) == (config_path is None):
        raise click.UsageError("Name the profile by either --config or --config-path.")

    async def work(bus: "Bus") -> tuple[str, dict[str, Any]]:
        from .connect import attended, check_going_on, end_session, until
        from .credentials import Asker, read_credentials
        from .watch import Changed, Watch

        credentials = read_credentials(credentials_file)
        watch = await Watch.start(bus)
        with watch.interruptible(), progress() as shown:
            path = await _new_session(bus, config, config_path, shown)
            try:
                asker = Asker(bus, shown, credentials)
                event = await attended(asker.answer(path), watch, path)
                check_going_on(event)
                if isinstance(event, Changed):  # somebody else answered, or ended it
                    status = event.status
                else:
                    await bus.call(SESSIONS, "Connect", path=path)
                    status = Status(*await bus.property(SESSIONS, path, "status"))
                if not background:
                    goal = StatusMinor.CONN_CONNECTED
                    await until(goal, watch, path, shown, first=status, timeout=timeout, asker=asker)
                properties = await bus.properties(SESSIONS, path)
            except CommandError as error:
                if error.status != Exit.UNREACHABLE:
                    await end_session(bus, path)
                raise
        return path, properties

    path, properties = on_bus(work)
    if as_json:
        print_json(session_json(path, properties))
    else:
        click.echo(f"Session path: {path}")
        click.echo("Connecting in the background" if background else connected_text(properties))


async def _new_session(bus: "Bus", config: str | None, config_path: str | None, shown: Progress) -> str:
    """Find the profile, or import the file for once, and make a session of it; returns its path."""
    imported = ""
    if config is not None:
        found = await profiles_named(bus, config)
        if not found and Path(config).is_file():
            shown.show(f"Using configuration profile from file: {config}")
            imported = await import_profile(
                bus, Path(config).name, read_profile(config), single_use=True, persistent=False
            )
        config_path = imported or the_only(found, "config", config)
    try:
        reply = await bus.call(SESSIONS, "NewTunnel", "o", config_path)
    except CommandError:
        if imported:
            with suppress(CommandError):
                await bus.call(CONFIGURATION, "Remove", path=imported)
        raise
    path: str = reply.body[0]
    return path
