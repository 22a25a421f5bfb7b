"""session-keep: a session of one user as a service of systemd: what the unit openvpn3-sessionmgr-session@ runs."""

import asyncio
import os
import pwd
import time
from typing import TYPE_CHECKING, Any

import click

from ..policy.dbus_numbers import StatusMinor
from .arguments import text
from .exits import CommandError, CommandExit, help_epilog, sanitize
from .profiles import own_settings, profiles_named, the_only
from .progress import progress
from .run import on_bus
from .services import SESSIONS
from .sessions import visible_sessions
from .unit_credentials import UnitAnswers, UnitCredentials

if TYPE_CHECKING:
    from ..kernel.notify import Notify
    from .bus import Bus
    from .status_text import Status
    from .watch import Event, Watch

_AWAY = 60.0  # seconds in which a session manager that has ended is back
_PAUSE = 1.0  # seconds before it is asked again
_BY_SIGNAL = (CommandExit.TERMINATED, CommandExit.INTERRUPTED, CommandExit.HUNG_UP)


@click.command("session-keep", epilog=help_epilog(), short_help="Start a session, and stay until it ends: for systemd.")
@click.argument("whose", metavar="OWNER:PROFILE", type=text)
def session_keep(whose: str) -> None:
    """Start a session of OWNER's profile, and stay until it ends.

    This is what openvpn3-sessionmgr-session@.service runs.  Run by root, it becomes OWNER for good before anything
    else; anybody else can name only themselves.  Only profiles that belong to OWNER count, not those that others share.
    A session of the profile that is there already is taken as it is.

    systemd is told when it is connected (sd_notify), and each status.  SIGTERM disconnects it.  The exit status is 0 if
    it was disconnected, by a signal or by hand, and that of session-start if it failed.  A service that is restarted
    is waited for.

    What the session asks before it connects is answered by credentials of the unit (systemd.exec(5), LoadCredential=),
    which config-credentials names.  Nobody types: what they do not answer is an error, and so is a profile with a kill
    switch, for which there is config-manage --autoconnect.
    """
    owner, _, name = whose.partition(":")
    if not (owner and name):
        raise click.UsageError("Name the owner and the profile, as in alice:office.")
    credentials = UnitCredentials()  # as who they were given to
    uid = _become(owner)
    on_bus(lambda bus: _keep(bus, owner, uid, name, credentials))


def _become(owner: str) -> int:
    """Be this user from now on; the user's id.  Raises CommandError."""
    from ..kernel.privileges import ConfinementError, drop_to, hide_memory, run_steps

    try:
        account = pwd.getpwnam(owner)
    except KeyError:
        raise CommandError(f"there is no user {owner}", CommandExit.REFUSED) from None
    if os.geteuid() == account.pw_uid:
        return account.pw_uid
    if os.geteuid() != 0:
        raise CommandError(f"only root can keep a session of {owner}", CommandExit.REFUSED)
    groups = os.getgrouplist(owner, account.pw_gid)
    try:
        run_steps([*drop_to(account.pw_uid, account.pw_gid, groups=groups), *hide_memory()])
    except ConfinementError as error:
        raise CommandError(f"ovpnctl cannot become user {owner}: {error}", CommandExit.OTHER) from error
    return account.pw_uid


async def _keep(bus: "Bus", owner: str, uid: int, name: str, credentials: UnitCredentials) -> None:
    from ..kernel.notify import Notify
    from .connect import end_session, explained, until
    from .status_text import Status
    from .watch import Watch

    notify = Notify()
    watch = await Watch.start(bus)
    with watch.interruptible(), progress() as shown:
        profile = await _own_profile(bus, owner, uid, name)
        path = await _session_of(bus, profile, uid)
        if not path:
            path = (await bus.call(SESSIONS, "NewTunnel", "o", profile)).body[0]
        try:
            async with explained(bus, path):
                answers = UnitAnswers(bus, credentials)
                await answers.answer(path)
                await bus.call(SESSIONS, "Connect", path=path)
                first = Status(*await bus.property(SESSIONS, path, "status"))
                status = await until(StatusMinor.CONN_CONNECTED, watch, path, shown, first=first, asker=answers)
                notify.tell("READY=1", f"STATUS={status}")
                await _until_over(bus, watch, path, notify, answers)
        except BaseException as error:
            if not (isinstance(error, CommandError) and error.status == CommandExit.UNREACHABLE):
                notify.tell("STOPPING=1")
                await end_session(bus, path)
            if isinstance(error, CommandError) and error.status in _BY_SIGNAL:
                return
            raise


