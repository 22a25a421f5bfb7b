"""The firewall that keeps sessions from this machine's services: nf_tables rules by user id for the loopback device.

Written as netlink messages, since pyroute2's releases differ in how they speak to nf_tables; formats and numbers from
linux/netfilter/nfnetlink.h and nf_tables.h.  A change is one batch, which takes effect as a whole or not at all.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable
from itertools import count

from ..errors import SystemFailure

TABLE = "openvpn3-sessionmgr"
_CHAIN = "output"
_ANSWER_DEADLINE = 5.0  # seconds

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE, _DELETE_TABLE, _NEW_CHAIN, _NEW_RULE = (_SUBSYSTEM << 8 | number for number in (0, 2, 3, 6))
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_ERROR = 2  # NLMSG_ERROR
_NFPROTO_INET = 1
_NESTED = 0x8000
_LOCAL_OUT = 3  # NF_INET_LOCAL_OUT
_LOOPBACK_INDEX = 1  # of lo in every network namespace
_META_OIF, _META_SKUID = 5, 10
_REGISTER, _VERDICT = 1, 0

_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_GENERIC = struct.Struct("!BBH")  # nfgenmsg


def install(uids: range, exempt: Iterable[int] = ()) -> None:
    """Reject what processes of `uids` send to this machine, but for those of `exempt`, in place of earlier rules.

    Raises SystemFailure.
    """
    _request(_replace(TABLE, uids, exempt))


def probe(uids: range) -> None:
    """Find out whether the kernel accepts the rules, without an effect.  Raises SystemFailure."""
    name = f"{TABLE}-{os.getpid()}"
    _request([*_replace(name, uids, ()), _message(_DELETE_TABLE, 0, _table(name))])


def remove() -> None:
    """Remove the rules.  Raises SystemFailure."""
    _request([_message(_NEW_TABLE, _CREATE, _table(TABLE)), _message(_DELETE_TABLE, 0, _table(TABLE))])


# --- what is asked for ---


def _replace(name: str, uids: range, exempt: Iterable[int]) -> list[bytes]:
    # Made first, so that there is one to delete.
    fresh = [_message(_NEW_TABLE, _CREATE, _table(name)), _message(_DELETE_TABLE, 0, _table(name))]
    hook = _nest(4, _number(1, _LOCAL_OUT) + _number(2, 0))
    chain = _text(1, name) + _text(3, _CHAIN) + hook + _text(7, "filter")
    rules = [_rule(name, *_of_users(uid, uid), _ACCEPT) for uid in exempt]
    rules.append(_rule(name, *_of_users(uids.start, uids.stop - 1), *_by_loopback(), _REJECT))
    return [*fresh, _message(_NEW_TABLE, _CREATE, _table(name)), _message(_NEW_CHAIN, _CREATE, chain), *rules]


def _table(name: str) -> bytes:
    return _text(1, name)


def _rule(table: str, *expressions: bytes) -> bytes:
    attributes = _text(1, table) + _text(2, _CHAIN) + _nest(4, b"".join(_nest(1, one) for one in expressions))
    return _message(_NEW_RULE, _CREATE | _APPEND, attributes)


def _of_users(first: int, last: int) -> list[bytes]:
    """Sent from a socket that a user from `first` to `last` has made."""
    to_network_order = _number(1, _REGISTER) + _number(2, _REGISTER) + _number(3, 1) + _number(4, 4) + _number(5, 4)
    bounds = _nest(3, _value(struct.pack("!I", first))) + _nest(4, _value(struct.pack("!I", last)))
    return [
        _expression("meta", _number(1, _REGISTER) + _number(2, _META_SKUID)),
        _expression("byteorder", to_network_order),
        _expression("range", _number(1, _REGISTER) + _number(2, 0) + bounds),
    ]


def _by_loopback() -> list[bytes]:
    """Sent through lo, as all packets to this machine are, whatever their address."""
    index = struct.pack("=I", _LOOPBACK_INDEX)
    return [
        _expression("meta", _number(1, _REGISTER) + _number(2, _META_OIF)),
        _expression("cmp", _number(1, _REGISTER) + _number(2, 0) + _nest(3, _value(index))),
    ]


# --- netlink ---


def _attribute(kind: int, content: bytes) -> bytes:
    size = 4 + len(content)
    return struct.pack("=HH", size, kind) + content + b"\0" * (-size % 4)


def _nest(kind: int, content: bytes) -> bytes:
    return _attribute(kind | _NESTED, content)


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("!I", value))


def _text(kind: int, text: str) -> bytes:
    return _attribute(kind, text.encode() + b"\0")


def _value(content: bytes) -> bytes:
    return _attribute(1, content)


def _expression(name: str, content: bytes) -> bytes:
    return _text(1, name) + _nest(2, content)


# The verdict NF_ACCEPT; and ICMP's port unreachable of either family, which connect(2) gives as ECONNREFUSED.
_ACCEPT = _expression("immediate", _number(1, _VERDICT) + _nest(2, _nest(2, _number(1, 1))))
_REJECT = _expression("reject", _number(1, 2) + _attribute(2, b"\x01"))


def _message(kind: int, flags: int, attributes: bytes) -> bytes:
    """A message without its sequence number, which `_request` gives it."""
    body = _GENERIC.pack(_NFPROTO_INET, 0, 0) + attributes
    return _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 0, 0) + body


def _request(messages: list[bytes]) -> None:
    """Send one batch and wait for the answer.  Raises SystemFailure."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as link:
            link.settimeout(_ANSWER_DEADLINE)
            link.bind((0, 0))
            last = len(messages)
            edge = _GENERIC.pack(socket.AF_UNSPEC, 0, _SUBSYSTEM)
            begin, end = (
                _HEADER.pack(_HEADER.size + len(edge), kind, _REQUEST, 0, 0) + edge
                for kind in (_BATCH_BEGIN, _BATCH_END)
            )
            numbered = [
                _numbered(message, number, _ACK if number == last else 0)
                for message, number in zip([begin, *messages, end], count())
            ]
            link.send(b"".join(numbered))
            _await(link, last)
    except OSError as error:
        raise SystemFailure(f"nf_tables: {error.strerror or error}") from error


def _numbered(message: bytes, number: int, flags: int) -> bytes:
    size, kind, others, _, _ = _HEADER.unpack_from(message)
    return _HEADER.pack(size, kind, others | flags, number, 0) + message[_HEADER.size :]


def _await(link: socket.socket, last: int) -> None:
    """Read until the last message is answered.  Raises OSError for the first that is refused."""
    while True:
        data = link.recv(65536)
        while len(data) >= _HEADER.size:
            size, kind, _, number, _ = _HEADER.unpack_from(data)
            if kind == _ERROR:
                refused = -struct.unpack_from("=i", data, _HEADER.size)[0]
                if refused:
                    raise OSError(refused, os.strerror(refused))
                if number == last:
                    return
            if size < _HEADER.size:
                raise OSError(errno.EBADMSG, os.strerror(errno.EBADMSG))
            data = data[size + -size % 4 :]
