"""Alice with a session, bob with as many connections as he likes."""

import time

from dbus_fast import Message, MessageType

from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS, SESSIONS_PATH
from ..lab.lab import Lab
from ..lab.surroundings import BOB
from ..support.sessions import CONNECTED, begin
from ..support.silent_client import SilentClient

PROPERTIES = "org.freedesktop.DBus.Properties"
LIMITS_EXCEEDED = "org.freedesktop.DBus.Error.LimitsExceeded"
PATIENCE = 60.0  # seconds in which alice is answered; how fast, the benchmarks tell


class Neighbours:
    """The service, alice's session in it, and bob."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._tunnels = lab.server(pushes=())
        self.service = lab.supervisor()
        self.session = begin(lab, "quiet", "alice")
        self.session.connect()
        self._told = self.session.seen
        self._bobs: list[SilentClient] = []

    def bob(self) -> SilentClient:
        """A new connection of bob's."""
        made = SilentClient(self.lab.bus.address, BOB.uid)
        self._bobs.append(made)
        return made

    def bobs(self, count: int) -> list[SilentClient]:
        return [self.bob() for _ in range(count)]

    def check_alice(self) -> None:
        """Her session is up, nothing was said of it, and she is answered; so is a newcomer of hers."""
        began = time.monotonic()
        status = self.session.user.call(
            self.session.path, PROPERTIES, "Get", "ss", SESSIONS, "status", deadline=PATIENCE
        )
        assert status == [2, CONNECTED, ""]
        assert self.session.user.statuses(self.session.path, self._told) == []
        newcomer = self.lab.connection("alice")
        assert newcomer.session(SESSIONS_PATH, "FetchAvailableSessions") == [self.session.path]
        newcomer.close()
        print(f"alice is answered after {time.monotonic() - began:.1f} s")
        assert self.service.process.running()
        for trouble in ("A fault of the service", "failed:\n", "Traceback", "The bus"):
            assert trouble not in self.service.log, self.service.log[-3000:]

    def forget_statuses(self) -> None:
        """What has been said of her session up to now was meant to be."""
        self._told = self.session.seen

    def answer(self, client: SilentClient) -> Message:
        """What he calls next is answered, once he has read what there is (which this does)."""
        return client.call(Message(SESSIONS, SESSIONS_PATH, SESSIONS, "FetchAvailableSessions"))

    def close(self) -> None:
        for bob in self._bobs:
            bob.close()


def large_profile(lab: Lab) -> str:
    """A profile of nearly 4 MiB, as text and in JSON."""
    line = "x" * 100 + "\n"
    return lab.profile().replace("<ca>\n", "<ca>\n" + line * (4_100_000 // len(line)))


def importing(name: str, text: str, *, persistent: bool = False) -> Message:
    """A call that imports a profile."""
    body = [name, text, False, persistent]
    return Message(CONFIGURATION, CONFIGURATION_PATH, CONFIGURATION, "Import", signature="ssbb", body=body)


def imported(bob: SilentClient, text: str, name: str = "work") -> str:
    """The path of a profile that bob imports."""
    reply = bob.call(importing(name, text))
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    path: str = reply.body[0]
    return path
