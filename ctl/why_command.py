"""why: the last failures of one's own sessions, also of those that are gone, and what to do."""

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import StatusMajor
from .exits import NotFound, sanitize
from .lock_view import lock_text, read_lock
from .run import on_bus, print_json, put
from .services import FAILURES, SESSIONS
from .sessions import inspected, path_or_name, visible_sessions
from .show import local_time, status_json, status_of, user_name
from .status_text import Status

if TYPE_CHECKING:
    from .bus import Bus

_PATH = "/net/openvpn/v3/failures"
_REACHED = {
    "profile": "while its profile was looked at",
    "ready": "before it was to connect",
    "connecting": "before it was ever connected",
    "connected": "after it had been connected",
}


@click.command("why", short_help="Say why sessions of yours failed, and what to do.")
@click.argument("name", required=False, type=path_or_name)
@click.option("--json", "as_json", is_flag=True, help="Print a list.")
def why(name: str | None, as_json: bool) -> None:
    """Say why sessions of yours are not connected, or failed, the newest first, and what to do.

    NAME is the name of a profile, the D-Bus path of a session, or the network device of one that still tries.  The last
    failures of each user are kept when the sessions are gone and the service has ended.  Root sees those of all users.

    \b
    --json prints a list of objects with
      time (of the failure, seconds since 1970; null if it still tries),
      profile, session (its path), owner and owner_uid,
      device (null if it has none any more),
      reached (profile, ready, connecting or connected),
      seconds (from its start to the failure, or until now),
      status {major, minor, text, message}, cause, text, hint,
      exit_status (that session-start ends with for it; null if it still tries).
    """
    lock, all_of_them = on_bus(_read)
    told = [one for one in all_of_them if name in (None, one["profile"], one["session"], one["device"])]
    if as_json:
        print_json(told)
        return
    none = f"No failure of {sanitize(name)} is known" if name else "No failures are known"
    put("\n\n".join(filter(None, (lock_text(lock), *(map(failure_text, told) if told else [none])))))


async def _read(bus: "Bus") -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    return await read_lock(bus), [*await _still_trying(bus), *map(_failed, await _kept(bus))]


async def _kept(bus: "Bus") -> list[dict[str, Any]]:
    try:
        properties = await bus.properties(SESSIONS, f"{_PATH}/{os.geteuid()}", FAILURES)
    except NotFound:
        return []
    return [{name: variant.value for name, variant in row.items()} for row in properties.get("failures", ())]


async def _still_trying(bus: "Bus") -> list[dict[str, Any]]:
    """The sessions that are not connected though they should be, the newest first."""
    from .connect import FAILURE

    found = []
    for path, properties in (await visible_sessions(bus)).items():
        status = status_of(properties)
        cause, text, hint = (await inspected(bus, path)).get("last_error", ("", "", ""))
        if text and status.minor not in FAILURE:  # else it has failed, and that is kept
            created = properties.get("session_created", 0)
            found.append(
                {
                    "time": None,
                    "profile": properties.get("config_name", ""),
                    "session": path,
                    "device": properties.get("device_name") or None,
                    "owner": user_name(properties["owner"]),
                    "owner_uid": properties["owner"],
                    "reached": "connected" if properties.get("session_name") else "connecting",
                    "seconds": max(int(time.time()) - created, 0),
                    "status": status_json(status),
                    "cause": cause,
                    "text": text,
                    "hint": hint,
                    "exit_status": None,
                }
            )
    return sorted(found, key=lambda one: int(one["seconds"]))


def _failed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A failure that is kept as JSON, with the members that `ovpnctl why --help` lists."""
    from .connect import status_of_failure

    return {
        **{name: row[name] for name in ("time", "profile", "session")},
        "device": None,
        "owner": user_name(row["owner"]),
        "owner_uid": row["owner"],
        **{name: row[name] for name in ("reached", "seconds")},
        "status": status_json(Status(StatusMajor.CONNECTION, row["status"], row["text"])),
        **{name: row[name] for name in ("cause", "text", "hint")},
        "exit_status": status_of_failure(row["status"], row["cause"]),
    }


def failure_text(one: Mapping[str, Any]) -> str:
    """An object of the list for people."""
    when = local_time(one["time"]) if one["time"] else "Still trying"
    whose = "" if one["owner_uid"] == os.geteuid() else f" of {sanitize(one['owner'])}"
    reached = _REACHED.get(one["reached"], one["reached"])
    how = "Tries for" if one["time"] is None else "Failed after"
    lines = [
        f"{when}  {sanitize(one['profile'])}{whose}",
        f"        Path: {sanitize(one['session'])}",
        f"        When: {how} {one['seconds']} s, {reached}",
        f"       Cause: {sanitize(one['text'])}",
    ]
    if one["hint"]:
        lines.append(f"  What to do: {sanitize(one['hint'])}")
    return "\n".join(lines)
