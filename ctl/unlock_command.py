"""unlock: end the kill switch, or lift it for a while; for root also without the service."""

import os
import subprocess
from typing import TYPE_CHECKING

import click

from .arguments import duration
from .exits import CommandError, CommandExit
from .lock_view import lock_text, read_lock
from .run import on_bus, put
from .services import LOCK, PROGRAM, SESSIONS

if TYPE_CHECKING:
    from .bus import Bus


@click.command("unlock", short_help="End the kill switch, or lift it for a while.")
@click.option("--for", "seconds", type=duration, metavar="TIME", help="Lift it for TIME (90s, 5m).")
def unlock(seconds: int | None) -> None:
    """End the kill switch that your sessions have switched on; root ends everybody's.

    The sessions go on without it.  With --for, everything passes for so long, as captive portals want it: log in at the
    portal's page, and the machine is locked again by itself.  That takes that nobody else has locked the machine, or
    root.

    Where the service does not run or does not answer, root ends the kill switch without it.
    """
    by_hand = os.geteuid() == 0 and seconds is None
    try:
        left = on_bus(lambda bus: _unlock(bus, seconds or 0, only_running=by_hand))
    except CommandError as error:
        if not by_hand or error.status != CommandExit.UNREACHABLE:
            raise
        _unlock_by_hand()
        left = ""
    if seconds:
        put(f"Everything passes for {seconds} s")
    else:
        put(left or "The machine is not locked any more")


async def _unlock(bus: "Bus", seconds: int, *, only_running: bool) -> str:
    """Have the service do it; what is left of the lock, as text."""
    if only_running and not await bus.owner_of(SESSIONS.name):
        raise CommandError("the session manager does not run", CommandExit.UNREACHABLE)
    await bus.call(SESSIONS, "Unlock", "u", seconds, interface=LOCK)
    return lock_text(await read_lock(bus))


def _unlock_by_hand() -> None:
    """Remove the kill switch from the kernel, by the service's program, which need not be able to start for that."""
    done = subprocess.run([*PROGRAM, "--unlock"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandError(f"the kill switch cannot be ended: {done.stderr.strip()}", CommandExit.OTHER)
