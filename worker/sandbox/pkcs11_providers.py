"""The files of PKCS#11 providers in workers' root directories: there for the sessions that use them, and only there.

While the template is built, each file or directory is bound, read-only, to a place aside (the stage), and where it
belongs there is an empty one.  A worker binds what it may see from the stage, and detaches that.
"""

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from ...ipc.helpers import StagedProvider
from ...kernel import by_address, mounts
from ...policy.sandbox import pinned_strings

STAGE = "/providers"
_NOTHING = f"{STAGE}/nothing"  # an empty file
_PRIVATE = "/run/"  # below it is a worker's own directory, where there is no place before there is a worker


def stage(root: Path, staged: Sequence[StagedProvider]) -> None:
    """Bind what all providers need to the stage of the template that grows at `root`.

    What cannot be bound is reported on standard error and left out.  Raises OSError.
    """
    directory = root / STAGE.lstrip("/")
    directory.mkdir()
    if not any(provider.places for provider in staged):
        return
    mounts.mount("providers", str(directory), "tmpfs", mounts.MS_NOSUID, "mode=0755,size=1m")
    (root / _NOTHING.lstrip("/")).touch()
    for aside, place in _numbered(staged, range(len(staged))):
        target = root / aside.lstrip("/")
        try:
            if Path(place).is_dir():
                target.mkdir()
            else:
                target.touch()
            mounts.bind_read_only(place, str(target))
        except OSError as error:
            print(f"PKCS#11: {place} cannot be shown to sessions: {error}", file=sys.stderr, flush=True)


def make_places(staged: Sequence[StagedProvider]) -> None:
    """Have something empty where the providers' files belong; call inside the template, while it can be written."""
    covers = []
    for aside, place in _numbered(staged, range(len(staged))):
        if place.startswith(_PRIVATE):
            continue
        is_directory = Path(aside).is_dir()
        try:
            if not Path(place).exists():
                _make(place, is_directory)
            elif is_directory and not _is_empty(place):  # among the libraries that every worker sees
                mounts.mount("nothing", place, "tmpfs", mounts.MS_NOSUID, "mode=0755,size=64k")
                covers.append(place)
            elif not is_directory and Path(place).stat().st_size:
                mounts.bind_read_only(_NOTHING, place)
        except OSError as error:
            print(f"PKCS#11: {place} cannot be created in sessions: {error}", file=sys.stderr, flush=True)
    for cover in covers:
        mounts.mount("none", cover, flags=mounts.MS_REMOUNT | mounts.MS_RDONLY | mounts.MS_NOSUID)


def paths(staged: Sequence[StagedProvider]) -> dict[int, bytes]:
    """The address of each path that a worker may bind from or to (policy/sandbox/pinned_strings.py).

    The administrator's whole list is one argument of the spawner, so it is not longer than 128 KiB (execve(2)): there
    is room for all.
    """
    found: dict[int, bytes] = {}
    address = pinned_strings.PATHS
    every = {path for pair in _numbered(staged, range(len(staged))) for path in pair}
    for path in sorted(every):
        found[address] = path.encode()
        address += len(found[address]) + 1
    assert address <= pinned_strings.PATHS + pinned_strings.PATHS_SIZE
    return found


class MountedProviders:
    """The providers of one worker."""

    def __init__(self, staged: Sequence[StagedProvider], numbers: Collection[int]) -> None:
        """`numbers` are those of `staged` that the worker may see."""
        self._staged = staged
        self._numbers = numbers
        self.groups = {gid for number in numbers if (gid := staged[number].gid) is not None}

    @property
    def in_private_directory(self) -> bool:
        """Whether something belongs below the directory that is the worker's own."""
        return any(place.startswith(_PRIVATE) for _, place in self._shown())

    def show(self) -> None:
        """Put what the worker may see in its place, and the stage out of reach.

        Needs CAP_SYS_ADMIN; call in the worker's own mount namespace, when it has its private directory.
        Raises OSError.
        """
        addresses = {text: address for address, text in paths(self._staged).items()}
        for aside, place in self._shown():
            if not os.path.exists(aside):  # it could not be bound
                continue
            if not os.path.exists(place):
                _make(place, os.path.isdir(aside))
            by_address.bind_read_only(addresses[aside.encode()], addresses[place.encode()])
        if any(provider.places for provider in self._staged):
            by_address.detach(pinned_strings.STAGE)

    def others_are_hidden(self) -> bool:
        return not os.listdir(STAGE)

    @property
    def places(self) -> tuple[str, ...]:
        """Where the files and directories are that the worker may see."""
        return tuple(place for _, place in self._shown())

    def _shown(self) -> Iterator[tuple[str, str]]:
        return _numbered(self._staged, self._numbers)


def _numbered(staged: Sequence[StagedProvider], numbers: Iterable[int]) -> Iterator[tuple[str, str]]:
    """Where each file or directory is on the stage, and where it belongs; those that contain others come first."""
    every = [
        (place, f"{STAGE}/{number}.{index}") for number in numbers for index, place in enumerate(staged[number].places)
    ]
    return ((aside, place) for place, aside in sorted(every))


def _make(place: str, is_directory: bool) -> None:
    if is_directory:
        os.makedirs(place, 0o755)
    else:
        os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))


def _is_empty(directory: str) -> bool:
    return not os.listdir(directory)
