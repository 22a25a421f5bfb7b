"""The kill switch's table as it is, and changes of it.  To be used in the network's thread."""

import time
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from ....policy.machine.dns_backend import leads_to_resolved
from ...errors import SystemFailure
from .. import nfnetlink
from . import lock_rules, sockets
from .lock_rules import Hold, Terms


class MachineLock:
    """All methods raise SystemFailure, and nothing has changed, unless they say otherwise.

    What others read is replaced, never changed: they may read it at any time.
    """

    def __init__(self, terms: Terms, devices: Callable[[], Iterable[int]]) -> None:
        """`devices` tells the indices of those into which sessions' traffic goes."""
        self.holds: tuple[Hold, ...] = ()
        self.pass_until = 0.0  # as time.monotonic() says
        self._terms = terms
        self._wanted_devices = devices
        self._devices = frozenset[int]()  # that the table has

    @property
    def pass_left(self) -> float:
        """The seconds that everything passes, 0 if it does not."""
        return max(self.pass_until - time.monotonic(), 0)

    def recover(self) -> None:
        """Take charge of what an earlier instance has left."""
        holds = lock_rules.holds_in_force()
        if holds is not None:
            self.pass_until = time.monotonic() + lock_rules.pass_in_force()
            self.holds = tuple(holds)  # first: it stays, whatever fails
            self._close(self.holds)

    def hold(self, hold: Hold, superseded: Callable[[Hold], bool]) -> None:
        """Lock the machine for one more, which ends a pass; those that this one supersedes no longer want it."""
        stay = (one for one in self.holds if one.session != hold.session and not superseded(one))
        self._rewrite((*stay, hold), end_pass=True)

    def end(self, ends: Callable[[Hold], bool]) -> tuple[Hold, ...]:
        """These no longer want the lock, which ends with the last; which they are."""
        ended = tuple(one for one in self.holds if ends(one))
        if ended:
            stay = tuple(one for one in self.holds if one not in ended)
            if stay:
                self._rewrite(stay)
            else:
                self._open()
        return ended

    def give_pass(self, seconds: float, may: Callable[[Hold], bool]) -> bool:
        """Let everything through for so long, if all who want the lock are such; whether they are."""
        if not self.holds or not all(map(may, self.holds)):
            return False
        nfnetlink.send(lock_rules.give_pass(seconds))
        self.pass_until = time.monotonic() + seconds
        return True

    def let_through(self, networks: tuple[str, ...]) -> None:
        """Let these networks through from now on, in place of those before."""
        if networks != self._terms.networks:
            self._terms = replace(self._terms, networks=networks)
            if self.holds:
                self._close(self.holds)

    def follow_devices(self) -> None:
        """There are other devices than before."""
        if not self.holds:
            return
        wanted = frozenset(self._wanted_devices())
        if wanted != self._devices:
            nfnetlink.send(lock_rules.change_devices(wanted - self._devices, self._devices - wanted))
            self._devices = wanted

    def let_ask(self, resolved: int) -> None:
        """A name is about to be looked up: where systemd-resolved is asked, that user may ask others for a while."""
        if self.holds and leads_to_resolved():
            nfnetlink.send(lock_rules.let_ask(resolved))

    def removed(self, alone: bool) -> bool:
        """Somebody may have removed our table; whether that is so.

        Whoever removes it alone wants it away; else it is put back.
        """
        if not self.holds or lock_rules.holds_in_force() is not None:
            return False
        if alone:
            self.holds = ()
            self.pass_until = 0.0
        else:
            self._close(self.holds)
        return True

    def _rewrite(self, holds: tuple[Hold, ...], *, end_pass: bool = False) -> None:
        lasts = 0.0 if end_pass else self.pass_until
        if self.holds:
            try:
                nfnetlink.send([*lock_rules.rewritten(holds), *(lock_rules.end_pass() if end_pass else ())])
            except SystemFailure:
                pass  # somebody has removed our table: it is made anew
            else:
                self.holds, self.pass_until = holds, lasts
                return
        self.pass_until = lasts
        self._close(holds)

    def _close(self, holds: tuple[Hold, ...]) -> None:
        """Close first, then see who speaks with whom, then let answers through: nobody begins to speak in between."""
        before = self.holds
        devices = frozenset(self._wanted_devices())
        nfnetlink.send(lock_rules.closed(self._terms, holds, devices, self.pass_left))
        self.holds = holds
        self._devices = devices
        try:
            nfnetlink.send(lock_rules.answering(sockets.look()))
        except SystemFailure:
            if not before:
                self._open()
            raise

    def _open(self) -> None:
        nfnetlink.send(lock_rules.opened())
        self.holds = ()
        self.pass_until = 0.0
