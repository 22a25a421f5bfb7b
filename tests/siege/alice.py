"""Alice, who is not to notice anything: her session, her calls, the flow through her tunnel."""

import contextlib
import os
import select
import time
from collections.abc import Iterator

from dbus_fast import Message, MessageType

from ...policy.dbus_numbers import StatusMajor, StatusMinor
from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS, SESSIONS_PATH
from ..lab.flows import Flow, counted
from ..lab.processes import Process, helper
from ..lab.surroundings import ALICE, Account
from ..support.silent_client import BUS, BUS_PATH
from .field import ALICES_SERVER, ASIDE, ECHO_PORT, Field
from .wire import Connection

PATIENCE = 60.0  # seconds in which she is answered; how fast, the figures tell
THROUGH, BESIDE = "through her tunnel", "beside it"  # flows
PER_SECOND = 50  # datagrams
_ENDING = 60.0  # seconds for the last datagrams to come back
_BETWEEN = 0.2  # seconds from a reply to the next call


class Noticed(Exception):
    """Alice has noticed something."""


@contextlib.contextmanager
def user(account: Account) -> Iterator[None]:
    """Within this block, connections to the bus are this user's."""
    os.seteuid(account.uid)
    try:
        yield
    finally:
        os.seteuid(0)


def value(reply: Message | None, what: str) -> object:
    """The one value of a reply that is no error.  Raises Noticed."""
    if reply is None:
        raise Noticed(f"{what}: no answer within {PATIENCE:g} s")
    if reply.message_type is MessageType.ERROR:
        raise Noticed(f"{what}: {reply.error_name}: {reply.body}")
    return reply.body[0] if reply.body else None


class Alice:
    """Alice with a connected session."""

    def __init__(self, field: Field) -> None:
        self._field = field
        with user(ALICE):
            self._line = Connection(field.bus.address)
        self._line.heard = []
        self.profile = str(
            self._must(CONFIGURATION_PATH, CONFIGURATION, "Import", "ssbb", "quiet", field.alices_profile, False, False)
        )
        self.session = str(self._must(SESSIONS_PATH, SESSIONS, "NewTunnel", "o", self.profile))
        self._must(self.session, SESSIONS, "Connect")
        until = time.monotonic() + PATIENCE
        while not any(minor == StatusMinor.CONN_CONNECTED for _, minor, _ in self._statuses()):
            if time.monotonic() > until:
                raise Noticed(f"not connected: {self._statuses()}")
            self._listen(_BETWEEN)
        self._line.heard.clear()
        self.took: list[float] = []  # ms of each Get
        self.bus_took: list[float] = []  # ms of a call of the bus itself just before
        self._flows = {THROUGH: self._flow(THROUGH, ALICES_SERVER), BESIDE: self._flow(BESIDE, ASIDE)}

    def _flow(self, name: str, address: str) -> Process:
        argv = helper("flow.py", address, str(ECHO_PORT), str(PER_SECOND))
        made = self._field.lab.client_side.start(name, argv, "alice")
        made.wait_line('"sent": [1-9]')
        return made

    def _must(self, path: str, interface: str, member: str, signature: str = "", *arguments: object) -> object:
        destination = ".".join(path.split("/")[1:5])
        reply = self._line.call(destination, path, interface, member, signature, *arguments, patience=PATIENCE)
        return value(reply, f"alice's {member}")

    def _listen(self, seconds: float) -> None:
        """Hear what comes within so many seconds."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and select.select([self._line], [], [], left)[0]:
            self._line.read_some()

    def _statuses(self) -> list[tuple[int, int, str]]:
        assert self._line.heard is not None
        return [
            tuple(one.body) for one in self._line.heard if one.member == "StatusChange" and one.path == self.session
        ]

    # What she sees

    def flows(self) -> dict[str, Flow]:
        """What has become of her flow, and of one that takes no tunnel."""
        return {name: counted(flow) for name, flow in self._flows.items()}

    def look(self) -> None:
        """One call; raises Noticed where anything is not as it was."""
        self._listen(_BETWEEN)
        began = time.monotonic()
        value(self._line.call(BUS, BUS_PATH, BUS, "GetId", patience=PATIENCE), "GetId of the bus")
        self.bus_took.append((time.monotonic() - began) * 1000)
        began = time.monotonic()
        reply = self._must(self.session, "org.freedesktop.DBus.Properties", "Get", "ss", SESSIONS, "status")
        self.took.append((time.monotonic() - began) * 1000)
        status = tuple(getattr(reply, "value", ()))
        if status != (StatusMajor.CONNECTION, StatusMinor.CONN_CONNECTED, ""):
            raise Noticed(f"the status of her session is {status}")
        if self._statuses():
            raise Noticed(f"her session went through {self._statuses()}")
        for flow in self._flows.values():
            if not flow.running():
                raise Noticed(f"the flow {flow.name} has ended:\n{flow.text[-1000:]}")

    def look_around(self) -> None:
        """The same from a new connection, and all that she may see."""
        with user(ALICE):
            newcomer = Connection(self._field.bus.address)
        try:
            call = (SESSIONS, SESSIONS_PATH, SESSIONS, "FetchAvailableSessions")
            found = value(newcomer.call(*call, patience=PATIENCE), "FetchAvailableSessions of a newcomer of alice's")
        finally:
            newcomer.close()
        if not isinstance(found, list) or self.session not in found:
            raise Noticed(f"her session is not in {found}")
        for name in ("log_forwards", "acl"):
            got = self._must(self.session, "org.freedesktop.DBus.Properties", "Get", "ss", SESSIONS, name)
            if getattr(got, "value", None) != []:
                raise Noticed(f"{name} of her session is {got}")

    def speed(self) -> str:
        """Her calls so far: how many, and how long they took, and calls of the bus itself."""
        return f"{len(self.took)} calls, {_spread(self.took)}; of the bus itself {_spread(self.bus_took)}"

    def stop_flows(self) -> dict[str, Flow]:
        """End both flows, once their last datagrams are back or lost; what became of all."""
        for flow in self._flows.values():
            flow.stop(_ENDING)
        return self.flows()

    def leave(self) -> None:
        self.stop_flows()
        self._line.close()


def _spread(times: list[float]) -> str:
    if not times:
        return "none"
    ordered = sorted(times)
    shown = {"median": ordered[len(ordered) // 2], "99 %": ordered[len(ordered) * 99 // 100], "longest": ordered[-1]}
    return ", ".join(f"{name} {took:.1f} ms" for name, took in shown.items())
