"""What the bus says: who owns the names, what it lets us send, and whether it can start the service."""

import asyncio
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...policy.access import SERVICE_ACCOUNTS
from ..exits import CommandError, CommandExit
from ..services import CONFIGURATION, LOCK, NAMESPACE, PROFILE_SETTINGS, SESSIONS

if TYPE_CHECKING:
    from ..bus import Bus

LOG = "net.openvpn.v3.log"
NAMES = (SESSIONS.name, LOG, CONFIGURATION.name, "net.openvpn.v3.backends", "net.openvpn.v3.netcfg")
RESOLVED, POLKIT = "org.freedesktop.resolve1", "org.freedesktop.PolicyKit1"
_POLKIT_ACTION = "org.freedesktop.resolve1.set-dns-servers"
# A call of each interface: a policy that the bus has read before an upgrade knows the older ones only.
_CALLS = (
    (SESSIONS.name, SESSIONS.name, "FetchAvailableSessions"),
    (SESSIONS.name, SESSIONS.name, "NewTunnel"),
    (SESSIONS.name, "org.freedesktop.DBus.Properties", "GetAll"),
    (SESSIONS.name, LOCK, "GetLock"),
    (SESSIONS.name, NAMESPACE, "Enter"),
    (SESSIONS.name, PROFILE_SETTINGS, "GetSettings"),
    (CONFIGURATION.name, CONFIGURATION.name, "Import"),
    (CONFIGURATION.name, CONFIGURATION.name, "FetchAvailableConfigs"),
)
_NOWHERE = "/net/openvpn/v3/doctor"  # there is no such object: whoever is called does nothing
_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
_DAEMON = "org.freedesktop.DBus"
_OWNING = "openvpn3_sessionmgr.ctl.doctor.owning"  # run as the account


@dataclass
class BusFacts:
    """What was found out; as it is where the bus cannot be reached."""

    unreachable: CommandError | None = None
    owners_before: dict[str, str] = field(default_factory=dict)  # by name, before the service was to be started
    owners: dict[str, str] = field(default_factory=dict)  # then; those that there are
    pids: dict[str, int] = field(default_factory=dict)  # of owners, by name
    activatable: frozenset[str] = frozenset()  # names that the bus would start something for
    not_started: CommandError | None = None  # why the session manager was not
    denied: list[str] = field(default_factory=list)  # calls that the bus lets nobody send
    may_own: str = "unknown"  # whether the account may own the names: "yes", or what the bus says
    is_ours: bool = False  # the session manager is this one
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)  # what is inspected, by name of the profile
    polkit_admits: bool | None = None  # the service, to set name servers; None where it was not asked

    @property
    def running(self) -> bool:
        """Whether a session manager ran before it was to be started."""
        return SESSIONS.name in self.owners_before


async def gather(bus: "Bus", *, root: bool) -> BusFacts:
    """Ask the bus for all of it, and have it start the service.  Raises CommandError if the bus does not answer."""
    facts = BusFacts()
    facts.owners_before = await _owners(bus)
    facts.activatable = frozenset((await _asked(bus, "ListActivatableNames"))[0] or ())
    facts.not_started = await _start(bus)
    if await bus.owner_of(SESSIONS.name):
        await _ask_service(bus, facts)  # which answers when it has all its names
    facts.owners = await _owners(bus)
    for name, owner in facts.owners.items():
        if pid := (await _asked(bus, "GetConnectionUnixProcessID", "s", owner))[0]:
            facts.pids[name] = int(pid)
    if not facts.not_started:
        facts.denied = await _denied(bus, facts.owners)
    if root:
        facts.may_own = await asyncio.to_thread(_may_own, [SESSIONS.name, *({LOG} & facts.owners.keys())])
    if root and {SESSIONS.name, RESOLVED} <= facts.owners.keys():
        facts.polkit_admits = await _polkit_admits(bus, facts.owners[SESSIONS.name])
    return facts


