"""What sets name servers as root, with files and programs that fail it."""

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ...ipc.channel import channel_pair
from ...ipc.helpers import SetNames, UnsetNames
from ...policy.dns import DnsSettings, NameServer
from ...policy.limits import MAX_RESOLV_CONF
from ...worker.helpers import name_servers

SETTINGS = DnsSettings((NameServer("198.18.0.1"),), ("corp.example",))
SET, UNSET = SetNames(1, "tun0", SETTINGS), UnsetNames(2, "tun0")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "resolv.conf"
    monkeypatch.setattr(name_servers, "RESOLV_CONF", str(made))
    return made


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Files get no larger than that, as where a disk is full: what is beyond is not written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_file_as_it_was(file: Path) -> None:
    before = "nameserver 192.0.2.53\n" + "# by hand\n" * 100
    file.write_text(before)
    setter = name_servers._NameSetter("file", {})
    with largest_file(len(before) + 30):
        assert str(file) in setter.done(SET)
    assert file.read_text() == before
    assert setter.done(SET) == ""
    with largest_file(file.stat().st_size):
        assert setter.done(UNSET) == ""
    assert file.read_text() == before


def test_a_file_that_would_be_too_large_to_be_given_back_is_not_changed(file: Path) -> None:
    before = "nameserver 192.0.2.53\n" * (MAX_RESOLV_CONF // 22)
    file.write_text(before)
    assert "too large" in name_servers._NameSetter("file", {}).done(SET)
    assert file.read_text() == before


def test_what_a_program_leaves_in_the_background_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, pid = tmp_path / "resolvconf", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\ncat >&2\nsleep 1000 &\necho $! >{pid}\n")
    program.chmod(0o755)
    monkeypatch.setattr(name_servers, "_RESOLVCONF", str(program))
    setter = name_servers._NameSetter("resolvconf", {})
    try:
        assert setter.done(SET) == ""
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    program.write_text("#!/bin/sh\ncat >&2\nexit 1\n")
    assert setter.done(SET) == f"{program}: nameserver 198.18.0.1; search corp.example"


def test_a_request_that_another_process_has_done_is_not_waited_for(file: Path) -> None:
    ours, theirs = channel_pair()
    name_servers.answer_one(theirs, "file", "")
    for one in (ours, theirs):
        one.close()
    assert not file.exists()
