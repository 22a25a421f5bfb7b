"""Records of the devices that the next instance must remove if this process is killed: one file for each.

Addresses and routes are removed with their device, so only the device is recorded.  Its file is written before the
device can outlive this process, and kept until it has been removed.  Nothing is synced to disk: a crash of the machine
removes the devices too.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..files import TEMPORARY, replace_file

_SUFFIX = ".device"


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device that this service made."""

    name: str
    index: int  # of the interface; the kernel does not use one twice
    namespace: str  # boot and network namespace in which name and index mean something
    uid: int  # who may open it
    session: str


def current_namespace() -> str:
    """An identifier of this process's network namespace, unique among boots."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot} {Path('/proc/self/ns/net').stat().st_ino}"


class DeviceJournal:
    """The records, in a directory that only this service may enter."""

    def __init__(self, directory: Path) -> None:
        """Make the directory if need be; raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory = directory

    def write(self, entry: Entry) -> None:
        """Record a device; raises OSError."""
        replace_file(self._path(entry), msgspec.json.encode(entry))

    def remove(self, entry: Entry) -> None:
        """Remove the record of a device, if there is one."""
        self._path(entry).unlink(missing_ok=True)

    def entries(self) -> Iterator[Entry | str]:
        """Every device recorded; for a file that cannot be read, which is removed, a message."""
        for path in sorted(self._directory.iterdir()):
            if path.suffix == TEMPORARY:  # never finished: the device did not become persistent
                path.unlink()
            elif path.suffix == _SUFFIX:
                try:
                    entry = msgspec.json.decode(path.read_bytes(), type=Entry)
                    if self._path(entry) != path:
                        raise ValueError(f"it speaks of {entry.name!r}")
                except (OSError, ValueError, msgspec.MsgspecError) as error:
                    path.unlink()
                    yield f"{path.name} is not readable and was removed: {error}"
                else:
                    yield entry

    def _path(self, entry: Entry) -> Path:
        # With the index, since a name that somebody else freed is given to the next device.
        return self._directory / f"{entry.name}-{entry.index}{_SUFFIX}"
