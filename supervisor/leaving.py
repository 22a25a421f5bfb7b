"""How the service leaves the bus: idle, for good, or for the next instance, which takes over its sessions."""

import asyncio

from ..policy.dbus_numbers import LogGroup
from ..policy.limits import LEAVING_DEADLINE
from .errors import SystemFailure
from .parts import Parts
from .start.starter import by_systemd


async def hand_over(parts: Parts) -> None:
    """Release the names and answer the calls that have come before, but leave sessions to the next instance.

    Raises BusLost, BusRefused.
    """
    parts.log.info(f"Leaving to the next instance; sessions that go on: {parts.manager.count}")
    work = parts.work()
    abandon(parts)
    await parts.names.release()
    await _answer_all(parts)
    if parts.succession.due.is_set():
        parts.succession.call_next(work)
    await _see_sent(parts)


def abandon(parts: Parts) -> None:
    """Leave to the next instance what sessions there are, and begin none."""
    parts.autoconnect.stop()
    parts.manager.abandon_starting()
    parts.lock.leaving()


async def leave(parts: Parts, *, for_good: bool) -> bool:
    """Release the names, answer the calls that have arrived before that, and return whether to end now.

    A call that the bus delivers later starts the next instance; so none is lost.  Raises BusLost, BusRefused.
    """
    if for_good:
        await end_all(parts)
    parts.lock.leaving()
    await parts.names.release()
    # A call came meanwhile: stay, unless another instance has the names by now.
    came = parts.idle.called_since or parts.work() or parts.dispatcher.busy
    if not for_good and came and not await parts.names.own():
        parts.lock.staying()
        parts.idle.restart()
        return False
    await _answer_all(parts)
    await parts.manager.disconnect_all()
    await _see_sent(parts)
    if not for_good:
        parts.log.verb1("Idle: no session and no call for a while; ending")
    return True


async def end_all(parts: Parts) -> None:
    """Whoever stops the service wants the machine's network back."""
    parts.log.info("Asked to end: disconnecting all sessions")
    await disconnect_all(parts)
    if by_systemd():
        return  # the unit ends the kill switch: it can tell a stop from a restart and from the machine's shutdown
    try:
        await parts.network.kill_switch.end(lambda _: True, "the service is stopped")
    except SystemFailure as error:
        parts.log.error(f"The kill switch cannot be switched off: {error}", group=LogGroup.NETCFG)


async def disconnect_all(parts: Parts) -> None:
    """End all sessions, and begin none."""
    parts.autoconnect.stop()
    await parts.manager.disconnect_all()


async def _answer_all(parts: Parts) -> None:
    try:
        async with asyncio.timeout(LEAVING_DEADLINE):
            await parts.dispatcher.settled()
    except TimeoutError:
        parts.log.warn(f"Calls that are left unanswered: {parts.dispatcher.busy}")


async def _see_sent(parts: Parts) -> None:
    """Wait until the bus has all that was sent."""
    await parts.connection.drain()
    await parts.connection.round_trip()
