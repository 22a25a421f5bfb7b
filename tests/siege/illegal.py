"""What nobody may do: calls that no table has, messages that are none of a caller's, or none at all."""

import os
import struct

from dbus_fast import Message, MessageFlag, MessageType, Variant

from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, SESSIONS, SESSIONS_PATH
from ..support.calls import INTERFACES, CallMaker
from .attacker import Attacker

_HUGE = 31_000_000  # bytes; the bus closes a connection that sends 32 MiB
# Signature of an array, and a value in it.
_ARRAYS = {"av": b"\1y\0\5", "ay": b"\5", "au": b"\5\0\0\0", "aau": b"\0\0\0\0", "a(y)": b"\5" + bytes(7)}


def anything(attacker: Attacker) -> str:
    """Calls of any member, with any arguments, to any object."""
    paths = [
        *attacker.profiles[:10],
        *attacker.sessions[:10],
        *attacker.orders.alices,
        CONFIGURATION_PATH,
        SESSIONS_PATH,
    ]
    maker = CallMaker(attacker.random.getrandbits(64), INTERFACES, paths, without=())
    return attacker.shout(*(maker.call() for _ in range(attacker.random.choice((1, 5, 40)))))


def alices(attacker: Attacker) -> str:
    """What ends or changes alice's session, were it the attacker's."""
    choose = attacker.random
    member, signature, *arguments = choose.choice(
        (
            ("Disconnect", ""),
            ("Pause", "s", "gone"),
            ("Restart", ""),
            ("Connect", ""),
            ("AccessGrant", "u", choose.choice(attacker.orders.uids)),
            ("LogForward", "b", True),
            ("UserInputProvide", "uuus", 1, 1, 0, "x"),
        )
    )
    path = next(one for one in attacker.orders.alices if one.startswith(SESSIONS_PATH))
    return f"{member}: {attacker.tell(path, SESSIONS, member, signature, *arguments)}"


def wrong_names(attacker: Attacker) -> str:
    choose = attacker.random
    return attacker.tell(
        choose.choice((SESSIONS_PATH, SESSIONS_PATH + "/x", CONFIGURATION_PATH + "/y/z")),
        choose.choice((SESSIONS, CONFIGURATION, "a.b", "x" * 120 + ".y")),
        choose.choice(("Nothing", "NewTunnel", "x" * 200)),
    )


def wrong_signature(attacker: Attacker) -> str:
    choose = attacker.random
    signature, body = choose.choice(
        (
            ("", []),
            ("s", ["x"]),
            ("oo", ["/", "/"]),
            ("v", [Variant("v", Variant("s", "x"))]),
            ("ay", [bytes(3000)]),
            ("au", [[1] * 900]),
        )
    )
    return attacker.tell(SESSIONS_PATH, SESSIONS, "NewTunnel", signature, *body)


def huge(attacker: Attacker) -> str:
    """An array of millions of small values, in a call or a signal."""
    choose = attacker.random
    signature, value = choose.choice(list(_ARRAYS.items()))
    size = choose.choice((5_000, 70_000, 4_300_000, _HUGE)) // 8 * 8
    message = Message(
        attacker.service or SESSIONS, SESSIONS_PATH, SESSIONS, choose.choice(("NewTunnel", "Ready", "Import")),
        choose.choice((MessageType.METHOD_CALL, MessageType.SIGNAL)), signature=signature,
        body=[b""] if signature == "ay" else [[]],
    )  # fmt: skip
    return f"{signature} of {size}: {_send_array(attacker, message, value * (size // len(value)))}"


def _send_array(attacker: Attacker, message: Message, content: bytes) -> str:
    """Send a message whose one argument is an array, empty so far, with this content."""
    line = attacker.any_connection()
    data = line.numbered(message)
    # Elements of structures begin at a multiple of eight: the padding is there in the empty one as well.
    at = 8 if message.signature == "a(y)" else 4
    length = struct.pack("<I", len(content)) + data[len(data) - at + 4 :]
    line.send_bytes(data[:4] + struct.pack("<I", len(content) + at) + data[8:-at] + length + content)
    return line.name


