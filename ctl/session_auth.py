"""session-auth: sessions that wait for authentication."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import StatusMajor, StatusMinor
from .arguments import seconds
from .exits import CommandError, CommandExit, help_epilog, sanitize
from .progress import progress
from .run import on_bus, print_json, put
from .services import SESSIONS
from .sessions import SessionName, session_name, the_only_session, visible_sessions
from .show import RULE, connected_text, local_time, session_json, status_of

if TYPE_CHECKING:
    from .bus import Bus

_WAITING = {
    (StatusMajor.CONNECTION, StatusMinor.CFG_REQUIRE_USER),
    (StatusMajor.SESSION, StatusMinor.SESS_AUTH_URL),
}


@click.command(
    "session-auth", short_help="List the sessions that wait for authentication, or answer one.", epilog=help_epilog()
)
@click.argument("named", metavar="NAME", type=session_name, required=False)
@click.option("--auth-req", metavar="ID", type=int, help="Answer the session with this authentication request ID.")
@click.option("--timeout", type=seconds, metavar="SECONDS", help="Fail after SECONDS; the session is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print an object, the sessions by path.")
def session_auth(named: SessionName | None, auth_req: int | None, timeout: float | None, as_json: bool) -> None:
    """List the sessions that wait for authentication, or answer the questions of one of them.

    With NAME (of a session: its profile, D-Bus path or network device) or --auth-req, the answers are asked for at the
    terminal, or read from standard input, one a line; then ovpnctl waits until the session is connected.  If that
    fails, the session is kept.  One that somebody else shares with you has to be named by its path or ID.

    \b
    --json prints an object whose keys are the D-Bus paths; each session has
    the members of sessions-list --json, and
      auth_request (the ID), url (of the web login, or null).
    """
    if named and auth_req is not None:
        raise click.UsageError("Name the session by either NAME or --auth-req.")
    answers = named is not None or auth_req is not None

    async def work(bus: "Bus") -> dict[str, dict[str, Any]]:
        every = await visible_sessions(bus)
        waiting = {path: properties for path, properties in every.items() if _waits(properties)}
        if not answers:
            return waiting
        found = _chosen(named, every) if named else None
        for path, properties in waiting.items():
            if found == path or (auth_req is not None and properties.get("backend_pid") == auth_req):
                return {path: await _answer(bus, path, properties, timeout)}
        which = f"{named.value} does not wait for" if named else f"no session waits with request {auth_req} for"
        hint = "`ovpnctl session-auth` shows those that do."
        raise CommandError(f"{which} authentication", CommandExit.REFUSED, hint)

    sessions = on_bus(work)
    if as_json:
        print_json({path: _json(path, properties) for path, properties in sessions.items()})
    elif not answers:
        put(_text(sessions))
    else:
        [properties] = sessions.values()
        put(connected_text(properties))


def _chosen(named: SessionName, sessions: Mapping[str, Mapping[str, Any]]) -> str:
    """The path of the session that is to be answered.  Raises CommandError."""
    if not named.properties:
        return named.value
    path = the_only_session(named, sessions)
    if os.getuid() not in (0, sessions[path].get("owner")):
        # Whoever shares a session chooses its name, and the server that gets the answers.
        text = f"the session {named.value} belongs to another user"
        raise CommandError(text, CommandExit.REFUSED, f"Name it by its path to answer it: {path}")
    return path


def _waits(properties: Mapping[str, Any]) -> bool:
    status = status_of(properties)
    return (status.major, status.minor) in _WAITING


async def _answer(bus: "Bus", path: str, properties: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """Answer a session and wait until it is connected; its properties then."""
    from .connect import explained, until
    from .credentials import Asker
    from .watch import Watch

    watch = await Watch.start(bus)
    with watch.interruptible(), progress() as shown:
        # A method call makes the session manager send this connection the session's signals from now on.
        await bus.call(SESSIONS, "UserInputQueueGetTypeGroup", path=path)
        goal = StatusMinor.CONN_CONNECTED
        async with explained(bus, path):
            asker = Asker(bus, shown)
            await until(goal, watch, path, shown, first=status_of(properties), timeout=timeout, asker=asker)
        return await bus.properties(SESSIONS, path)


def _json(path: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    shown = session_json(path, properties)
    return {**shown, "auth_request": shown["pid"], "url": _url(properties)}


def _url(properties: Mapping[str, Any]) -> str | None:
    status = status_of(properties)
    return status.message if status.minor == StatusMinor.SESS_AUTH_URL else None


def _text(sessions: Mapping[str, Mapping[str, Any]]) -> str:
    if not sessions:
        return "No sessions require authentication interaction"
    blocks = (_block(path, properties) for path, properties in sessions.items())
    return f"{RULE}\n" + "\n\n".join(blocks) + f"\n{RULE}"


def _block(path: str, properties: Mapping[str, Any]) -> str:
    lines = [
        f"        Path: {path}",
        f"     Created: {local_time(properties.get('session_created', 0))}",
        f" Config name: {sanitize(properties.get('config_name', ''))}",
        f"Auth Request: {properties.get('backend_pid', 0)}",
    ]
    if url := _url(properties):
        lines.append(f"    Auth URL: {sanitize(url)}")
    else:
        lines.append(f"      Status: {status_of(properties)}")
    return "\n".join(lines)
