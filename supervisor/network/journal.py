"""Records of the devices that the next instance must remove if this process is killed.

Addresses and routes are removed with their device, so only the device is recorded.  Its record is written before the
device can outlive this process, and kept until it has been removed.  Routes past the tunnel outlive it: the record has
the ways they go, and the kernel tells which routes of ours (machine.PAST) go there.  Nothing is synced to disk: a crash
of the machine removes devices and routes too.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..errors import SystemFailure
from ..record_file import RecordFile
from .prefixes import Way


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A device that this service made."""

    name: str
    index: int  # of the interface; the kernel does not use one twice
    namespace: str  # boot and network namespace in which name and index mean something
    uid: int  # who may open it
    session: str
    ways: tuple[Way, ...] = ()  # of the session's routes past its tunnel


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
        self._places: dict[Entry, int] = {}

    def write(self, entry: Entry) -> None:
        """Record a device; raises SystemFailure."""
        try:
            self._places[entry] = self._records.add(msgspec.json.encode(entry))
        except OSError as error:
            raise SystemFailure(f"the device cannot be noted on disk: {error.strerror}") from error

    def replace(self, entry: Entry, successor: Entry) -> None:
        """Record more of a device; raises SystemFailure."""
        place = self._places[entry]
        try:
            self._records.rewrite(place, msgspec.json.encode(successor))
        except (OSError, ValueError) as error:
            raise SystemFailure(f"routes past the tunnel cannot be noted on disk: {error}") from error
        self._places[successor] = self._places.pop(entry)

    def remove(self, entry: Entry) -> None:
        """Remove the record of a device, if there is one; raises OSError."""
        place = self._places.pop(entry, None)
        if place is not None:
            self._records.remove(place)

    def entries(self) -> Iterator[Entry | str]:
        """Every device recorded; for a record that cannot be read, which is removed, a message.  Raises OSError."""
        for place, record in self._records.read().items():
            try:
                if record is None:
                    raise ValueError("it is not whole")
                entry = msgspec.json.decode(record, type=Entry)
            except (ValueError, msgspec.MsgspecError) as error:
                self._records.remove(place)
                yield f"The record of a device is not readable and was removed: {error}"
            else:
                self._places[entry] = place
                yield entry

    def close(self) -> None:
        """Close the file; the records stay."""
        self._records.close()