def nested(attacker: Attacker) -> str:
    """Variants in variants, arrays in arrays, as deep as the specification allows or deeper."""
    choose = attacker.random
    depth = choose.choice((3, 30, 60))
    value = Variant("s", "x")
    for _ in range(depth):
        value = Variant("v", value)
    body = [SESSIONS, "log_verbosity", value]
    return attacker.shout(
        Message(SESSIONS, SESSIONS_PATH, "org.freedesktop.DBus.Properties", "Set", signature="ssv", body=body)
    )


def signals(attacker: Attacker) -> str:
    """Signals straight to the service, as if from the bus or from a worker."""
    choose = attacker.random
    interface, member, signature, *body = choose.choice(
        (
            ("org.freedesktop.DBus", "NameOwnerChanged", "sss", SESSIONS, attacker.service, ""),
            ("org.freedesktop.DBus", "NameLost", "s", SESSIONS),
            ("org.freedesktop.DBus.Local", "Disconnected", ""),
            ("net.openvpn.v3.backends", "StatusChange", "uus", 2, 9, "over"),
            (SESSIONS, "SessionManagerEvent", "oqu", SESSIONS_PATH, 2, 0),
            ("a.b", "C", "s", "x" * 60_000),
        )
    )
    message = Message(
        attacker.service or SESSIONS, choose.choice((SESSIONS_PATH, "/org/freedesktop/DBus")), interface, member,
        MessageType.SIGNAL, signature=signature, body=body,
    )  # fmt: skip
    return f"{member}: {attacker.shout(*[message] * choose.choice((1, 50)))}"


def replies(attacker: Attacker) -> str:
    """Replies to calls that the service may have under way."""
    choose = attacker.random
    first = choose.choice((1, 5, 100, choose.randrange(1 << 31)))
    kind = choose.choice((MessageType.METHOD_RETURN, MessageType.ERROR))
    name = "org.freedesktop.DBus.Error.Failed" if kind is MessageType.ERROR else None
    return attacker.shout(
        *(
            Message(attacker.service or SESSIONS, message_type=kind, error_name=name, reply_serial=first + number,
                    signature="u", body=[0])
            for number in range(50)
        )
    )  # fmt: skip


def flags(attacker: Attacker) -> str:
    """Calls that want no reply, or start nothing; calls without interface."""
    choose = attacker.random
    path = choose.choice((attacker.session(), SESSIONS_PATH))
    member, signature, *body = choose.choice(
        (("Ready", ""), ("FetchAvailableSessions", ""), ("NewTunnel", "o", attacker.profile()))
    )
    flag = choose.choice(
        (MessageFlag.NO_REPLY_EXPECTED, MessageFlag.NO_AUTOSTART, MessageFlag.ALLOW_INTERACTIVE_AUTHORIZATION)
    )
    interface = choose.choice((SESSIONS, None))
    return attacker.shout(
        *(Message(SESSIONS, path, interface, member, flags=flag, signature=signature, body=body) for _ in range(10))
    )


def malformed(attacker: Attacker) -> str:
    """A message with some of its bytes changed, for which the bus hangs up."""
    line = attacker.any_connection()
    data = bytearray(line.numbered(Message(SESSIONS, SESSIONS_PATH, SESSIONS, "NewTunnel", signature="o", body=["/a"])))
    for _ in range(attacker.random.randrange(1, 4)):
        data[attacker.random.randrange(len(data))] = attacker.random.randrange(256)
    line.send_bytes(bytes(data), half=True)
    return line.name


def descriptors(attacker: Attacker) -> str:
    """Descriptors with a call that takes none."""
    line = attacker.any_connection()
    reading, writing = os.pipe()
    try:
        data = line.numbered(Message(SESSIONS, SESSIONS_PATH, SESSIONS, "FetchAvailableSessions"))
        line.send_descriptors(data, [reading, writing])
    finally:
        os.close(reading)
        os.close(writing)
    return line.name
