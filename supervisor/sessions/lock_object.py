"""The D-Bus methods about the kill switch: who sees whose it is, and who may end it."""

from math import ceil

from ...policy.access import Acl, Caller, is_user
from ...policy.limits import MAX_PASS
from ..accounts import account_name
from ..bus.manager_api import ROOT_PATH
from ..errors import AccessDenied, CallerError
from ..network.locking.kill_switch import Held, KillSwitch
from .register import Register


class LockObject:
    """Answers the interface of bus/kill_switch_api.py."""

    acl: Acl | None = None

    def __init__(self, kill_switch: KillSwitch, register: Register) -> None:
        self._kill_switch = kill_switch
        self._register = register

    def get_lock(self, caller: Caller) -> tuple[list[tuple[int, int, bool, str, str]], int]:
        """Answers GetLock."""
        shown = [self._shown(held, caller) for held in self._kill_switch.holds]
        return shown, ceil(self._kill_switch.pass_left)

    def _shown(self, held: Held, caller: Caller) -> tuple[int, int, bool, str, str]:
        hold = held.hold
        session = self._register.named(hold.session)
        seen = caller.uid in (0, hold.user) or (session is not None and is_user(caller.uid, session.acl))
        path = f"{ROOT_PATH}/{hold.session}" if hold.session and seen else "/"
        profile = session.config_name if session is not None else hold.profile
        return hold.user, hold.since, held.live, path, profile if seen else ""

    async def unlock(self, caller: Caller, seconds: int) -> None:
        """Answers Unlock."""
        holds = [held.hold for held in self._kill_switch.holds]
        if not holds:
            raise CallerError("The machine is not locked")
        others = sorted({hold.user for hold in holds} - {caller.uid})
        names = ", ".join([await account_name(user) for user in others])
        if caller.uid != 0 and len(others) == len({hold.user for hold in holds}):
            raise AccessDenied(f"The machine is locked by {names}, who can unlock it, as can root")
        if not seconds:
            by = "root" if caller.uid == 0 else "its user"
            await self._kill_switch.end(lambda hold: caller.uid in (0, hold.user), f"{by} has ended it")
            return
        if seconds > MAX_PASS:
            raise CallerError(f"The kill switch can be lifted for {MAX_PASS} s at most, not for {seconds}")
        if not await self._kill_switch.give_pass(seconds, caller.uid):
            raise AccessDenied(f"The machine is locked by {names or 'others'} too: only root can let everything pass")
