"""Sessions start and end, and leftovers are removed, when the runtime directory has no room for a byte or a file.

What has no room is what the next instance would have to know to take a session over.
"""

import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from ....policy.dbus_numbers import StatusMinor
from ...lab import kernel
from ...lab.connection import BusClient, BusError
from ...lab.lab import Lab
from ...lab.surroundings import SERVICE
from ...support.service_life import kill_and_wait, started, wait_ready

_SIZE, _FILES = "size=4m", "nr_inodes=100"


@pytest.fixture
def runtime(lab: Lab) -> Iterator[Path]:
    """A small file system of its own."""
    place = lab.directory / "small"
    place.mkdir()
    kernel.mount("tmpfs", place, "tmpfs", options=f"{_SIZE},{_FILES},mode=700,uid={SERVICE.uid},gid={SERVICE.uid}")
    yield place
    kernel.unmount(place)


def fill_bytes(directory: Path) -> None:
    """Leave no byte."""
    with (directory / "full").open("wb", buffering=0) as file:
        for size in (65536, 1):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass


def fill_files(directory: Path) -> None:
    """Leave no file to be made."""
    try:
        for number in count():
            (directory / f"file {number}").touch(exist_ok=False)
    except OSError:
        pass


def use_two(user: BusClient, profiles: list[str]) -> None:
    """Start and connect two sessions, and end them."""
    for path in [user.new_tunnel(profile) for profile in profiles]:
        before = len(user.signals())
        user.session(path, "Connect")
        user.wait_status(path, StatusMinor.CONN_CONNECTED, since=before)
        user.session(path, "Disconnect")


@pytest.mark.parametrize("fill", [fill_bytes, fill_files])
def test_a_full_directory(lab: Lab, runtime: Path, fill: Callable[[Path], None]) -> None:
    lab.server(pushes=())
    option = f"--runtime-dir={runtime}"
    with started(lab, option) as service:
        wait_ready(lab)
        user = lab.connection("alice")
        profiles = [user.import_profile(name, lab.profile()) for name in ("one", "two")]
        fill(runtime)
        use_two(user, profiles)
        with pytest.raises(BusError, match=rf"{runtime}/profiles.* (is nearly full|No space left on device)"):
            user.import_profile("three", lab.profile())
        worker = user.get(user.new_tunnel(profiles[0]), "backend_pid")
        assert service.wait_line("would not go on without this service: ")
        kill_and_wait(service.pid, signal.SIGKILL)
        assert "worker cannot be noted" not in service.text and "cannot be removed" not in service.text
    with started(lab, option) as service:
        wait_ready(lab)
        if fill is fill_bytes:  # else it had no place to wait, and ended by itself
            service.wait_line(f"Ended worker {worker} ")
        service.wait_line("Removed device")
        use_two(user, profiles)
    assert lab.client_side.devices() == {"cable"}
