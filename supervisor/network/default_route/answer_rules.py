"""Rules of nf_tables by which answers get back past the tunnels, to who connected from outside.

A packet that answers has its mark set, and a routing rule has what is marked go by the machine's main table.  What has
come by a tunnel is answered through it, so these connections are marked: all others came from outside.  Of TCP
connections that are older than the kernel's tracking of them it cannot tell who began, so they are listed.
"""

import socket
import struct

import msgspec

from .. import nf_tables as nft
from ..locking.sockets import Peer

_SETS = _TUNNELS, _STRICT = "tunnels", "strict"
_CHAINS = _FORWARDED, _QUESTIONS, _OWN = "forwarded answers", "forwarded questions", "own answers"
_OLDER = "older"  # with 4 or 6 after it: a set of connections
_VERSIONS = {4: (2, 16, 4), 6: (10, 24, 16)}  # NFPROTO_…; offset and size of the destination in the network header
_LOOPBACK = struct.pack("=I", 1)  # index of lo in every network namespace
_FIRST_SET = 100  # no other sets have these numbers


class Marking(msgspec.Struct, frozen=True):
    """What is marked, and how."""

    mark: int  # one bit, of the marks of packets and of connections
    tunnels: frozenset[int]  # indices of the sessions' devices
    strict: frozenset[int] = frozenset()  # of devices that take only what is answered by them (reverse_paths.py)
    older: frozenset[Peer] = frozenset()  # who had connected before


def added(table: str, marking: Marking) -> list[bytes]:
    """The messages that add the rules to a table that is there."""
    mark = nft.mark_packet(marking.mark)
    direction = nft.load_connection(nft.CT_DIRECTION)
    by_no_tunnel = (nft.load_connection(nft.CT_MARK), *nft.lacks_bit(marking.mark))
    answer = (direction, nft.equals(bytes([nft.REPLY])), *by_no_tunnel)
    by_tunnel = (nft.load_meta(nft.META_IIF), nft.in_set(_TUNNELS))
    to_tunnel = (nft.load_meta(nft.META_OIF), nft.in_set(_TUNNELS))
    new = (nft.load_connection(nft.CT_STATE), *nft.has_bit(nft.NEW))
    not_own = (nft.load_meta(nft.META_IIF), nft.differs(_LOOPBACK))
    # What comes by a strict device has to be marked as well, if it is sent on past the tunnels.
    by_strict = (*_of_version(4), nft.load_meta(nft.META_IIF), nft.in_set(_STRICT))
    question = (direction, nft.equals(bytes([nft.ORIGINAL])))
    past_tunnels = (nft.load_way_out(), nft.differs(bytes(4)), nft.not_in_set(_TUNNELS))
    return [
        *_new_sets(table),
        *changed(table, Marking(marking.mark, frozenset()), marking),
        nft.new_chain(table, _FORWARDED, nft.PRE_ROUTING, priority=nft.MANGLE),
        nft.new_chain(table, _QUESTIONS, nft.PRE_ROUTING, priority=nft.TRANSLATED),
        nft.new_chain(table, _OWN, nft.LOCAL_OUT, kind="route", priority=nft.MANGLE),
        nft.new_rule(table, _FORWARDED, *by_tunnel, *new, *nft.mark_connection(marking.mark)),
        nft.new_rule(table, _FORWARDED, *by_tunnel, nft.ACCEPT),
        nft.new_rule(table, _FORWARDED, *not_own, *answer, *mark),
        nft.new_rule(table, _QUESTIONS, *by_strict, *question, *past_tunnels, *mark),
        nft.new_rule(table, _OWN, *to_tunnel, *answer, *mark),
        *(nft.new_rule(table, _OWN, *to_tunnel, *by_no_tunnel, *_is_older(version), *mark) for version in _VERSIONS),
    ]


def changed(table: str, before: Marking, now: Marking) -> list[bytes]:
    """The messages that make rules with the same mark these."""
    messages = []
    for name, left, come in ((_TUNNELS, before.tunnels, now.tunnels), (_STRICT, before.strict, now.strict)):
        messages += nft.delete_elements(table, name, _indices(left - come))
        messages += nft.add_elements(table, name, _indices(come - left))
    for version, (_, _, size) in _VERSIONS.items():
        peers = [one for one in now.older - before.older if len(one.address) == size]
        elements = [one.address + struct.pack("!HH", one.own_port, one.port) for one in peers]
        messages += nft.add_elements(table, f"{_OLDER}{version}", elements)
    return messages


def removed(table: str) -> list[bytes]:
    """The messages that remove them."""
    sets = (*_SETS, *(f"{_OLDER}{version}" for version in _VERSIONS))
    return [*(nft.delete_chain(table, name) for name in _CHAINS), *(nft.delete_set(table, name) for name in sets)]


def _new_sets(table: str) -> list[bytes]:
    sizes = dict.fromkeys(_SETS, 4) | {f"{_OLDER}{version}": size + 4 for version, (_, _, size) in _VERSIONS.items()}
    return [nft.new_set(table, name, _FIRST_SET + at, size) for at, (name, size) in enumerate(sizes.items())]


def _of_version(version: int) -> tuple[bytes, bytes]:
    return nft.load_meta(nft.META_NFPROTO), nft.equals(bytes([_VERSIONS[version][0]]))


def _is_older(version: int) -> tuple[bytes, ...]:
    """The packet goes to the other end of a connection that is listed: looked up are address, own port, port."""
    _, offset, size = _VERSIONS[version]
    return (
        *_of_version(version),
        *(nft.load_meta(nft.META_L4PROTO), nft.equals(bytes([socket.IPPROTO_TCP]))),
        nft.load_network_header(offset, size),
        nft.load_transport_header(0, 4, nft.FIRST_REGISTER + size // 4),
        nft.in_set(f"{_OLDER}{version}"),
    )


def _indices(devices: frozenset[int]) -> list[bytes]:
    return [struct.pack("=I", index) for index in sorted(devices)]
