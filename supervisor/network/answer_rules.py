"""Rules of nf_tables by which answers get back past the tunnels, to who connected from outside.

A packet that answers has its mark set, and a routing rule has what is marked go by the machine's main table.  What has
come by a tunnel is answered through it, so these connections are marked: all others came from outside, also those that
were there before.
"""

import struct

import msgspec

from . import nf_tables as nft

_TUNNELS = "tunnels"
_CHAINS = _FORWARDED, _OWN = "forwarded answers", "own answers"
_LOOPBACK = struct.pack("=I", 1)  # index of lo in every network namespace
_SET_NUMBER = 100  # no other set has it


class Answers(msgspec.Struct, frozen=True):
    """What the rules do."""

    mark: int  # one bit, of the marks of packets and of connections
    tunnels: frozenset[int]  # indices of the sessions' devices


def added(table: str, answers: Answers) -> list[bytes]:
    """The messages that add the rules to a table that is there."""
    mark = answers.mark
    from_outside = (
        nft.load_connection(nft.CT_DIRECTION),
        nft.equals(bytes([nft.REPLY])),
        nft.load_connection(nft.CT_MARK),
        *nft.lacks_bit(mark),
    )
    by_tunnel = (nft.load_meta(nft.META_IIF), nft.in_set(_TUNNELS))
    to_tunnel = (nft.load_meta(nft.META_OIF), nft.in_set(_TUNNELS))
    new = (nft.load_connection(nft.CT_STATE), *nft.has_bit(nft.NEW))
    not_own = (nft.load_meta(nft.META_IIF), nft.differs(_LOOPBACK))
    return [
        nft.new_set(table, _TUNNELS, _SET_NUMBER, 4),
        *nft.add_elements(table, _TUNNELS, _indices(answers.tunnels)),
        nft.new_chain(table, _FORWARDED, nft.PRE_ROUTING, priority=nft.MANGLE),
        nft.new_chain(table, _OWN, nft.LOCAL_OUT, kind="route", priority=nft.MANGLE),
        nft.new_rule(table, _FORWARDED, *by_tunnel, *new, *nft.mark_connection(mark)),
        nft.new_rule(table, _FORWARDED, *by_tunnel, nft.ACCEPT),
        nft.new_rule(table, _FORWARDED, *not_own, *from_outside, *nft.mark_packet(mark)),
        nft.new_rule(table, _OWN, *to_tunnel, *from_outside, *nft.mark_packet(mark)),
    ]


def changed(table: str, before: Answers, now: Answers) -> list[bytes]:
    """The messages that make rules with the same mark these."""
    return [
        *nft.delete_elements(table, _TUNNELS, _indices(before.tunnels - now.tunnels)),
        *nft.add_elements(table, _TUNNELS, _indices(now.tunnels - before.tunnels)),
    ]


def removed(table: str) -> list[bytes]:
    """The messages that remove them."""
    return [*(nft.delete_chain(table, name) for name in _CHAINS), nft.delete_set(table, _TUNNELS)]


def _indices(devices: frozenset[int]) -> list[bytes]:
    return [struct.pack("=I", index) for index in sorted(devices)]
