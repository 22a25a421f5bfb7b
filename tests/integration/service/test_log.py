"""The log of the running service: what is in it, what is not, and destinations that take nothing."""

import fcntl
import os
import re
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ....policy.dbus_numbers import StatusMinor
from ....policy.exit_status import ExitStatus
from ....policy.sandbox.layers import Layer
from ...lab import kernel
from ...lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS_PATH, BusClient
from ...lab.lab import Lab
from ...lab.processes import DEADLINE
from ...support.service_life import connected, started

IMPORTED = "imported by user"
SMALL_PIPE = 4096  # bytes
AT_A_TIME = 100  # calls under way


def import_many(connection: BusClient, count: int) -> None:
    """Have `count` lines logged."""
    for _ in range(count // AT_A_TIME):
        calls = [
            connection.start_call(CONFIGURATION_PATH, CONFIGURATION, "Import", "ssbb", "one", "client\n", False, False)
            for _ in range(AT_A_TIME)
        ]
        paths = [connection.finish_call(call)[0] for call in calls]
        for call in [connection.start_call(path, CONFIGURATION, "Remove") for path in paths]:
            connection.finish_call(call)


@contextmanager
def stopped_reader(lab: Lab) -> Iterator[tuple[int, list[str]]]:
    """A pipe that nobody reads: its reading end, and the command that gives a program the other as its output."""
    path = lab.directory / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, SMALL_PIPE)
    try:
        yield reader, ["sh", "-c", f'exec "$@" > {path}', "sh"]
    finally:
        os.close(reader)


def test_a_reader_that_has_stopped_holds_up_nobody(lab: Lab) -> None:
    lines = 1500
    with stopped_reader(lab) as (reader, through), started(lab, "--log-level=6", through=through) as service:
        lab.watcher.wait_owner(CONFIGURATION)
        alice = lab.connection("alice")
        import_many(alice, lines)
        text = _read(reader, until=b"dropped: ")
        service.signal(signal.SIGTERM)
        text += _read(reader)
        assert service.wait() == ExitStatus.OK
    [dropped] = re.findall(r"Logger WARNING: (\d+) lines dropped: the log took no data", text)
    assert int(dropped) > lines / 10
    # Whatever was said while it took nothing was about these imports, and is either there or counted.
    assert text.count(IMPORTED) + int(dropped) == lines
    assert "Asked to end" in text


def _read(pipe: int, until: bytes = b"") -> str:
    """What comes, up to the end or a piece that has `until` in it."""
    data = b""
    while select.select([pipe], [], [], DEADLINE)[0] and (piece := os.read(pipe, 65536)):
        data += piece
        if until and until in data:
            break
    return data.decode()


def test_a_reader_that_has_stopped_does_not_hold_up_the_end(lab: Lab) -> None:
    with stopped_reader(lab) as (_, through), started(lab, "--log-level=6", through=through) as service:
        lab.watcher.wait_owner(CONFIGURATION)
        import_many(lab.connection("alice"), 200)
        service.signal(signal.SIGTERM)
        assert service.wait() == ExitStatus.OK


@contextmanager
def full_disk(lab: Lab) -> Iterator[Path]:
    """A file on a disk that has no room, until the file beside it, "filler", is removed."""
    place = lab.directory / "disk"
    place.mkdir()
    kernel.mount("none", place, "tmpfs", options="size=64k")
    try:
        (place / "log").touch()
        with (place / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(bytes(4096))
        yield place / "log"
    finally:
        kernel.unmount(place)


def test_a_full_disk_holds_up_nobody(lab: Lab) -> None:
    with full_disk(lab) as file, started(lab, "--log-level=4", f"--log-file={file}") as service:
        lab.watcher.wait_owner(CONFIGURATION)
        alice = lab.connection("alice")
        import_many(alice, AT_A_TIME)
        assert alice.get(SESSIONS_PATH, "version")
        (file.parent / "filler").unlink()
        import_many(alice, AT_A_TIME)
        service.signal(signal.SIGTERM)
        assert service.wait() == ExitStatus.OK
        text = file.read_text()
    dropped = sum(map(int, re.findall(r"(\d+) lines? dropped: the log took no data", text)))
    assert dropped
    # The lines of the start, one and one for each layer that the sandbox lacks here, were lost too, or they were not.
    assert text.count(IMPORTED) + dropped - 2 * AT_A_TIME in range(2 + len(Layer))
    assert "Asked to end" in text


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (0, set()),
        (2, set()),
        (3, {"INFO"}),
        (4, {"INFO", "VERB1"}),
        (5, {"INFO", "VERB1"}),
        (6, {"INFO", "VERB1", "DEBUG"}),
    ],
)
def test_levels(lab: Lab, level: int, shown: set[str]) -> None:
    file = lab.directory / "log"
    with started(lab, f"--log-level={level}", f"--log-file={file}") as service:
        lab.watcher.wait_owner(CONFIGURATION)
        alice = lab.connection("alice")
        alice.session(alice.new_tunnel(alice.import_profile("work", lab.profile())), "Disconnect")
        assert service.stop() == ExitStatus.OK
    # Whether the sandbox lacks a layer is the machine's matter.
    lines = [line for line in file.read_text().splitlines() if "Sandbox without" not in line]
    found = set(re.findall(r" (?:Session Manager|Configuration Manager) (\S+):", "\n".join(lines)))
    assert found == shown
    assert file.stat().st_mode & 0o777 == 0o640


def test_colour(lab: Lab) -> None:
    plain, coloured = lab.directory / "plain", lab.directory / "coloured"
    for file, options in ((plain, []), (coloured, ["--colour"])):
        with started(lab, f"--log-file={file}", *options) as service:
            lab.watcher.wait_owner(CONFIGURATION)
            lab.connection("alice").import_profile("work", lab.profile())  # answered when it has logged its start
            assert service.stop() == ExitStatus.OK
        lab.watcher.wait_no_owner(CONFIGURATION)
    assert "\033" not in plain.read_text()
    assert all(re.fullmatch(r"\S+ \S+ \033\[\d+m.*\033\[0m", line) for line in coloured.read_text().splitlines())
    assert coloured.read_text()


def test_no_secrets_at_any_level(lab: Lab) -> None:
    lab.server()
    with started(lab, "--log-level=6") as service:
        service.wait_line("runs as user")
        alice, [path] = connected(lab)
        before = len(alice.signals())
        alice.session(path, "Restart")
        alice.wait_status(path, StatusMinor.CONN_CONNECTED, since=before)
        alice.session(path, "Disconnect")
        assert service.stop() == ExitStatus.OK
        text = service.text
    secret = [line for line in lab.pki.client.key.splitlines() if line and not line.startswith("-")]
    assert len(secret) > 1
    assert "Connected: " in text
    for line in secret:
        assert line not in text
        assert line[:20] not in text
