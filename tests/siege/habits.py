"""How attackers behave as connections of the bus, whatever they say there."""

from dbus_fast import Message

from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS, SESSIONS_PATH
from ..support.silent_client import BUS, BUS_PATH
from .attacker import Attacker
from .wire import Reads

_MANY = 2000  # calls without a pause; the bus has 128 of them answered


def come(attacker: Attacker) -> str:
    """More connections, up to as many as there may be."""
    room = attacker.orders.connections - len(attacker.connections)
    for _ in range(min(room, 20)):
        attacker.connect(attacker.random.choice(tuple(Reads)))
    return f"{len(attacker.connections)} connections"


def go(attacker: Attacker) -> str:
    """Some leave, with all that they wait for."""
    for _ in range(attacker.random.randrange(1, 8)):
        if attacker.connections:
            attacker.drop(attacker.random.choice(attacker.connections))
    return f"{len(attacker.connections)} connections"


def come_and_go(attacker: Attacker) -> str:
    """A connection that calls and is gone before it is answered."""
    line = attacker.connect()
    calls = (
        Message(SESSIONS, SESSIONS_PATH, SESSIONS, "NewTunnel", signature="o", body=[attacker.profile()]),
        Message(SESSIONS, attacker.session(), SESSIONS, "Connect"),
        Message(CONFIGURATION, attacker.profile(), CONFIGURATION, "Fetch"),
    )
    line.send(*attacker.random.sample(calls[attacker.has_sessions_enough :], 2))
    attacker.drop(line)
    return line.name


def half_a_message(attacker: Attacker) -> str:
    """A message that is never completed: its connection stays for a while, or leaves at once."""
    line = attacker.any_connection()
    body = ["work", "x" * attacker.random.choice((10, 5000, 3_000_000)), False, False]
    data = line.numbered(
        Message(CONFIGURATION, CONFIGURATION_PATH, CONFIGURATION, "Import", signature="ssbb", body=body)
    )
    line.send_bytes(data[: attacker.random.randrange(1, len(data))], half=True)
    if attacker.random.random() < 0.5:
        attacker.drop(line)
    return line.name


def thousands(attacker: Attacker) -> str:
    """Calls by the thousand, of one kind."""
    call = attacker.random.choice(
        (
            (SESSIONS, attacker.session(), "org.freedesktop.DBus.Introspectable", "Introspect"),
            (SESSIONS, SESSIONS_PATH, SESSIONS, "FetchAvailableSessions"),
            (CONFIGURATION, CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs"),
            (SESSIONS, attacker.session(), SESSIONS, "Ready"),
        )
    )
    return f"{call[3]}: {attacker.shout(*(Message(*call) for _ in range(_MANY)))}"


def fetch_without_reading(attacker: Attacker) -> str:
    path = attacker.profile()
    member = attacker.random.choice(("Fetch", "FetchJSON"))
    return attacker.shout(*(Message(CONFIGURATION, path, CONFIGURATION, member) for _ in range(10)))


def listen(attacker: Attacker) -> str:
    """Have all signals sent that there are, and read them or not."""
    rule = attacker.random.choice(
        ("type='signal'", f"sender='{SESSIONS}'", "type='signal',interface='net.openvpn.v3.backends'")
    )
    return attacker.shout(Message(BUS, BUS_PATH, BUS, "AddMatch", signature="s", body=[rule]))
