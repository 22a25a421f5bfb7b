"""Tells when files change that others may write, replace, remove or lead elsewhere (inotify(7))."""

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from ...kernel.inotify import add_watch, open_inotify, read_changes

_MAX_LINKS = 8  # in a row that are followed


class FileWatch:
    """Calls `changed` when any of some files has changed, perhaps more than once; to be used on the loop.

    Not before whoever writes it is done.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._descriptor = -1
        self._names: dict[int, set[str]] = {}  # by watch: what counts in its directory

    def watch(self, files: Iterable[Path]) -> None:
        """From now on watch these, and no others; to be called again when they have changed.  Raises OSError."""
        places = _places(files)
        if not places:
            self.stop()
            return
        if self._descriptor < 0:
            self._descriptor = open_inotify()
            asyncio.get_running_loop().add_reader(self._descriptor, self._readable)
        watched: defaultdict[int, set[str]] = defaultdict(set)
        denied: PermissionError | None = None
        for place, names in places.items():
            try:
                watched[add_watch(self._descriptor, place)] |= names
            except (FileNotFoundError, NotADirectoryError):
                pass  # what is above it tells when it is there
            except PermissionError as error:
                denied = error
        self._names = watched
        if denied is not None and not watched:
            raise denied

    def stop(self) -> None:
        """Watch nothing any more."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
        self._names = {}

    def _readable(self) -> None:
        # What is no longer to be watched is, but does not count.
        found = [
            watch < 0 or (watch in self._names and (not name or name in self._names[watch]))
            for watch, name in read_changes(self._descriptor)
        ]
        if any(found):
            self._changed()


def _places(files: Iterable[Path]) -> dict[str, set[str]]:
    """What to watch, with the names that count in directories: files, links, and what leads to them.

    Directories, since a file may be replaced; and the file itself, since one that is mounted over another (as in
    containers) is in the directory that it comes from.
    """
    places: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        one = file
        for _ in range(_MAX_LINKS):
            for step in (one, *one.parents):
                if step != step.parent:
                    places[str(step.parent)].add(step.name)
            if not one.is_symlink():
                places.setdefault(str(one), set())
                break
            one = one.parent / one.readlink()
    return places
