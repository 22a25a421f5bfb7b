"""The directories of the service, which only its account may enter; made while it is still root.

Root may lack CAP_DAC_OVERRIDE and CAP_FOWNER, so files of the account are examined and changed as the account.
"""

import os
import pwd
import stat
from collections.abc import Iterable
from pathlib import Path

from ...policy.exit_status import ExitStatus
from ..errors import StartError
from .privileges import acting_as


def make(directory: Path, below: Iterable[str], account: pwd.struct_passwd) -> None:
    """Make a directory and those in it that are named `below`, if they do not exist, and check them.

    Raises StartError, also for a link, a file or another user's directory in their place: root must not be made to
    change the owner of something else.
    """
    place = directory
    try:
        _make_as_root(directory, account)
        with acting_as(account):
            _be_private(directory)
            for name in below:
                place = directory / name
                place.mkdir(mode=0o700, exist_ok=True)
                _be_private(place)
    except OSError as error:
        reason = "it is a symbolic link" if place.is_symlink() else error.strerror
        raise StartError(f"The directory {place} cannot be used: {reason}", ExitStatus.CANNOT_START) from error


def _make_as_root(directory: Path, account: pwd.struct_passwd) -> None:
    """Make a directory that belongs to the account, if it does not exist; change its owner if root had to make it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    # To look at it takes no permission of its owner's (O_PATH, open(2)).
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        owner = os.fstat(descriptor).st_uid
        if owner == account.pw_uid:
            return
        if owner != 0:
            raise StartError(
                f"The directory {directory} belongs to user {owner}; remove it, or choose another",
                ExitStatus.CANNOT_START,
            )
        _give_away(descriptor, directory, account)
    finally:
        os.close(descriptor)


def _give_away(path_descriptor: int, directory: Path, account: pwd.struct_passwd) -> None:
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=path_descriptor)
    try:
        # Never /run itself, or whatever else a mistyped option may name.
        if os.listdir(descriptor):  # noqa: PTH208 (of what has been looked at)
            raise StartError(
                f"The directory {directory} belongs to root and is not empty; choose another one, or if it is this "
                f"service's: chown -R {account.pw_name}: {directory}",
                ExitStatus.CANNOT_START,
            )
        os.fchown(descriptor, account.pw_uid, account.pw_gid)
    except PermissionError as error:
        raise StartError(
            f"Changing the owner of {directory} to {account.pw_name} needs CAP_CHOWN. Grant it, or make the directory "
            f"beforehand: install -d -m 700 -o {account.pw_name} -g {account.pw_name} {directory}",
            ExitStatus.CANNOT_START,
        ) from error
    finally:
        os.close(descriptor)


def _be_private(directory: Path) -> None:
    """Set the mode of a directory of the account, as which this process acts, to 0700."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid():
            raise StartError(
                f"The directory {directory} belongs to user {found.st_uid}; remove it", ExitStatus.CANNOT_START
            )
        if stat.S_IMODE(found.st_mode) != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{descriptor}", stat.S_IRWXU)  # noqa: PTH101 (of what has been looked at)
    finally:
        os.close(descriptor)
