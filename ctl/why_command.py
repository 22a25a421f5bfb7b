"""why: the last failures of one's own sessions, also of those that are gone, and what to do."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import StatusMajor
from .exits import CommandExit, NotFound, sanitize
from .inspect_command import path_or_name
from .run import on_bus, print_json, put
from .services import FAILURES, SESSIONS
from .show import local_time, user_name
from .status_text import Status

if TYPE_CHECKING:
    from .bus import Bus

_PATH = f"{SESSIONS.root}/failures"
_REACHED = {
    "profile": "While its profile was looked at",
    "ready": "Before it was to connect",
    "connecting": "While it connected for the first time",
    "connected": "After it had been connected",
}


@click.command("why", short_help="Say why sessions of yours failed, and what to do.")
@click.argument("name", required=False, type=path_or_name)
@click.option("--json", "as_json", is_flag=True, help="Print a list, the newest first.")
def why(name: str | None, as_json: bool) -> None:
    """Say why sessions of yours failed, the newest first, and what to do.

    NAME is the name of a profile, or the D-Bus path of a session.  The last failures of each user are kept when the
    sessions are gone and the service has ended.  Root sees those of all users.

    \b
    --json prints a list of objects with
      time (seconds since 1970), profile, session (its path),
      owner and owner_uid, starter_uid (who started it),
      reached (profile, ready, connecting or connected),
      seconds (that the session lasted),
      status {major, minor, text, message},
      exit_status (that session-start ends with for it).
    """
    failures = [failure_json(one) for one in on_bus(_read) if name in (None, one["profile"], one["session"])]
    if as_json:
        print_json(failures)
    elif failures:
        put("\n\n".join(map(failure_text, failures)))
    else:
        put(f"No failure of {sanitize(name)} is known" if name else "No failures are known")


async def _read(bus: "Bus") -> list[dict[str, Any]]:
    try:
        properties = await bus.properties(SESSIONS, f"{_PATH}/{os.geteuid()}", FAILURES)
    except NotFound:
        return []
    return [{name: variant.value for name, variant in row.items()} for row in properties.get("failures", ())]


def failure_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """A failure as JSON, with the members that `ovpnctl why --help` lists."""
    from .connect import FAILURE
    from .show import status_json

    return {
        **{name: row[name] for name in ("time", "profile", "session")},
        "owner": user_name(row["owner"]),
        "owner_uid": row["owner"],
        "starter_uid": row["starter"],
        **{name: row[name] for name in ("reached", "seconds")},
        "status": status_json(Status(StatusMajor.CONNECTION, row["status"], row["text"])),
        "exit_status": FAILURE.get(row["status"], CommandExit.CONNECTION_FAILED),
    }


def failure_text(shown: Mapping[str, Any]) -> str:
    """The result of `failure_json` for people."""
    mine = shown["owner_uid"] == os.geteuid()
    lines = [
        f"{local_time(shown['time'])}  {sanitize(shown['profile'])}{'' if mine else ' of ' + sanitize(shown['owner'])}",
        f"        Path: {sanitize(shown['session'])}",
        f"        When: {_REACHED.get(shown['reached'], shown['reached'])}, {shown['seconds']} s after its start",
        f"       Cause: {sanitize(shown['status']['message'] or shown['status']['text'])}",
    ]
    return "\n".join(lines)
