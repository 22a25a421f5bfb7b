"""What a session is given, as the kernel shows it: its owner, its profile, and its engine's command line."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ...lab.connection import CONFIGURATION
from ...lab.lab import Lab
from ...lab.processes import DEADLINE
from ...lab.surroundings import ALICE, BOB
from ...support.sessions import UserSession, begin, wait_gone

SEALED = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline


@pytest.mark.parametrize(("transfers", "owner"), [(True, ALICE.uid), (False, BOB.uid)])
def test_a_session_is_its_profiles_owners_if_the_profile_says_so(lab: Lab, transfers: bool, owner: int) -> None:
    lab.supervisor()
    alice, bob = lab.connection("alice"), lab.connection("bob")
    profile = alice.import_profile("work", lab.profile())
    alice.set(profile, "transfer_owner_session", "b", transfers)
    alice.call(profile, CONFIGURATION, "AccessGrant", "u", BOB.uid)
    path = bob.new_tunnel(profile)
    assert lab.watcher.get(path, "owner") == owner
    (alice if transfers else bob).session(path, "Disconnect")


def profiles_held(pid: int) -> list[str]:
    """The files in memory with a profile that a process has open, as paths."""
    found = []
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            name = os.readlink(entry.path)  # noqa: PTH115
        except FileNotFoundError:
            continue  # closed meanwhile
        if "memfd:" in name:
            found.append(entry.path)
    return found


def test_nobody_keeps_the_profile_once_the_worker_has_read_it(lab: Lab) -> None:
    service = lab.supervisor()
    session = begin(lab)
    for process in (session.worker, session.engine):
        assert profiles_held(process.pid) == []
    assert profiles_held(service.pid) == []
    session.call("Disconnect")


def test_what_is_kept_for_another_worker_cannot_be_changed_and_goes_with_the_session(lab: Lab) -> None:
    service = lab.supervisor()
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "automatic-restart", ["s", "on-failure"])
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    worker = session.worker
    [path] = profiles_held(service.pid)
    kept = os.open(path, os.O_RDWR)
    try:
        assert fcntl.fcntl(kept, fcntl.F_GET_SEALS) == SEALED
        for change in (
            lambda: os.pwrite(kept, b"x", 0),
            lambda: os.ftruncate(kept, 0),
            lambda: os.ftruncate(kept, 1 << 20),
        ):
            with pytest.raises(OSError) as refused:
                change()
            assert refused.value.errno == errno.EPERM
    finally:
        os.close(kept)
    session.call("Disconnect")
    wait_gone([worker])
    until(lambda: profiles_held(service.pid) == [])


@pytest.mark.parametrize(
    ("servers", "buffer"),
    [
        (["198.51.100.1 1194"], {"--rcvbuf": ["1048576"]}),
        (["198.51.100.1 1194 tcp-client"], {}),
        (["198.51.100.1 1194 udp", "198.51.100.1 1194 tcp"], {}),
    ],
    ids=["udp", "tcp", "both"],
)
def test_the_command_line_of_the_engine(lab: Lab, servers: list[str], buffer: dict[str, list[str]]) -> None:
    """All of it: each option that is missing, or has another value, opens or breaks something."""
    lab.supervisor()
    session = begin(lab, remotes=servers)
    _, *line = session.engine.cmdline()
    options: dict[str, list[str]] = {}
    for word in line:
        if word.startswith("--"):
            assert word not in options
            options[word] = []
        else:
            options[list(options)[-1]].append(word)
    [profile], [private] = options.pop("--config"), options.pop("--tmp-dir")
    assert profile == f"{private}/profile"
    device = options.pop("--dev")
    assert device and set(device) <= lab.client_side.devices()
    own = ["--connect-timeout", "--explicit-exit-notify", "--fast-io", *buffer]
    assert list(options)[: len(own)] == own, "a profile may set its own"
    assert options == {
        "--connect-timeout": ["10"],
        "--explicit-exit-notify": ["1"],
        "--fast-io": [],
        **buffer,
        "--dev-type": ["tun"],
        "--management": [f"{private}/management", "unix"],
        "--management-client": [],
        "--management-hold": [],
        "--management-query-passwords": [],
        "--management-up-down": [],
        "--management-log-cache": ["1"],
        "--auth-retry": ["interact"],
        "--ifconfig-noexec": [],
        "--route-noexec": [],
        "--script-security": ["0"],
        "--disable-dco": [],
        "--resolv-retry": ["0"],
        "--suppress-timestamps": [],
        "--verb": ["3"],
        "--setenv": ["IV_SSO", "webauth,openurl,crtext"],
    }
    assert line.index(own[-1]) < line.index("--config") < line.index("--script-security")
    assert session.engine.environ() == {"PATH": "/usr/sbin", "LC_ALL": "C"}
    session.call("Disconnect")


@pytest.mark.parametrize(("more", "size"), [([], 1048576), (["rcvbuf 65536"], 65536)], ids=["ours", "the profile's"])
def test_the_receive_buffer_of_a_session(lab: Lab, more: list[str], size: int) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab, more=more)
    session.connect()
    sockets = lab.client_side.run(["ss", "--udp", "--numeric", "--processes", "--memory", "--oneline", "--all"]).stdout
    [line] = [line for line in sockets.splitlines() if f"pid={session.engine.pid}," in line]
    granted = min(size, int(Path("/proc/sys/net/core/rmem_max").read_text()))
    assert f",rb{2 * granted}," in line, "the kernel counts twice what is asked for (socket(7))"
    session.call("Disconnect")