async def _own_profile(bus: "Bus", owner: str, uid: int, name: str) -> str:
    """The path of the user's profile of this name.  Raises CommandError."""
    own = {path: one for path, one in (await profiles_named(bus, name)).items() if one.get("owner") == uid}
    path = the_only(own, f"{name} that belongs to {owner}")
    settings: dict[str, Any] = await own_settings(bus, path, own[path]) or {}
    if settings.get("kill-switch"):
        raise CommandError(
            "the profile has a kill switch, which would end with each failure",
            CommandExit.REFUSED,
            "`ovpnctl config-manage --autoconnect yes` keeps it connected, and the machine locked meanwhile.",
        )
    return path


async def _session_of(bus: "Bus", profile: str, uid: int) -> str:
    """The user's session of a profile that is there already; empty if there is none."""
    from .connect import FAILURE

    for path, one in (await visible_sessions(bus)).items():
        if (one.get("config_path"), one.get("owner")) == (profile, uid) and one["status"][1] not in FAILURE:
            return path
    return ""


async def _until_over(bus: "Bus", watch: "Watch", path: str, notify: "Notify", answers: UnitAnswers) -> None:
    """Return when the session at `path` was disconnected by hand.  Raises CommandError if it ended otherwise."""
    from .connect import check_going_on
    from .watch import ServiceLost, StatusChanged

    status: Status | None = None
    event: Event | None = None
    while True:
        match event := event or await watch.next(path):
            case StatusChanged(_, status):
                event = None
            case ServiceLost(_, old) if old:
                notify.tell("STATUS=The session manager is away; the session goes on")
                event = await _found_again(bus, watch, path)
                continue
            case _:
                check_going_on(event, status)
                event = None
                continue
        notify.tell(f"STATUS={sanitize(str(status))}")
        if status.minor == StatusMinor.CFG_REQUIRE_USER:
            await answers.answer_and_connect(path)
        elif disconnected(status):
            return


async def _found_again(bus: "Bus", watch: "Watch", path: str) -> "Event":
    """What comes first when the session manager is back: the session's status, or another event.

    Raises CommandError if the session is gone, or the session manager does not come back.
    """
    from .connect import attended
    from .exits import NotFound
    from .status_text import Status
    from .watch import StatusChanged

    found: list[Status] = []

    async def ask() -> None:
        deadline = time.monotonic() + _AWAY
        while not found:
            try:
                found.append(Status(*await bus.property(SESSIONS, path, "status")))
            except NotFound:
                raise CommandError(
                    "the session did not outlive its session manager", CommandExit.CONNECTION_FAILED
                ) from None
            except CommandError as error:  # it may be killed, too, or may not come up at once
                if error.status is not CommandExit.UNREACHABLE or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE)

    return await attended(ask(), watch, path) or StatusChanged(path, found[0])


def disconnected(status: "Status") -> bool:
    """Whether the session was disconnected by hand.  Raises CommandError if it ended otherwise."""
    from .connect import FAILURE

    if status.minor == StatusMinor.CONN_DONE and not status.message:
        return True
    outcome = FAILURE.get(status.minor)  # type: ignore[call-overload]  # an int equals its IntEnum
    # That it is disconnected is told before how it ended.
    if outcome is not None and status.minor != StatusMinor.CONN_DISCONNECTED:
        raise CommandError(str(status), outcome)
    return False
