"""cleanup: end sessions that have failed; for root also what is left of a service that does not run."""

import os
import subprocess
from typing import TYPE_CHECKING, Any

import click

from .arguments import file
from .exits import CommandError, CommandExit
from .run import on_bus, print_json, put
from .services import PROGRAM, SESSIONS
from .sessions import is_failed, visible_sessions
from .show import status_of

if TYPE_CHECKING:
    from .bus import Bus


@click.command("cleanup", short_help="End sessions that have failed, and remove what is left of others.")
@click.option("--runtime-dir", type=file, metavar="DIR", help="The service's, where it is not the usual one.")
@click.option("--json", "as_json", is_flag=True, help="Print an array, an object for each session that was ended.")
def cleanup(runtime_dir: str | None, as_json: bool) -> None:
    """End the sessions that have failed, of those that you may use; as root, everybody's.

    When the service starts, it removes what one that was killed has left: devices, routes, rules, name servers; so this
    command has it started, where it does not run.  Where that is not possible, root removes all that without
    it, and what that was is printed; what somebody else has set in its place is left alone.

    \b
    --json prints for each session that was ended path, name, and message (its last status).
    """
    try:
        ended = on_bus(_end_failed)
    except CommandError as error:
        if os.geteuid() or error.status != CommandExit.UNREACHABLE:
            raise
        said = _by_hand(runtime_dir)
        if not as_json:
            put(said or "Nothing is left")
            return
        ended = []
    if as_json:
        print_json(ended)
        return
    for one in ended:
        put(f"Ended {one['name']} ({one['path']}): {one['message']}")
    if not ended:
        put("No session has failed")


async def _end_failed(bus: "Bus") -> list[dict[str, Any]]:
    ended = []
    for path, properties in (await visible_sessions(bus)).items():
        if is_failed(properties) and await _ends(bus, path):
            message = status_of(properties).message
            ended.append({"path": path, "name": properties.get("config_name"), "message": message})
    return ended


async def _ends(bus: "Bus", path: str) -> bool:
    """End a session; False if it has gone by itself, or is another user's."""
    try:
        await bus.call(SESSIONS, "Disconnect", path=path)
    except CommandError as error:
        if error.status != CommandExit.REFUSED:
            raise
        return False
    return True


def _by_hand(runtime_dir: str | None) -> str:
    """Have the service's program do nothing but this; what it says."""
    command = [*PROGRAM, "--clean-up", "--log-file=stdout:"]
    if runtime_dir:
        command.append(f"--runtime-dir={runtime_dir}")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise CommandError(f"what is left cannot be removed: {said}", CommandExit.OTHER)
    return done.stdout.strip()