async def _owners(bus: "Bus") -> dict[str, str]:
    found = {name: await bus.owner_of(name) for name in (*NAMES, RESOLVED, POLKIT)}
    return {name: owner for name, owner in found.items() if owner}


async def _asked(bus: "Bus", member: str, signature: str = "", *arguments: Any) -> tuple[Any, str, str]:
    """What the bus answers, the name and text of the error otherwise."""
    return await _called(bus, _DAEMON, "/org/freedesktop/DBus", _DAEMON, member, signature, *arguments)


async def _called(
    bus: "Bus", to: str, path: str, interface: str, member: str, signature: str = "", *arguments: Any
) -> tuple[Any, str, str]:
    from dbus_fast import Message, MessageFlag, MessageType

    message = Message(
        destination=to,
        path=path,
        interface=interface,
        member=member,
        flags=MessageFlag.NO_AUTOSTART,
        signature=signature,
        body=list(arguments),
    )
    reply = await bus.reply(message, "bus" if to == _DAEMON else to)
    first = reply.body[0] if reply.body else None
    if reply.message_type is not MessageType.ERROR:
        return first, "", ""
    from_bus = reply.sender == _DAEMON
    return None, reply.error_name or "" if from_bus else "by the service", str(first or "")


async def _start(bus: "Bus") -> CommandError | None:
    """Have the bus start the session manager, if it does not run; why it does not."""
    from ..bus import failure

    try:
        _, name, text = await _asked(bus, "StartServiceByName", "su", SESSIONS.name, 0)
    except CommandError as error:
        return error
    # A service that is owned and cannot be started is there.
    return failure(SESSIONS, name, text, "") if name and not await bus.owner_of(SESSIONS.name) else None


async def _denied(bus: "Bus", owners: dict[str, str]) -> list[str]:
    found = []
    for name, interface, member in _CALLS:
        if name in owners:
            _, error, _ = await _called(bus, name, _NOWHERE, interface, member)
            if error == _DENIED:
                found.append(f"{interface}.{member}")
    return found


def _may_own(names: list[str]) -> str:
    """Have a process of the account ask for names; "yes", or what the bus says, "unknown" if it could not be asked.

    That is refused by the policy first, and by an owner after that.  Where there is none, calls could not be answered
    anyway while that process has the name.
    """
    account = None
    for name in SERVICE_ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
            break
        except KeyError:
            continue
    if account is None:
        return "unknown"
    command = [sys.executable, "-I", "-m", _OWNING, *names]
    environment = {name: os.environ[name] for name in ("DBUS_SYSTEM_BUS_ADDRESS",) if name in os.environ}
    try:
        done = subprocess.run(
            command,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            cwd="/",
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip() or "unknown"


async def _ask_service(bus: "Bus", facts: BusFacts) -> None:
    """What only our session manager answers; errors mean that it is another one, or too old."""
    from ..lock_view import read_lock
    from ..sessions import inspected

    try:
        facts.is_ours = await read_lock(bus) is not None
        if not facts.is_ours:
            return
        reply = await bus.call(SESSIONS, "FetchAvailableSessions")
        for path, properties in (await bus.all_properties(SESSIONS, reply.body[0])).items():
            facts.sessions[str(properties.get("config_name") or path)] = await inspected(bus, path)
    except CommandError as error:
        if error.status == CommandExit.UNREACHABLE:
            facts.not_started = facts.not_started or error


async def _polkit_admits(bus: "Bus", owner: str) -> bool | None:
    """Whether polkit lets the service set name servers by systemd-resolved; None if it does not say."""
    from dbus_fast import Variant

    await _asked(bus, "StartServiceByName", "su", POLKIT, 0)
    subject = ["system-bus-name", {"name": Variant("s", owner)}]
    path, interface = "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority"
    arguments: tuple[Any, ...] = (subject, _POLKIT_ACTION, {}, 0, "")
    found, error, _ = await _called(bus, POLKIT, path, interface, "CheckAuthorization", "(sa{sv})sa{ss}us", *arguments)
    return None if error or found is None else bool(found[0])
