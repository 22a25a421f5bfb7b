"""session-auth: sessions that wait for authentication."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import StatusMajor, StatusMinor
from .arguments import seconds
from .exits import CommandError, CommandExit, help_epilog, sanitize
from .progress import progress
from .run import on_bus, print_json, put
from .services import SESSIONS
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
@click.option("--auth-req", metavar="ID", type=int, help="Answer the session with this authentication request ID.")
@click.option("--timeout", type=seconds, metavar="SECONDS", help="Fail after SECONDS; the session is kept.")
@click.option("--json", "as_json", is_flag=True, help="Print an object, the sessions by path.")
def session_auth(auth_req: int | None, timeout: float | None, as_json: bool) -> None:
    """List the sessions that wait for authentication, or answer the questions of one of them.

    With --auth-req, the answers are asked for at the terminal, or read from standard input, one a line; then ovpnctl
    waits until the session is connected.  If that fails, the session is kept.

    \b
    --json prints an object whose keys are the D-Bus paths; each session has
    the members of sessions-list --json, and
      auth_request (the ID), url (of the web login, or null).
    """

    async def work(bus: "Bus") -> dict[str, dict[str, Any]]:
        reply = await bus.call(SESSIONS, "FetchAvailableSessions")
        every = await bus.all_properties(SESSIONS, reply.body[0])
        waiting = {path: properties for path, properties in every.items() if _waits(properties)}
        if auth_req is None:
            return waiting
        for path, properties in waiting.items():
            if properties.get("backend_pid") == auth_req:
                return {path: await _answer(bus, path, properties, timeout)}
        text = f"no session waits with authentication request {auth_req}"
        raise CommandError(text, CommandExit.REFUSED, "`ovpnctl session-auth` shows those that do.")

    sessions = on_bus(work)
    if as_json:
        print_json({path: _json(path, properties) for path, properties in sessions.items()})
    elif auth_req is None:
        put(_text(sessions))
    else:
        [properties] = sessions.values()
        put(connected_text(properties))


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
