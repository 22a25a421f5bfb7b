"""log: the log of a session, as it is written."""

import json
import time
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import CATEGORY_NAMES, GROUP_NAMES, MAX_LOG_LEVEL
from .exits import CommandError, CommandExit, sanitize
from .run import on_bus, put, say
from .services import SESSIONS
from .sessions import SessionName, find_session, names_a_session
from .show import status_json

if TYPE_CHECKING:
    from .bus import Bus
    from .watch import LogLine, StatusChanged


@click.command("log", short_help="Show the log of a session as it is written.")
@names_a_session
@click.option(
    "--log-level",
    type=click.IntRange(0, MAX_LOG_LEVEL),
    metavar=f"0-{MAX_LOG_LEVEL}",
    help="Set the session's log level, for all who read its log.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one object a line.")
def log(named: SessionName, log_level: int | None, as_json: bool) -> None:
    """Show the log of a session as it is written, until the session ends or Ctrl-C.

    Users that a session is shared with see only its status changes, unless its owner allows more
    (`ovpnctl session-acl --allow-log-access true`).

    \b
    --json prints for each line an object with time (seconds since 1970), type, and
      of type log:    group, category, text;
      of type status: major, minor, text, message.
    """

    async def work(bus: "Bus") -> None:
        found = await find_session(bus, named, may_begin=log_level is None)
        if log_level is not None:
            await bus.set_property(SESSIONS, found, "log_verbosity", "u", log_level)
        await _follow(bus, found, as_json)

    on_bus(work)


async def _follow(bus: "Bus", path: str, as_json: bool) -> None:
    from .watch import Interrupted, LogLine, ServiceLost, SessionGone, StatusChanged, Watch

    watch = await Watch.start(bus)
    with watch.interruptible():
        await bus.call(SESSIONS, "LogForward", "b", True, path=path)
        say(f"Attached to session {sanitize(path)}")
        while True:
            match await watch.next(path):
                case LogLine() | StatusChanged() as event:
                    put(json.dumps(_object(event), ensure_ascii=False) if as_json else _text(event))
                case SessionGone():
                    say("The session has ended")
                    return
                case ServiceLost(text):
                    raise CommandError(text, CommandExit.UNREACHABLE)
                case Interrupted():
                    return


def _text(event: "LogLine | StatusChanged") -> str:
    from .watch import StatusChanged

    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(event, StatusChanged):
        return f"{stamp} [STATUS] {event.status}"
    lines = [sanitize(line) for line in event.text.split("\n")]
    return f"{stamp} {_name(GROUP_NAMES, event.group)} {_name(CATEGORY_NAMES, event.category)}: " + "\n    ".join(lines)


def _object(event: "LogLine | StatusChanged") -> dict[str, Any]:
    from .watch import StatusChanged

    if isinstance(event, StatusChanged):
        return {"time": time.time(), "type": "status", **status_json(event.status)}
    return {
        "time": time.time(),
        "type": "log",
        "group": _name(GROUP_NAMES, event.group),
        "category": _name(CATEGORY_NAMES, event.category),
        "text": event.text,
    }


def _name(names: Any, number: int) -> str:
    return str(names.get(number, number))
