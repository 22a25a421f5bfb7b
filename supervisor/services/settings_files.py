"""Settings of profiles as files: one for each owner, in JSON, named by the owner's user id.

All that is here blocks.
"""

from pathlib import Path

import msgspec

from ...policy.limits import MAX_PROFILES_WITH_SETTINGS, MAX_SETTINGS_FILE
from ..errors import CallerError
from ..files import read_small_file, replace_file
from .profile_quota import file_system


class KeptSettings(msgspec.Struct, frozen=True):
    """What is kept of one profile."""

    imported: int  # when, in seconds since 1970: another profile may have its path later
    values: dict[str, bool | str]  # by name; also of names that an older or newer version knows


Kept = dict[str, KeptSettings]  # by object path of the profile


def owners(directory: Path) -> list[int]:
    """The owners of the profiles of which something is kept.  Raises no error where there is no directory."""
    return [int(file.stem) for file in directory.glob("*.json") if file.stem.isdecimal()]


def load(directory: Path, owner: int) -> Kept:
    """What is kept of an owner's profiles.  Raises OSError; ValueError if the file is damaged."""
    try:
        content = read_small_file(_file(directory, owner), MAX_SETTINGS_FILE)
    except FileNotFoundError:
        return {}
    try:
        return msgspec.json.decode(content, type=Kept)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def write(directory: Path, owner: int, kept: Kept, *, durable: bool) -> None:
    """Replace what is kept of an owner's profiles; `durable` as of `replace_file`.  Raises OSError, CallerError."""
    file = _file(directory, owner)
    if not kept:
        file.unlink(missing_ok=True)
        return
    content = msgspec.json.encode(kept)
    if len(kept) > MAX_PROFILES_WITH_SETTINGS or len(content) > MAX_SETTINGS_FILE:
        raise CallerError(
            f"{MAX_PROFILES_WITH_SETTINGS} profiles of a user may have settings that are not the default: remove a "
            "profile first, or give one the default"
        )
    there = file_system(directory)
    if there.free < there.left_free // 2:
        raise CallerError(f"The file system of {directory} is nearly full: ask the administrator to make room")
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    replace_file(file, content, durable=durable)


def _file(directory: Path, owner: int) -> Path:
    return directory / f"{owner}.json"
