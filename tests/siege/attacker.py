"""One attacker: connections, what the user owns, and the next act by a seed.

Two with the same orders decide the same as long as they are answered the same.
"""

import random
import time
from collections.abc import Callable, Sequence

import msgspec
from dbus_fast import InvalidMessageError, Message, MessageType

from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS, SESSIONS_PATH
from ..support.silent_client import BUS, BUS_PATH
from .profiles import Texts
from .wire import Connection, Gone, Reads

_MOST_SESSIONS = 10  # of an attacker, so that the machine can bear all of them
_TIRED = 0.05  # chance for a connection to be given up after an act on it

Act = Callable[["Attacker"], str]  # what came of it, in a few words.  Raises Gone


class Orders(msgspec.Struct):
    """What an attacker is told."""

    address: str  # of the bus
    seed: str
    seconds: float
    connections: int
    texts: Texts
    uids: list[int]  # whom it may share with
    alices: list[str]  # objects of alice's
    without: list[str]  # acts and kinds of profiles that are left out


class Attacker:
    """A user's connections, and what the user owns."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.random = random.Random(orders.seed)
        self.connections: list[Connection] = []
        self.profiles: list[str] = []
        self.sessions: list[str] = []
        self.service = ""  # its unique name, once it is known

    # Connections

    def connect(self, reads: Reads = Reads.ALL) -> Connection:
        """Another connection.  Raises Gone."""
        made = Connection(self.orders.address, reads)
        self.connections.append(made)
        return made

    def any_connection(self) -> Connection:
        """One of those that can still send; a new one where there is none, or room."""
        usable = [one for one in self.connections if not one.broken]
        if not usable or (len(self.connections) < self.orders.connections and self.random.random() < 0.3):
            return self.connect(self.random.choice((Reads.ALL, Reads.ALL, Reads.SLOWLY, Reads.NOTHING)))
        return self.random.choice(usable)

    def reader(self) -> Connection:
        """One that reads everything."""
        usable = [one for one in self.connections if one.reads is Reads.ALL and not one.broken]
        return self.random.choice(usable) if usable else self.connect()

    def drop(self, connection: Connection) -> None:
        """Close one."""
        connection.close()
        if connection in self.connections:
            self.connections.remove(connection)

    # Calls

    def ask(self, path: str, interface: str, member: str, signature: str = "", *arguments: object) -> Message | None:
        """Call, on a connection that reads, and wait for the reply for a while.  Raises Gone."""
        line = self.reader()
        try:
            return line.call(service_of(path), path, interface, member, signature, *arguments)
        except Gone:
            self.drop(line)
            raise

    def tell(self, path: str, interface: str, member: str, signature: str = "", *arguments: object) -> str:
        """The same; what came of it, in a few words."""
        return outcome(self.ask(path, interface, member, signature, *arguments))

    def shout(self, *messages: Message) -> str:
        """Send messages on any connection, and leave the replies to its way of reading."""
        line = self.any_connection()
        try:
            line.send(*messages)
        except Gone:
            self.drop(line)
            raise
        return f"{len(messages)} from {line.name}, which reads {line.reads.value}"

    # Things

    def profile(self) -> str:
        """A profile: mostly an own one, else a path that may be anything."""
        return self._one_of(self.profiles, CONFIGURATION_PATH + "/nowhere")

    def session(self) -> str:
        """A session: mostly an own one, now and then alice's, or none."""
        return self._one_of(self.sessions, SESSIONS_PATH + "/nowhere")

    def _one_of(self, own: list[str], nowhere: str) -> str:
        chance = self.random.random()
        if chance < 0.03:
            return nowhere
        alices = [path for path in self.orders.alices if path.startswith(nowhere.rpartition("/")[0])]
        if chance < 0.15 or not own:
            return self.random.choice(alices)
        return self.random.choice(own)

    def refresh(self) -> None:
        """Learn which objects there are for this user.  Raises Gone."""
        for path, interface, member, own in (
            (CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs", self.profiles),
            (SESSIONS_PATH, SESSIONS, "FetchAvailableSessions", self.sessions),
        ):
            reply = self.ask(path, interface, member)
            if reply is not None and reply.message_type is MessageType.METHOD_RETURN:
                own[:] = sorted(reply.body[0])

    @property
    def has_sessions_enough(self) -> bool:
        return len(self.sessions) >= _MOST_SESSIONS

    # The course

    def run(self, acts: Sequence[tuple[float, Act]]) -> None:
        """Do one act after the other until the time is over."""
        until = time.monotonic() + self.orders.seconds
        chosen = [(weight, act) for weight, act in acts if act.__name__ not in self.orders.without]
        weights = [weight for weight, _ in chosen]
        number = 0
        while time.monotonic() < until:
            number += 1
            [(_, act)] = self.random.choices(chosen, weights)
            try:
                if number % 25 == 1:
                    self.refresh()
                    if not self.service:
                        owner = self.reader().call(BUS, BUS_PATH, BUS, "GetNameOwner", "s", SESSIONS)
                        self.service = owner.body[0] if owner is not None else ""
                came = act(self)
            except Gone as error:
                came = f"gone: {error}"
            except InvalidMessageError as error:
                came = f"not sent, more than fits into a message: {error}"
            print(number, act.__name__, came, flush=True)
            self._read()
            if self.connections and self.random.random() < _TIRED:
                self.drop(self.random.choice(self.connections))

    def _read(self) -> None:
        for line in list(self.connections):
            try:
                line.read_some()
            except Gone:
                self.drop(line)


def service_of(path: str) -> str:
    """The bus name of the service whose object `path` is."""
    return ".".join(path.split("/")[1:5])


def outcome(reply: Message | None) -> str:
    """A reply in a few words."""
    if reply is None:
        return "no answer"
    if reply.message_type is MessageType.ERROR:
        return f"{reply.error_name}: {str(reply.body[0] if reply.body else '')[:80]}"
    return "done"
