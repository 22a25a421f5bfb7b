"""What config-acl and session-acl have in common: the users that something is shared with."""

import pwd
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from .arguments import text
from .exits import CommandError, CommandExit
from .services import BusService
from .show import user_name

if TYPE_CHECKING:
    from .bus import Bus

Command = Callable[..., None]
Grant = tuple[str, str, int]  # a method of the object, what is printed about it, and its argument, a user id

_NOBODY = 2**32 - 1  # stands for "no user" in system calls


def grant_options(command: Command) -> Command:
    """Add the options that share something with users, `grant` and `revoke`."""
    for option in (
        click.option(
            "-R", "--revoke", type=text, metavar="USER", multiple=True, help="No longer share it with a user."
        ),
        click.option(
            "-G", "--grant", type=text, metavar="USER", multiple=True, help="Share it with a user (name or number)."
        ),
    ):
        command = option(command)
    return command


def show_options(command: Command) -> Command:
    """Add the options that show who has access, `show` and `as_json`."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print who has access, after all changes, as an object."),
        click.option("-s", "--show", is_flag=True, help="Show who has access."),
    ):
        command = option(command)
    return command


def grants(grant: Iterable[str], revoke: Iterable[str]) -> list[Grant]:
    """What the options of `grant_options` ask for.  Raises CommandError if there is no such user."""
    return [
        *(("AccessGrant", "Granted access to", user_id(user)) for user in grant),
        *(("AccessRevoke", "Revoked access from", user_id(user)) for user in revoke),
    ]


async def make_grants(
    bus: "Bus", service: BusService, path: str, asked: Iterable[Grant], report: Callable[[str], None]
) -> None:
    """Make them one after the other, and `report` each.  Raises CommandError."""
    for member, done, uid in asked:
        await bus.call(service, member, "u", uid, path=path)
        report(f"{done} {user_name(uid)} (uid {uid})")


def user_id(user: str) -> int:
    """The number of a user given by name or number; raises CommandError."""
    if user.isascii() and user.isdecimal() and len(user) <= len(str(_NOBODY)) and int(user) < _NOBODY:
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except (KeyError, ValueError):
        raise CommandError(f"there is no user {user}", CommandExit.REFUSED) from None


def granted_json(properties: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The users that something is shared with, as the helps of the two commands say."""
    return [{"name": user_name(uid), "uid": uid} for uid in properties["acl"]]


def granted_lines(granted: list[dict[str, Any]], label: int, dash: int) -> list[str]:
    """The same for people, as the openvpn3 command line shows it; `label` and `dash` are columns where these end."""
    return [
        f"{'Users granted access':>{label}}: {len(granted)} {'user' if len(granted) == 1 else 'users'}",
        *(f"{'-':>{dash}} ({user['uid']})  {user['name']}" for user in granted),
    ]


def yes_or_no(value: bool) -> str:
    """A switch in words."""
    return "yes" if value else "no"
