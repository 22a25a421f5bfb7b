"""session-start: a new session, and waiting for its connection."""

import os
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import StatusMinor
from .arguments import file, object_path, seconds, text
from .exits import CommandError, CommandExit, help_epilog, sanitize
from .profiles import (
    import_profile,
    own_profiles_beginning,
    profile_line,
    profiles_named,
    readable_properties,
    the_only,
)
from .progress import Progress, progress
from .run import at_terminal, on_bus, print_json, put, say
from .services import CONFIGURATION, SESSIONS, STATUS
from .sessions import inspected
from .show import connected_text, session_json
from .verdicts import asks_credentials, reasons_text

if TYPE_CHECKING:
    from .bus import Bus
    from .connect import Answering, Lacking
    from .watch import Watch


@dataclass(frozen=True)
class Source:
    """What a session is started of: a profile that is stored, or the text of one from a file."""

    name: str  # of the profile, and so of its sessions
    profile: str = ""  # its path; empty for a file
    text: str = ""


takes_credentials_file = click.option(
    "--credentials-file",
    type=file,
    metavar="FILE",
    help="File with user name and password, one a line; other input is still asked for.",
)


@click.command("session-start", epilog=help_epilog())
@click.argument("name", metavar="NAME|FILE", type=text, required=False)
@click.option("-c", "--config", type=text, metavar="NAME|FILE", help="The same as NAME|FILE.")
@click.option("-p", "--config-path", type=object_path, metavar="PATH", help="D-Bus path of the profile.")
@click.option("--timeout", type=seconds, metavar="SECONDS", help="Fail after SECONDS.")
@takes_credentials_file
@asks_credentials
@click.option("--background", is_flag=True, help="Do not wait for the connection.")
@click.option("-q", "--quiet", is_flag=True, help="Print no progress, and no warnings.")
@click.option("--json", "as_json", is_flag=True, help="Print the session as sessions-list --json does, and notices.")
def session_start(
    name: str | None,
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

    NAME is that of a profile, or its D-Bus path; at a terminal the beginning of the name of a profile of yours suffices
    if no other one begins so.  A FILE has a slash in its name, or ends in .ovpn, and
    is used once; where a profile of yours has such a name, that is used.

    User input that the session needs is asked for at the terminal; without one, the answers are read from standard
    input, one a line, in the order of the questions.  The URL of a web login is printed on standard error.

    The files that a profile from a file names are embedded, as config-import does, but for the user name and password
    that --credentials-file gives.

    What was left out of the profile or of the server's settings, or changed, is printed on standard error, a line each.

    If the connection fails, or ovpnctl is interrupted or its terminal closed, the session is disconnected.
    """
    given = [one for one in (name, config, config_path) if one is not None]
    if len(given) != 1:
        raise click.UsageError("Name the profile by NAME, or by either --config or --config-path.")
    if ask_credentials and config_path is not None:
        raise click.UsageError("--ask-credentials is for a profile from a file.")

    async def work(bus: "Bus") -> tuple[str, dict[str, Any], list[str]]:
        from .credentials import Asker, read_credentials
        from .watch import Watch

        credentials = read_credentials(credentials_file)
        watch = await Watch.start(bus)
        with watch.interruptible(), progress(quiet=quiet) as shown:
            left_out = blocks_left_out(credentials_file, ask_credentials=ask_credentials)
            if config_path is not None:
                source = Source(config_path, config_path)
            else:
                source = await find_source(bus, given[0], left_out, shown, may_begin=True)
            wait = None if background else "connected"
            return await start(bus, watch, source, Asker(bus, shown, credentials), shown, wait=wait, timeout=timeout)

    path, properties, notices = on_bus(work)
    warn(notices, quiet=quiet)
    if as_json:
        print_json({**session_json(path, properties), "notices": notices})
    else:
        put(f"Session path: {path}")
        put("Connecting in the background" if background else connected_text(properties))


def blocks_left_out(credentials_file: str | None, *, ask_credentials: bool) -> tuple[str, ...]:
    """The blocks of user names and passwords that are not taken from a file, by these two options."""
    from .profile_file import CREDENTIALS

    return CREDENTIALS if ask_credentials else CREDENTIALS[:1] if credentials_file else ()


def warn(notices: list[str], *, quiet: bool) -> None:
    """Print what was left out or changed, unless it is to be `quiet`."""
    for notice in () if quiet else notices:
        say(f"Warning: {sanitize(notice)}")


async def start(
    bus: "Bus",
    watch: "Watch",
    source: Source,
    asker: "Answering",
    shown: Progress,
    *,
    wait: str | None,
    timeout: float | None,
) -> tuple[str, dict[str, Any], list[str]]:
    """Make a session, and wait for what `wait` says, see `goal_of`; its path, properties and notices.

    None waits for nothing.  If that fails, the session is disconnected.
    """
    from .connect import connect, end_session, explained, until

    path = await new_session(bus, source)
    try:
        async with explained(bus, path):
            status = await connect(bus, watch, path, asker)
            if wait:
                goal, lacking = goal_of(bus, path, wait)
                await until(goal, watch, path, shown, first=status, timeout=timeout, asker=asker, lacking=lacking)
        return path, await bus.properties(SESSIONS, path), await notices_of(bus, path)
    except BaseException as error:  # whatever it is: nobody would use this session
        if not (isinstance(error, CommandError) and error.status == CommandExit.UNREACHABLE):
            await end_session(bus, path)
        raise


def goal_of(bus: "Bus", path: str, wait: str) -> "tuple[StatusMinor, Lacking | None]":
    """What to wait for: that a session is "connected", or also "usable", all that was asked for being in force."""
    return StatusMinor.CONN_CONNECTED, partial(_lacking, bus, path) if wait == "usable" else None


async def _lacking(bus: "Bus", path: str) -> list[str]:
    from .status_view import lacking

    return lacking(await bus.properties(SESSIONS, path, STATUS))


async def notices_of(bus: "Bus", path: str) -> list[str]:
    """What was left out of a session, or changed."""
    return list((await inspected(bus, path)).get("notices", ()))


async def find_source(
    bus: "Bus", wanted: str, left_out: tuple[str, ...], shown: Progress, *, may_begin: bool = False
) -> Source:
    """What is meant by the name or path of a profile, or the name of a file, which is read.  Raises CommandError.

    `left_out` are the blocks of user names and passwords that are not taken from the file.  With `may_begin` the
    beginning of the name of one of this user's profiles suffices at a terminal.
    """
    if wanted.startswith(f"{CONFIGURATION.root}/"):
        return Source((await readable_properties(bus, wanted))["name"], wanted)
    if "/" in wanted:
        return _from_file(wanted, left_out, shown)
    found = await profiles_named(bus, wanted)
    there = os.path.isfile(wanted)  # noqa: PTH113  # Path.is_file raises for what is no file name at all
    if wanted.endswith(".ovpn") and there:
        if not found:
            return _from_file(wanted, left_out, shown)
        # Whoever shares a profile chooses its name, and its server.
        if not any(one.get("owner") == os.getuid() for one in found.values()):
            raise CommandError(
                f"{wanted} is a file, and a profile that is shared with you:",
                CommandExit.REFUSED,
                f"./{wanted} is the file, the profile's path is the profile.",
                [profile_line(path, one) for path, one in found.items()],
            )
        shown.show(f"Using your configuration profile {sanitize(wanted)}; ./{sanitize(wanted)} is the file")
    if not found and may_begin and at_terminal():
        found = await own_profiles_beginning(bus, wanted)
        for one in found.values() if len(found) == 1 else ():
            with shown.hidden():
                say(f"{sanitize(wanted)} is taken for {sanitize(one['name'])}")
    path = the_only(found, wanted, "--config-path", f"The file of this name is ./{wanted}" if there else "")
    return Source(found[path].get("name", wanted), path)


def _from_file(file: str, left_out: tuple[str, ...], shown: Progress) -> Source:
    source = Source(Path(file).name, text=_read(file, left_out, shown))
    shown.show(f"Using configuration profile from file: {sanitize(file)}")
    return source


async def new_session(bus: "Bus", source: Source) -> str:
    """Make a session, of a profile that is imported for once if it is from a file; returns its path."""
    profile = source.profile or await import_profile(bus, source.name, source.text, single_use=True, persistent=False)
    try:
        reply = await bus.call(SESSIONS, "NewTunnel", "o", profile)
    except CommandError:
        if not source.profile:
            with suppress(CommandError):
                await bus.call(CONFIGURATION, "Remove", path=profile)
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
