"""What tests of the kill switch look at and use: the machine's nf_tables, as the kernel lists them."""

import socket
import struct

from ..lab.connection import SESSIONS, SESSIONS_PATH, BusClient
from ..lab.network import Namespace
from ..lab.processes import DEADLINE

LOCK = f"{SESSIONS}.lock"
TABLE = "openvpn3-sessionmgr-lock"
_NETLINK_NETFILTER = 12
_TABLES, _CHAINS, _RULES, _SETS = 1, 4, 7, 10  # NFT_MSG_GET*
_BATCH_BEGIN, _BATCH_END, _NEW_TABLE, _DELETE_TABLE = 0x10, 0x11, 10 << 8, 10 << 8 | 2
_REQUEST, _ACK, _DUMP, _CREATE = 1, 4, 0x300, 0x400
_OWNED = 2  # NFT_TABLE_F_OWNER
_DONE = 3  # NLMSG_DONE
_HEADER = struct.Struct("=IHHII")


def is_locked(namespace: Namespace) -> bool:
    """Whether the kill switch is on."""
    return any(TABLE.encode() + b"\0" in one for one in _listed(namespace, _TABLES))


def rules_of(namespace: Namespace) -> list[bytes]:
    """All tables, chains, rules and sets, as the kernel encodes them."""
    return [one for kind in (_TABLES, _CHAINS, _RULES, _SETS) for one in _listed(namespace, kind)]


def remove_tables(namespace: Namespace, name: str = "") -> None:
    """As `nft flush ruleset` does, or `nft delete table inet NAME`."""
    attribute = name.encode() + b"\0"
    attributes = struct.pack("=HH", 4 + len(attribute), 1) + attribute + bytes(-len(attribute) % 4) if name else b""
    family = 1 if name else 0  # NFPROTO_INET
    with _link(namespace) as link:
        _send(link, _DELETE_TABLE, family, attributes)


def owned_table(namespace: Namespace) -> socket.socket:
    """Make a table of that name that nobody else may change while the socket is open."""
    attribute = TABLE.encode() + b"\0"
    attributes = struct.pack("=HH", 4 + len(attribute), 1) + attribute + bytes(-len(attribute) % 4)
    attributes += struct.pack("=HH", 8, 2) + struct.pack("!I", _OWNED)
    link = _link(namespace)
    _send(link, _NEW_TABLE, 1, attributes, _CREATE)
    return link


def unlock(user: BusClient, seconds: int = 0) -> None:
    """End the lock, or lift it for so long."""
    user.call(SESSIONS_PATH, LOCK, "Unlock", "u", seconds)


def _send(link: socket.socket, kind: int, family: int, attributes: bytes, flags: int = 0) -> None:
    """Send one change, and see that it is done."""
    body = struct.pack("!BBH", family, 0, 0) + attributes
    edge = struct.pack("!BBH", 0, 0, 10)
    link.send(
        _HEADER.pack(20, _BATCH_BEGIN, _REQUEST, 1, 0) + edge
        + _HEADER.pack(16 + len(body), kind, _REQUEST | _ACK | flags, 2, 0) + body
        + _HEADER.pack(20, _BATCH_END, _REQUEST, 3, 0) + edge
    )  # fmt: skip
    assert struct.unpack_from("=i", link.recv(65536), _HEADER.size)[0] == 0


def _link(namespace: Namespace) -> socket.socket:
    with namespace.entered():
        link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    link.settimeout(DEADLINE)
    link.bind((0, 0))
    return link


def _listed(namespace: Namespace, kind: int) -> list[bytes]:
    found: list[bytes] = []
    with _link(namespace) as link:
        link.send(_HEADER.pack(20, 10 << 8 | kind, _REQUEST | _DUMP, 0, 0) + bytes(4))
        while True:
            data = link.recv(65536)
            while len(data) >= _HEADER.size:
                size, answer, *_ = _HEADER.unpack_from(data)
                if answer == _DONE:
                    return found
                found.append(data[_HEADER.size + 4 : size])
                data = data[size + -size % 4 :]
