"""That answers to who connected from outside go back past the tunnels; to be used in the network's thread."""

from collections.abc import Iterable

from ...policy.dbus_numbers import LogGroup
from ..errors import SystemFailure
from ..logging.log import Log
from . import reverse_paths
from .default_route.answer_rules import Marking
from .firewall import Firewall
from .locking import sockets
from .locking.sockets import Peer
from .reverse_paths import ReversePaths


class Answers:
    """The mark of answers, while they are marked."""

    def __init__(self, firewall: Firewall, log: Log, mark: int, strict_devices: ReversePaths) -> None:
        self.mark = 0  # a bit; 0: they are not marked
        self._firewall = firewall
        self._log = log
        self._bit = mark
        self._reverse_paths = strict_devices
        self._strict = frozenset[int]()
        self._older = frozenset[Peer]()
        self._told = False  # that it cannot be had

    def begin(self, devices: Iterable[int], ways_out: Iterable[int]) -> None:
        """Have them marked, if the kernel can, with these devices as the tunnels and those as the machine's ways out.

        All by their indices.
        """
        self._strict = reverse_paths.strict(ways_out)
        if not self.mark:
            self._older = self._look_for_older()
        self._mark(devices)
        if self.mark:
            self._reverse_paths.follow(self._strict)

    def _look_for_older(self) -> frozenset[Peer]:
        try:
            return sockets.look().accepted
        except SystemFailure as error:
            self._log.warn(f"Connections from outside may end now: {error}", group=LogGroup.NETCFG)
            return frozenset()

    def _mark(self, devices: Iterable[int]) -> None:
        try:
            self._firewall.answer(Marking(self._bit, frozenset(devices), self._strict, self._older))
        except SystemFailure as error:
            self.mark = 0
            self._reverse_paths.end()
            if not self._told:
                self._told = True
                text = (
                    "While a session has the default route, only root's services answer who is farther away than the "
                    f"local network, no others' and no containers': connections cannot be tracked ({error})"
                )
                self._log.warn(text, group=LogGroup.NETCFG)
        else:
            self.mark = self._bit

    def follow(self, devices: Iterable[int]) -> None:
        """There are other devices."""
        if self.mark:
            self._mark(devices)

    def end(self) -> None:
        """Nobody has the default route any more."""
        self._reverse_paths.end()
        if self.mark:
            self.mark = 0
            try:
                self._firewall.answer(None)
            except SystemFailure as error:
                self._log.error(f"Answers are still marked: {error}", group=LogGroup.NETCFG)

    def undo(self) -> None:
        """Remove what an earlier instance left behind.  Raises SystemFailure."""
        self._firewall.remove_left()
