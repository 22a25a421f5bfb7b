"""The firewall between sessions and others on this machine, as rules of nf_tables.

What sessions send to this machine's services is rejected.  And since a session's address is this machine's, so that
whoever listens there would get what others send to the host that has it elsewhere, packets to it are taken from its
owner, root and its device only.  While sessions have the default route, it also marks answers
(default_route/answer_rules.py).
"""

import os
import struct
from collections.abc import Callable, Iterable, Mapping

import msgspec

from ..errors import SystemFailure
from . import nf_tables as nft
from . import nfnetlink
from .default_route import answer_rules
from .default_route.answer_rules import Marking
from .prefixes import Host

TABLE = "openvpn3-sessionmgr"
_INPUT, _OUTPUT = "input", "output"
_SETS = _ADDRESSES, _USERS, _WAYS = "addresses", "users", "ways"  # with 4 or 6 after it
_LOOPBACK_INDEX = 1  # of lo in every network namespace
_DESTINATION = {4: (16, 4), 6: (24, 16)}  # offset and size in bytes, in the network header
_FAMILY = {4: 2, 6: 10}  # NFPROTO_IPV4, NFPROTO_IPV6


class Guard(msgspec.Struct, frozen=True):
    """Who may send to an address of a session."""

    users: tuple[int, ...]  # user ids, beside root's
    device: int  # index of the session's device


class Rules(msgspec.Struct, frozen=True):
    """All that the firewall does."""

    uids: range = range(0)  # user ids that may not connect to this machine
    exempt: frozenset[int] = frozenset()  # those of them that may
    guards: Mapping[Host, Guard] = {}
    answers: Marking | None = None

    @property
    def needed(self) -> bool:
        return bool(self.uids or self.guards or self.answers)


class Firewall:
    """The rules as they are; to be used from one thread.  All methods raise SystemFailure, and nothing has changed."""

    def __init__(self) -> None:
        self._rules = Rules()
        self._held = False  # the rules of an earlier instance stay as they are

    def hold(self) -> None:
        """Leave what an earlier instance has set in place, until `release`: nobody gets through meanwhile."""
        self._held = True

    def release(self) -> None:
        """Have the rules be those that were asked for since `hold`."""
        if self._held:
            self._held = False
            if self._rules.needed:
                nfnetlink.send(_replace(TABLE, self._rules))
            else:
                self.remove_left()

    def protect(self, uids: range) -> None:
        """Reject what processes of `uids` send to this machine."""
        self._set(msgspec.structs.replace(self._rules, uids=uids))

    def exempt(self, uids: frozenset[int]) -> None:
        """Let these connect to this machine all the same, in place of those before."""
        self._set(msgspec.structs.replace(self._rules, exempt=uids))

    def guard(self, addresses: Mapping[Host, Guard]) -> None:
        """Guard these addresses, in place of those before."""
        rules = msgspec.structs.replace(self._rules, guards=dict(addresses))
        if self._held:
            self._rules = rules
            return
        before, now = self._rules.guards.items(), addresses.items()
        if before == now:
            return
        gone = _elements(nft.delete_elements, TABLE, dict(before - now))
        come = _elements(nft.add_elements, TABLE, dict(now - before))
        self._change(rules, [*gone, *come])

    def answer(self, answers: Marking | None) -> None:
        """Mark answers like this, in place of how it was done before; None: mark none."""
        before = self._rules.answers
        if answers == before:
            return
        if answers is None:
            messages = answer_rules.removed(TABLE)
        elif before is None or before.mark != answers.mark:
            messages = [*(answer_rules.removed(TABLE) if before else ()), *answer_rules.added(TABLE, answers)]
        else:
            messages = answer_rules.changed(TABLE, before, answers)
        self._change(msgspec.structs.replace(self._rules, answers=answers), messages)

    def remove_left(self) -> None:
        """Remove what an earlier instance left behind, before anything else is done."""
        nfnetlink.send([nft.new_table(TABLE), nft.delete_table(TABLE)])

    def _change(self, rules: Rules, messages: list[bytes]) -> None:
        """Make the rules these, by these messages if they can be."""
        if self._rules.needed and rules.needed and not self._held:
            try:
                nfnetlink.send(messages)
            except SystemFailure:
                pass  # somebody has removed our table: it is made anew
            else:
                self._rules = rules
                return
        self._set(rules)

    def restore(self) -> bool:
        """Make the rules again if somebody has removed them; whether that was so."""
        if not self._rules.needed or nft.is_there(TABLE):
            return False
        self._set(self._rules)
        return True

    def remove(self) -> None:
        """Remove all rules."""
        self._set(Rules())

    def _set(self, rules: Rules) -> None:
        if self._held:
            pass
        elif rules.needed:
            nfnetlink.send(_replace(TABLE, rules))
        elif self._rules.needed:
            self.remove_left()
        self._rules = rules


