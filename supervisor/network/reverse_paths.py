"""Devices that take packets only if an answer would leave by the same device (rp_filter 1).

The kernel asks that of a packet which it will forward without the packet's mark, so what comes for a container from far
away would be dropped while a session has the default route.  A setting of the device (src_valid_mark) has it look at
the mark; it is set while it takes, and noted on disk before.  To be used in the network's thread.
"""

import socket
from collections.abc import Iterable
from pathlib import Path

from ...policy.dbus_numbers import LogGroup
from ..errors import SystemFailure
from ..logging.log import Log
from .default_route import rule_requests
from .journal import DeviceJournal, MarkedEntry, current_namespace

_SETTINGS = Path("/proc/sys/net/ipv4/conf")
_STRICT = 1


class ReversePaths:
    """The devices that have this setting by us."""

    def __init__(self, journal: DeviceJournal, log: Log) -> None:
        self._journal = journal
        self._log = log
        self._noted: dict[int, MarkedEntry] = {}  # by index

    def follow(self, strict: frozenset[int]) -> None:
        """Have these devices look at marks.  What fails is logged: they drop what they did before."""
        for index in strict - self._noted.keys():
            try:
                if not _setting(index, "src_valid_mark"):
                    entry = MarkedEntry(index, current_namespace())
                    self._journal.write(entry)
                    self._noted[index] = entry
                    rule_requests.look_at_marks(index, 1)
            except (OSError, ValueError, SystemFailure) as error:
                text = "What comes from far away for containers is dropped while a session has the default route"
                self._log.warn(f"{text}: {error}", group=LogGroup.NETCFG)

    def take_over(self, entry: MarkedEntry) -> None:
        """A device looks at marks that an earlier instance has set."""
        self._noted[entry.marked] = entry

    def end(self) -> None:
        """The devices are as they were."""
        for entry in list(self._noted.values()):
            self.undo(entry)
        self._noted.clear()

    def undo(self, entry: MarkedEntry) -> None:
        """A device is as it was; also one of an earlier instance.  What fails is logged."""
        try:
            if entry.namespace == current_namespace():
                rule_requests.look_at_marks(entry.marked, 0)
        except SystemFailure as error:
            self._log.error(str(error), group=LogGroup.NETCFG)
        self._journal.remove(entry)


def strict(devices: Iterable[int]) -> frozenset[int]:
    """Which of these are strict."""
    return frozenset(index for index in devices if _is_strict(index))


def _is_strict(index: int) -> bool:
    try:
        return _setting(index, "rp_filter") == _STRICT
    except (OSError, ValueError):
        return False


def _setting(index: int, name: str) -> int:
    """What is in force: the larger one of that of the device and that of all.  Raises OSError."""
    return max(int((_SETTINGS / device / name).read_text()) for device in ("all", socket.if_indextoname(index)))
