"""Reading the administrator's files: config.toml, and after it those of config.d, the last one that has a key wins.

Whoever may write one could have root do a lot, so each is read only if it is root's, and nobody else may write it.
Everything that is wrong is found at once, and said with the file, the line or key, and what to do.
"""

import errno
import os
import re
import stat
from collections.abc import Collection
from pathlib import Path

import msgspec

from ..limits import MAX_CONFIGURATION_FILE, MAX_CONFIGURATION_FILES
from .options import Setting
from .table import KEYS, ONLY_ON_COMMAND_LINE

FILE, DIRECTORY = "config.toml", "config.d"
_ROOT = 0
_KEY = re.compile(r"""\s*\[?["']?([\w-]+)["']?\s*[]=.]""")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Configuration(msgspec.Struct):
    """What the files say: by key, in which order they were read, and what is wrong with them."""

    settings: dict[str, Setting]
    files: list[Path]
    problems: list[str]


class _Wrong(Exception):
    """What is wrong with a file or directory as a whole; the text follows its name."""


def read(directory: Path, owners: Collection[int] = (_ROOT,)) -> Configuration:
    """Read the files of a directory, if it and they are there; they may belong to `owners`."""
    found = Configuration({}, [], [])
    top = _open_directory(directory, None, owners, found)
    if top is None:
        return found
    try:
        _read_file(directory / FILE, top, owners, found)
        below = _open_directory(directory / DIRECTORY, top, owners, found)
        if below is not None:
            try:
                for name in _names(directory / DIRECTORY, below, found):
                    _read_file(directory / DIRECTORY / name, below, owners, found)
            finally:
                os.close(below)
    finally:
        os.close(top)
    return found


def _open_directory(path: Path, within: int | None, owners: Collection[int], found: Configuration) -> int | None:
    """A descriptor of a directory, None if there is none, or it cannot be used."""
    try:
        descriptor = os.open(path if within is None else path.name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=within)
    except FileNotFoundError:
        return None
    except OSError as error:
        found.problems.append(f"{path}: {error.strerror}")
        return None
    try:
        _check_owner(os.fstat(descriptor), owners)
    except _Wrong as wrong:
        os.close(descriptor)
        found.problems.append(f"{path} {wrong}")
        return None
    return descriptor


def _names(path: Path, directory: int, found: Configuration) -> list[str]:
    names = sorted(name for name in os.listdir(directory) if name.endswith(".toml") and not name.startswith("."))
    if len(names) > MAX_CONFIGURATION_FILES:
        found.problems.append(f"{path} has {len(names)} files, more than {MAX_CONFIGURATION_FILES}: put them together")
        return []
    return names


def _read_file(path: Path, directory: int, owners: Collection[int], found: Configuration) -> None:
    try:
        text = _text(path.name, directory, owners)
    except _Wrong as wrong:
        found.problems.append(f"{path} {wrong}")
        return
    if text is None:
        return
    found.files.append(path)
    # As it is installed: it need not cost the start the parser's import, 2 ms.
    if all(not line or line.startswith("#") for line in map(str.strip, text.splitlines())):
        return
    import tomllib

    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found.problems.append(f"{path}: {error}")
        return
    except RecursionError:
        found.problems.append(f"{path}: brackets in brackets, too many of them")
        return
    lines = _lines(text)
    for key, value in table.items():
        if problem := _take(key, value, path, found):
            found.problems.append(f"{path}{lines.get(key, '')}: {problem}")


def _text(name: str, directory: int, owners: Collection[int]) -> str | None:
    """The text of a file; None if there is none.  Raises _Wrong."""
    try:
        # A pipe would be waited for, a link lead to a file in a directory that others may write to.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=directory)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _Wrong("is a symbolic link: put the file itself there") from None
        raise _Wrong(f"cannot be read: {error.strerror}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise _Wrong("is no regular file")
        _check_owner(found, owners)
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_CONFIGURATION_FILE + 1)
    except OSError as error:
        raise _Wrong(f"cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(data) > MAX_CONFIGURATION_FILE:
        raise _Wrong(f"is larger than {MAX_CONFIGURATION_FILE // 1024} KiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _Wrong(f"is not text in UTF-8 (line {line})") from None


def _check_owner(found: os.stat_result, owners: Collection[int]) -> None:
    """Raise _Wrong if others than these may write it."""
    if found.st_uid not in owners:
        raise _Wrong(f"belongs to user {found.st_uid}, not to root: chown root")
    if found.st_mode & _OTHERS_WRITE:
        whom = "everybody" if found.st_mode & stat.S_IWOTH else f"group {found.st_gid}"
        raise _Wrong(f"may be written by {whom} (mode {stat.S_IMODE(found.st_mode):04o}): chmod go-w")


def _take(key: str, value: object, path: Path, found: Configuration) -> str:
    """Note the value of a key; what is wrong with it."""
    option = KEYS.get(key)
    if option is None:
        return _unknown(key, value)
    try:
        found.settings[key] = Setting(option.kind.of_toml(value), f"{key} in {path}")
    except ValueError as error:
        return f"{key}: {error}"
    return ""


def _unknown(key: str, value: object) -> str:
    if isinstance(value, dict) and not value.keys().isdisjoint(KEYS):
        return f"[{key[:64]}]: keys stand at the top of the file, in no table"
    if key in ONLY_ON_COMMAND_LINE:
        return f"{key} is an option of the command line only"
    from difflib import get_close_matches

    like = get_close_matches(key.lower().replace("_", "-"), KEYS, 1)
    hint = f"did you mean {like[0]}?" if like else "openvpn3-sessionmgr.conf(5) lists them"
    return f"there is no key {key[:64]!a}: {hint}"


def _lines(text: str) -> dict[str, str]:
    """The line of each key, to follow the name of its file, where it is plain to see."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if key := _KEY.match(line):
            found[key[1]] = "" if key[1] in found else f", line {number}"
    return found
