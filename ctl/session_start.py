"""session-start: a new session, and waiting for its connection."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import StatusMinor
from .arguments import file, object_path, seconds, text
from .exits import CommandError, CommandExit, help_epilog, sanitize
from .profiles import import_profile, profiles_named, the_only
from .progress import Progress, progress
from .run import on_bus, print_json, put, say
from .services import CONFIGURATION, SESSIONS
from .sessions import inspected
from .show import connected_text, session_json
from .verdicts import asks_credentials, reasons_text

if TYPE_CHECKING:
    from .bus import Bus


@click.command("session-start", epilog=help_epilog())
@click.option("-c", "--config", type=text, metavar="NAME|FILE", help="Name of the profile, or a file to use once.")
@click.option("-p", "--config-path", type=object_path, metavar="PATH", help="D-Bus path of the profile.")
@click.option("--timeout", type=seconds, metavar="SECONDS", help="Fail after SECONDS.")
@click.option(
    "--credentials-file",
    type=file,
    metavar="FILE",
    help="File with user name and password, one a line; other input is still asked for.",
)
@asks_credentials
@click.option("--background", is_flag=True, help="Do not wait for the connection.")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress, and no warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print the session as sessions-list --json does, and notices.")
def session_start(
    config: str | None,
    config_path: str | None,
    timeout: float | None,
    credentials_file: str | None,
    ask_credentials: bool,
    background: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Start a session, and wait until it is connected.

    User input that the session needs is asked for at the terminal; without one, the answers are read from standard
    input, one a line, in the order of the questions.  The URL of a web login is printed on standard error.

    The files that a profile from a file names are embedded, as config-import does, but for the user name and password
    that --credentials-file gives.

    What was left out of the profile or of the server's settings, or changed, is printed on standard error, a line each.

    If the connection fails, or ovpnctl is interrupted or its terminal closed, the session is disconnected.
    """
    if (config is None) == (config_path is None):
        raise click.UsageError("Name the profile by either --config or --config-path.")
    if ask_credentials and config is None:
        raise click.UsageError("--ask-credentials is for a profile from a file.")

    async def work(bus: "Bus") -> tuple[str, dict[str, Any], list[str]]:
        from .connect import connect, end_session, explained, until
        from .credentials import Asker, read_credentials
        from .profile_file import CREDENTIALS
        from .watch import Watch

        credentials = read_credentials(credentials_file)
        watch = await Watch.start(bus)
        with watch.interruptible(), progress(quiet=quiet) as shown:
            left_out = CREDENTIALS if ask_credentials else CREDENTIALS[:1] if credentials_file else ()
            path = await new_session(bus, config, config_path, left_out, shown)
            try:
                asker = Asker(bus, shown, credentials)
                async with explained(bus, path):
                    status = await connect(bus, watch, path, asker)
                    if not background:
                        goal = StatusMinor.CONN_CONNECTED
                        await until(goal, watch, path, shown, first=status, timeout=timeout, asker=asker)
                properties = await bus.properties(SESSIONS, path)
                notices = list((await inspected(bus, path)).get("notices", ()))
            except BaseException as error:  # whatever it is: nobody would use this session
                if not (isinstance(error, CommandError) and error.status == CommandExit.UNREACHABLE):
                    await end_session(bus, path)
                raise
        return path, properties, notices

    path, properties, notices = on_bus(work)
    for notice in () if quiet else notices:
        say(f"Warning: {sanitize(notice)}")
    if as_json:
        print_json({**session_json(path, properties), "notices": notices})
    else:
        put(f"Session path: {path}")
        put("Connecting in the background" if background else connected_text(properties))


async def new_session(
    bus: "Bus", config: str | None, config_path: str | None, left_out: tuple[str, ...], shown: Progress
) -> str:
    """Find the profile, or import the file for once, and make a session of it; returns its path.

    `left_out` are the blocks of user names and passwords that are not taken from the file.
    """
    imported = ""
    if config is not None:
        found = await profiles_named(bus, config)
        # Path.is_file raises for what is no file name at all.
        if not found and ("/" in config or os.path.isfile(config)):  # noqa: PTH113
            profile = _read(config, left_out, shown)
            shown.show(f"Using configuration profile from file: {sanitize(config)}")
            imported = await import_profile(bus, Path(config).name, profile, single_use=True, persistent=False)
        config_path = imported or the_only(found, "config", config, "--config-path")
    try:
        reply = await bus.call(SESSIONS, "NewTunnel", "o", config_path)
    except CommandError:
        if imported:
            with suppress(CommandError):
                await bus.call(CONFIGURATION, "Remove", path=imported)
        raise
    path: str = reply.body[0]
    return path


def _read(file: str, left_out: tuple[str, ...], shown: Progress) -> str:
    """The text of the profile in a file, complete.  Raises CommandError."""
    from .profile_file import read_profile

    profile = read_profile(file, ask=left_out)
    if profile.refused:
        raise CommandError(f"{file} cannot be used: {reasons_text(profile.refused)}", CommandExit.REFUSED)
    if profile.warnings:
        with shown.hidden():
            say(f"Warning: {sanitize(reasons_text(profile.warnings))}")
    return profile.text
