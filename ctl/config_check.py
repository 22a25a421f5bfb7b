"""config-check: whether the service can use the administrator's files."""

import grp
import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from ..policy.configuration.files import Configuration, read
from ..policy.configuration.table import DIRECTORY
from ..policy.rights import GROUP, Right, Rule
from .exits import CommandExit, sanitize
from .run import put, say


@click.command("config-check", short_help="Say whether the service can use its configuration files.")
@click.argument("directory", metavar="DIR", required=False, type=click.Path(path_type=Path))
def config_check(directory: Path | None) -> None:
    """Say whether the service can use its configuration files.

    These are config.toml and config.d/*.toml of /etc/openvpn3-sessionmgr, or of DIR, where they may be yours.  Neither
    the service nor the bus is asked.  Prints which keys are chosen in which file, and everything that is wrong; the
    exit status is 3 if anything is.  openvpn3-sessionmgr.conf(5) describes the files.
    """
    owners = (0,) if directory is None else (0, os.getuid())
    found = read(directory or Path(DIRECTORY), owners)
    for problem in found.problems:
        say(f"Error: {sanitize(problem)}")
    for warning in _warnings(found):
        say(f"Warning: {sanitize(warning)}")
    if found.problems:
        sys.exit(CommandExit.REFUSED)
    for setting in found.settings.values():
        put(sanitize(setting.source))
    if not found.settings:
        where = directory or DIRECTORY
        put(f"Nothing is chosen in {where}" if found.files else f"There are no files in {where}")


def _warnings(found: Configuration) -> Iterator[str]:
    """What need not be wrong: accounts may be in a directory that this machine does not reach now."""
    for right in Right:
        if setting := found.settings.get(right):
            for name in Rule(setting.value).accounts:
                try:
                    grp.getgrnam(name.removeprefix(GROUP)) if name.startswith(GROUP) else pwd.getpwnam(name)
                except KeyError:
                    what = "group" if name.startswith(GROUP) else "user"
                    yield f"{setting.source}: there is no {what} {name.removeprefix(GROUP)!r} on this machine now"
