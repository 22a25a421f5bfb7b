"""What is installed, and how: engine, account, configuration, activation files, directories, clock."""

import ctypes
import os
import pwd
import re
import stat
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from ...kernel.libc import libc
from ...policy.access import SERVICE_ACCOUNTS
from ...policy.machine.activation import DIRECTORIES, activation
from ..services import SESSIONS
from .bus_facts import LOG
from .finding import Finding, Machine, fault, ok, unknown, warning

_OLDEST, _NEWEST = (2, 6), (2, 7)  # releases of OpenVPN that engines are tried with
_VERSION = re.compile(r"^OpenVPN (\d+)\.(\d+)\S*")
_VERSION_DEADLINE = 60  # seconds
_ROOM = 16 * 2**20  # bytes: that many records, and some profiles
_ROOM_FILES = 64
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_STA_UNSYNC = 0x40  # linux/timex.h
_TIMEX_SIZE = 208  # bytes of struct timex
_STATUS_OFFSET = 40  # in it, on 64-bit systems


def engine(machine: Machine) -> Iterable[Finding]:
    """The openvpn program."""
    program = machine.options.engine
    try:
        found = program.resolve().stat()
    except OSError as error:
        yield fault(f"There is no engine {program}: {error.strerror}", 'Install openvpn, or name it: openvpn = "PATH".')
        return
    if found.st_uid or found.st_mode & _OTHERS_WRITE:
        yield fault(f"Others than root may write {program}", f"chown root: {program}; chmod go-w {program}")
        return
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=_VERSION_DEADLINE, env={}, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        yield fault(f"{program} cannot be executed: {error}", "Install openvpn anew.")
        return
    line = done.stdout.partition("\n")[0]
    version = _VERSION.match(line)
    if not version:
        yield fault(f"{program} does not say which OpenVPN it is", "Install openvpn anew.")
        return
    number = (int(version[1]), int(version[2]))
    if number < _OLDEST:
        yield fault(
            f"{program} is {version[0]}, which is too old", f"Install OpenVPN {_OLDEST[0]}.{_OLDEST[1]} or later."
        )
    elif number > _NEWEST:
        yield warning(f"{program} is {version[0]}, which was not tried", f"{_NEWEST[0]}.{_NEWEST[1]} is known to work.")
    else:
        yield ok(f"{program} is {version[0]}")


def account(_: Machine, names: Iterable[str] = SERVICE_ACCOUNTS) -> Iterable[Finding]:
    """The account that the service becomes."""
    for name in names:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        if found.pw_uid == 0:
            yield fault(f"The account {name} is root", "Remove it from passwd(5), then: systemd-sysusers")
        else:
            yield ok(f"The account {name} has user id {found.pw_uid}")
        return
    first = next(iter(names))
    yield fault(
        f"There is no account {first}",
        f"systemd-sysusers, or useradd --system --no-create-home --shell /usr/sbin/nologin {first}",
    )


def configuration(machine: Machine) -> Iterable[Finding]:
    """The administrator's files."""
    found = machine.configuration
    for problem in found.problems:
        yield fault(problem, "Correct it; `ovpnctl config-check` says whether it is right then.")
    if not found.problems:
        yield ok(f"{len(found.files)} configuration files, which choose {len(found.settings)} keys")


def activated(_: Machine, directories: Iterable[Path] = DIRECTORIES) -> Iterable[Finding]:
    """The activation files: whose program the bus would start."""
    for name in (SESSIONS.name, LOG):
        found = activation(name, directories)
        if found is None:
            yield warning(f"No activation file of {name} in the usual directories", "Install the package anew.")
        elif not found.ours:
            yield fault(
                f"The bus starts another program for {name}: {found.program} ({found.file})",
                "Install the package anew, after openvpn3-client; or put our file into "
                "/usr/local/share/dbus-1/system-services. Then: systemctl reload dbus",
            )
        elif not os.access(found.program, os.X_OK):
            yield fault(f"{found.file} starts {found.program}, which cannot be executed", "Install the package anew.")
        else:
            yield ok(f"The bus starts {found.program} for {name}")


def directories(machine: Machine) -> Iterable[Finding]:
    """Owner, permissions and room of the service's directories."""
    yield from _directory(machine.options.state_dir, "profiles cannot be kept")
    yield from _directory(machine.options.runtime_dir, "sessions cannot be started")


def _directory(path: Path, lost: str) -> Iterable[Finding]:
    existing = next((one for one in (path, *path.parents) if one.exists()), Path("/"))
    try:
        found = os.lstat(path) if existing == path else None
        room = os.statvfs(existing)
    except PermissionError:
        yield unknown(f"{path} is in a directory that this user may not enter")
        return
    except OSError as error:
        yield fault(f"{path}: {error.strerror}", "Remove what is in its place; the service makes it.")
        return
    if found is not None and not stat.S_ISDIR(found.st_mode):
        yield fault(f"{path} is no directory", "Remove it; the service makes it.")
        return
    if found is not None and found.st_uid not in _own_uids():
        yield fault(f"{path} belongs to user {found.st_uid}", f"chown -R {SERVICE_ACCOUNTS[0]}: {path}")
        return
    if found is not None and stat.S_IMODE(found.st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        yield warning(f"Others may enter {path}", f"chmod 0700 {path}; the service does so when it starts.")
    if room.f_flag & os.ST_RDONLY:
        yield fault(
            f"{path} is in a file system that is read-only: {lost}", "mount -o remount,rw, or another directory."
        )
        return
    free = room.f_bavail * room.f_frsize
    if free < _ROOM or (room.f_files and room.f_favail < _ROOM_FILES):
        verdict = fault if free < 2**20 or (room.f_files and not room.f_favail) else warning
        yield verdict(
            f"{path} has room for {free // 1024} KiB and {room.f_favail} files: {lost} when that is used up",
            f"Make room in the file system that {existing} is in.",
        )
        return
    yield ok(f"{path} has room for {free // 2**20} MiB" + ("" if found else "; it is made at the start"))


def _own_uids() -> set[int]:
    uids = {0}
    for name in SERVICE_ACCOUNTS:
        try:
            uids.add(pwd.getpwnam(name).pw_uid)
        except KeyError:
            continue
    return uids


def clock(_: Machine, installed: Path = Path(__file__)) -> Iterable[Finding]:
    """The time: certificates are valid by it."""
    if time.time() < installed.stat().st_mtime - 86400:
        yield fault(
            f"The clock says {time.strftime('%Y-%m-%d')}, which is before this program was made: certificates "
            "are not valid yet",
            "timedatectl set-ntp true, or set it by date(1).",
        )
        return
    timex = ctypes.create_string_buffer(_TIMEX_SIZE)  # which asks, and sets nothing
    if libc.adjtimex(timex) < 0:
        yield unknown("Whether the clock is synchronised is not told here", "The host of this container may say.")
    elif int.from_bytes(timex.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], "little") & _STA_UNSYNC:
        yield warning("Nothing synchronises the clock", "timedatectl set-ntp true, unless it is known to be right.")
    else:
        yield ok("The clock is synchronised")