def probe(uids: range) -> None:
    """Find out whether the kernel accepts the rules, without an effect.  Raises SystemFailure."""
    name = f"{TABLE}-{os.getpid()}"
    guards = {Host(version, 1): Guard((), _LOOPBACK_INDEX) for version in _FAMILY}
    nfnetlink.send([*_replace(name, Rules(uids, frozenset(), guards)), nft.delete_table(name)])


def _replace(table: str, rules: Rules) -> list[bytes]:
    return [
        nft.new_table(table),  # so that there is one to delete
        nft.delete_table(table),
        nft.new_table(table),
        nft.new_chain(table, _OUTPUT, nft.LOCAL_OUT),
        nft.new_chain(table, _INPUT, nft.LOCAL_IN),
        *_guarding(table),
        *_elements(nft.add_elements, table, rules.guards),
        *(nft.new_rule(table, _OUTPUT, *_of_users(uid, uid), nft.ACCEPT) for uid in sorted(rules.exempt)),
        *_closing(table, rules.uids),
        *(answer_rules.added(table, rules.answers) if rules.answers else ()),
    ]


def _closing(table: str, uids: range) -> Iterable[bytes]:
    """Reject what these users send through lo, as all packets to this machine go, whatever their address."""
    if uids:
        loopback = (nft.load_meta(nft.META_OIF), nft.equals(_number(_LOOPBACK_INDEX)))
        yield nft.new_rule(table, _OUTPUT, *_of_users(uids.start, uids.stop - 1), *loopback, nft.REJECT)


def _guarding(table: str) -> Iterable[bytes]:
    """Reject what others than root and their owners send to guarded addresses, drop what comes by other devices."""
    for version, (offset, size) in _DESTINATION.items():
        sizes = (size, size + 4, size + 4)
        for number, (kind, length) in enumerate(zip(_SETS, sizes, strict=True), version * len(_SETS)):
            yield nft.new_set(table, f"{kind}{version}", number, length)
        to_guarded = (
            nft.load_meta(nft.META_NFPROTO),
            nft.equals(bytes([_FAMILY[version]])),
            nft.load_network_header(offset, size),
            nft.in_set(f"{_ADDRESSES}{version}"),
        )
        for chain, key, allowed, verdict in (
            (_OUTPUT, nft.META_SKUID, _USERS, nft.REJECT),
            (_INPUT, nft.META_IIF, _WAYS, nft.DROP),
        ):
            # What is looked up lies in the registers one after the other: the address, then its user or device.
            second = nft.load_meta(key, nft.FIRST_REGISTER + size // 4)
            yield nft.new_rule(table, chain, *to_guarded, second, nft.not_in_set(f"{allowed}{version}"), verdict)


def _elements(
    put: Callable[[str, str, list[bytes]], list[bytes]], table: str, guards: Mapping[Host, Guard]
) -> Iterable[bytes]:
    """Put what stands for these guards into the sets, or out of them."""
    for version, (_, size) in _DESTINATION.items():
        found = {host.number.to_bytes(size): guard for host, guard in guards.items() if host.version == version}
        users = [one + _number(uid) for one, guard in found.items() for uid in {0, *guard.users}]
        ways = [one + _number(index) for one, guard in found.items() for index in {guard.device, _LOOPBACK_INDEX}]
        for kind, elements in zip(_SETS, (list(found), users, ways), strict=True):
            yield from put(table, f"{kind}{version}", elements)


def _of_users(first: int, last: int) -> list[bytes]:
    """Sent from a socket that a user from `first` to `last` has made."""
    return [nft.load_meta(nft.META_SKUID), *nft.between(first, last)]


def _number(value: int) -> bytes:
    """As the kernel holds it."""
    return struct.pack("=I", value)
