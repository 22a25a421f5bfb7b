"""Records of the devices whose name servers the next instance must give back if this process is killed.

Written before name servers are set by what outlives the device, and kept until they are given back.
"""

from pathlib import Path

from ..errors import SystemFailure
from ..record_file import RecordFile


class NamesJournal:
    """The records, in a directory that only this service may enter."""

    def __init__(self, directory: Path) -> None:
        """Make the directory if need be, and take the space; raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._records = RecordFile(directory / "records")
        self._places: dict[str, int] = {}

    def write(self, device: str) -> None:
        """Record a device; raises SystemFailure."""
        if device not in self._places:
            try:
                self._places[device] = self._records.add(device.encode())
            except OSError as error:
                raise SystemFailure(f"they cannot be noted on disk: {error.strerror}") from error

    def remove(self, device: str) -> None:
        """Remove the record of a device, if there is one; raises OSError."""
        place = self._places.pop(device, None)
        if place is not None:
            self._records.remove(place)

    def devices(self) -> list[str]:
        """All devices recorded; records that cannot be read are removed.  Raises OSError."""
        for place, record in self._records.read().items():
            if record is None:
                self._records.remove(place)
            else:
                self._places[record.decode("utf-8", "replace")] = place
        return list(self._places)

    def close(self) -> None:
        """Close the file; the records stay."""
        self._records.close()
