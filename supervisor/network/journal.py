"""Records of the devices and routing rules that the next instance must remove if this process is killed.

Addresses and routes are removed with their device, so only the device is recorded, and of rules and their tables the
numbers.  A record is written before what it is of can outlive this process, and kept until that has been removed.
Routes past the tunnel outlive it: the record has the ways they go, and the kernel tells which routes of ours
(dumps.PAST) go there.  Nothing is synced to disk: a crash of the machine removes all of it too.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec

from ..errors import SystemFailure
from ..record_file import RecordFile
from .default_route.rules import Numbers
from .prefixes import Way


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A device that this service made."""

    name: str
    index: int  # of the interface; the kernel does not use one twice
    namespace: str  # boot and network namespace in which name and index mean something
    uid: int  # who may open it
    session: str
    ways: tuple[Way, ...] = ()  # of the session's routes past its tunnel
    away: int = -1  # number of the network namespace that it is in, if that is another (handed.py)


class RulesEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Routing rules with these numbers are this service's."""

    numbers: Numbers
    namespace: str


class MarkedEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device of the machine looks at marks (reverse_paths.py)."""

    marked: int  # its index
    namespace: str


Noted = Entry | RulesEntry | MarkedEntry


def current_namespace() -> str:
    """An identifier of this process's network namespace, unique among boots."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/net').stat().st_ino}"


class DeviceJournal:
    """The records, in a directory that only this service may enter."""

    def __init__(self, directory: Path) -> None:
        """Make the directory if need be, and take the space; raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._records = RecordFile(directory / "records")
        self._places: dict[Noted, int] = {}

    def write(self, entry: Noted) -> None:
        """Record something; raises SystemFailure."""
        try:
            self._places[entry] = self._records.add(msgspec.json.encode(entry))
        except OSError as error:
            what = "the device" if isinstance(entry, Entry) else "the default route"
            raise SystemFailure(f"{what} cannot be noted on disk: {error.strerror}") from error

    def replace(self, entry: Entry, successor: Entry) -> None:
        """Record more of a device; raises SystemFailure."""
        place = self._places[entry]
        try:
            self._records.rewrite(place, msgspec.json.encode(successor))
        except OSError as error:
            raise SystemFailure(f"what a session has cannot be noted on disk: {error.strerror}") from error
        self._places[successor] = self._places.pop(entry)

    def remove(self, entry: Noted) -> None:
        """Remove a record, if there is one; raises OSError."""
        place = self._places.pop(entry, None)
        if place is not None:
            self._records.remove(place)

    def entries(self) -> Iterator[Noted | str]:
        """Everything recorded; for a record that cannot be read, which is removed, a message.  Raises OSError."""
        for place, record in self._records.read().items():
            try:
                if record is None:
                    raise ValueError("it is not whole")
                entry = _decode(record)
            except (ValueError, msgspec.MsgspecError) as error:
                self._records.remove(place)
                yield f"The record of a device is not readable and was removed: {error}"
            else:
                self._places[entry] = place
                yield entry

    def close(self) -> None:
        """Close the file; the records stay."""
        self._records.close()


def _decode(record: bytes) -> Noted:
    for prefix, kind in ((b'{"numbers"', RulesEntry), (b'{"marked"', MarkedEntry)):
        if record.startswith(prefix):
            return cast(Noted, msgspec.json.decode(record, type=kind))
    return msgspec.json.decode(record, type=Entry)
