"""The kill switch of one session: the machine is locked before its engine may connect, until its user has ended it."""

import asyncio

from ..network.locking.kill_switch import KillSwitch


class SessionLock:
    """For a session without a kill switch, nothing of it does anything."""

    def __init__(self, kill_switch: KillSwitch, session: str, starter: int, profile: str, *, wanted: bool) -> None:
        """`session` is its name, `profile` that of its profile."""
        self._kill_switch = kill_switch
        self._session = session
        self._starter = starter
        self._profile = profile
        self._wanted = wanted
        self._asked = False

    @property
    def due(self) -> bool:
        """Whether the machine is yet to be locked."""
        return self._wanted and not self._asked

    async def hold(self) -> None:
        """Lock the machine.  Raises SystemFailure."""
        self._asked = True
        await self._kill_switch.hold(self._session, self._starter, self._profile)

    def go_on(self) -> None:
        """An earlier instance has locked the machine for it, which somebody may have ended since."""
        self._asked = True
        if self._wanted:
            self._kill_switch.go_on(self._session)

    def let_go(self, ended: asyncio.Event) -> None:
        """The session was ended by its user: when `ended` is set, it needs no lock any more."""
        if self._wanted:
            self._kill_switch.let_go(self._session, ended)

    def ended(self) -> None:
        """Nothing is left of the session; the lock stays."""
        self._kill_switch.ended(self._session)
