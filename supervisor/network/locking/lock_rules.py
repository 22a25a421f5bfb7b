"""The kill switch as rules of nf_tables: nothing leaves this machine but what is listed here.

The table outlives the service, and is all that there is of the kill switch: who wants it stands in comments of rules
that do nothing, in the chain "holders".
"""

import errno
import socket
import struct
from collections.abc import Iterable, Mapping
from ipaddress import ip_network

import msgspec

from ....policy.limits import MAX_LOCK_PROFILE, RESOLVE_DEADLINE
from ...errors import SystemFailure
from .. import nf_tables as nft
from .. import nfnetlink
from .sockets import Sockets

_NO_NF_TABLES = (errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EOPNOTSUPP, errno.EINVAL)
TABLE = "openvpn3-sessionmgr-lock"
LOOPBACK = 1  # index of lo in every network namespace
_OUTPUT, _FORWARD, _HOLDERS = "output", "forward", "holders"
_ANSWERS, _FORWARDED = "answers", "forwarded-answers"
_DEVICES, _PASS, _ASKING, _ACCEPTED, _OUTGOING = "devices", "pass", "asking", "accepted", "outgoing"
_NUMBER = 4  # bytes
_VERSIONS = {4: (2, 16, 4), 6: (10, 24, 16)}  # NFPROTO_*; offset and size of the destination in the network header
_HOP_LIMIT = 7  # its offset in the header of IPv6
_TCP, _UDP, _ICMP, _ICMP6 = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
_DHCP = ((68, 67), (546, 547))  # own port and the server's, of both versions
_DNS = ((_UDP, 53), (_TCP, 53), (_UDP, 853), (_TCP, 853))
_NEIGHBOURS = (133, 135, 136)  # ICMPv6: solicitation of routers; neighbour discovery
_GROUPS = (131, 132, 143)  # of multicast, without which switches keep neighbour discovery from this machine
_FROM_THIS_LINK, _FOR_THIS_LINK = 255, 1  # their hop limits
_ASKED = RESOLVE_DEADLINE + 2  # seconds that resolved may ask for a name


class Terms(msgspec.Struct, frozen=True):
    """What is let through whatever happens."""

    uids: range = range(0)  # of engines, and of what looks names up for them
    networks: tuple[str, ...] = ()


class Hold(msgspec.Struct, frozen=True):
    """Who wants the lock."""

    user: int
    session: str  # its name; "" if that is not known
    since: int  # seconds since 1970
    profile: str = ""  # its name, as far as a comment can show it

    @property
    def comment(self) -> str:
        # Without quotes, which a list of rules that somebody saves could not be read with.
        shown = "".join(char if char.isascii() and (char.isalnum() or char in "-.") else "_" for char in self.profile)
        return f"user={self.user} session={self.session} since={self.since} profile={shown[:MAX_LOCK_PROFILE]}"

    @classmethod
    def of(cls, comment: str) -> "Hold":
        """What a comment says; raises ValueError."""
        words = dict(word.partition("=")[::2] for word in comment.split(" "))
        try:
            return cls(int(words["user"]), words["session"], int(words["since"]), words["profile"])
        except KeyError as error:
            raise ValueError(f"{error} is missing") from error


def closed(terms: Terms, holds: Iterable[Hold], devices: Iterable[int], seconds: float) -> list[bytes]:
    """The table in place of the one before, without answers to others yet; with a pass for so many seconds."""
    devices = {LOOPBACK, *devices}
    return [
        nft.new_table(TABLE),  # so that there is one to delete
        nft.delete_table(TABLE),
        nft.new_table(TABLE),
        nft.new_chain(TABLE, _OUTPUT, nft.LOCAL_OUT),
        nft.new_chain(TABLE, _FORWARD, nft.FORWARD),
        *(nft.new_chain(TABLE, name) for name in (_ANSWERS, _FORWARDED, _HOLDERS)),
        *_sets(),
        *change_devices(come=devices),
        *(give_pass(seconds) if seconds else ()),
        *_rules(terms),
        *_note(holds),
    ]


def answering(sockets: Sockets) -> list[bytes]:
    """Answers to who speaks first from outside pass, also on connections that there were before the lock."""
    accepted: dict[int, list[bytes]] = {version: [] for version in _VERSIONS}
    for one in sockets.accepted:
        version = 4 if len(one.address) == 4 else 6
        accepted[version].append(one.address + struct.pack("!HH", one.own_port, one.port))
    outgoing = [struct.pack("=I", protocol) + struct.pack("!Hxx", port) for protocol, port in sockets.outgoing]
    is_reply = (nft.load_connection(nft.CT_DIRECTION), nft.equals(bytes([nft.REPLY])))
    changed = struct.pack("=I", nft.DESTINATION_CHANGED)
    is_published = (nft.load_connection(nft.CT_STATUS), nft.mask(changed), nft.equals(changed))
    rules = [
        nft.new_rule(
            TABLE, _ANSWERS, *_of_version(version), *_protocol(_TCP), nft.load_network_header(offset, size),
            nft.load_transport_header(0, 4, nft.FIRST_REGISTER + size // 4), nft.in_set(f"{_ACCEPTED}{version}"),
            nft.ACCEPT,
        )
        for version, (_, offset, size) in _VERSIONS.items()
    ]  # fmt: skip
    for protocol in (_TCP, _UDP):
        own_port = nft.load_transport_header(0, 2, nft.FIRST_REGISTER + 1)
        spoke_first = (*_protocol(protocol), own_port, nft.not_in_set(_OUTGOING))
        rules.append(nft.new_rule(TABLE, _ANSWERS, *spoke_first, *is_reply, nft.ACCEPT))
    for protocol in (_ICMP, _ICMP6):
        rules.append(nft.new_rule(TABLE, _ANSWERS, *_protocol(protocol), *is_reply, nft.ACCEPT))
    # Whom others do not reach by a port that is published here might have spoken first before the lock.
    rules.append(nft.new_rule(TABLE, _FORWARDED, *is_reply, *is_published, nft.ACCEPT))
    return [
        *(one for version in _VERSIONS for one in nft.add_elements(TABLE, f"{_ACCEPTED}{version}", accepted[version])),
        *nft.add_elements(TABLE, _OUTGOING, outgoing),
        *rules,
    ]


def rewritten(holds: Iterable[Hold]) -> list[bytes]:
    """Others want the lock, the rest stays as it is."""
    return [nft.delete_rules(TABLE, _HOLDERS), *_note(holds)]


def change_devices(come: Iterable[int] = (), gone: Iterable[int] = ()) -> list[bytes]:
    """What goes into these devices passes, or no longer."""
    return [
        *nft.delete_elements(TABLE, _DEVICES, [struct.pack("=I", index) for index in gone]),
        *nft.add_elements(TABLE, _DEVICES, [struct.pack("=I", index) for index in come]),
    ]


def give_pass(seconds: float) -> list[bytes]:
    """Let everything through for so long, in place of the pass before."""
    everything = [bytes([number]) for number, *_ in _VERSIONS.values()]
    return [*end_pass(), *nft.add_elements(TABLE, _PASS, everything, seconds=seconds)]


def end_pass() -> list[bytes]:
    """Everything is blocked again that was before."""
    return [nft.empty_set(TABLE, _PASS)]


def let_ask(uid: int) -> list[bytes]:
    """Let a user id ask name servers for as long as a look-up may last."""
    return [nft.empty_set(TABLE, _ASKING), *nft.add_elements(TABLE, _ASKING, [struct.pack("=I", uid)], seconds=_ASKED)]


def opened() -> list[bytes]:
    """Nothing is left of the lock."""
    return [nft.new_table(TABLE), nft.delete_table(TABLE)]


def unlock() -> None:
    """End the lock, whoever wants it.  Raises SystemFailure."""
    nfnetlink.send(opened())


def holds_in_force() -> list[Hold] | None:
    """Who wants the lock that the kernel has; None if it has none.  Raises SystemFailure."""
    try:
        found = nft.comments(TABLE, _HOLDERS)
    except SystemFailure as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_NF_TABLES:
            return None
        raise
    if not found:
        return None
    holds = []
    for comment in found:
        try:
            holds.append(Hold.of(comment))
        except ValueError:
            holds.append(Hold(user=0, session="", since=0))  # of another release: root may end it
    return holds


def pass_in_force() -> float:
    """The seconds that the kernel's pass goes on.  Raises SystemFailure."""
    return nft.time_left(TABLE, _PASS)


def _sets() -> Iterable[bytes]:
    sizes: Mapping[str, tuple[int, bool]] = {
        _DEVICES: (_NUMBER, False),
        _PASS: (1, True),
        _ASKING: (_NUMBER, True),
        _OUTGOING: (2 * _NUMBER, False),
        **{f"{_ACCEPTED}{version}": (size + _NUMBER, False) for version, (*_, size) in _VERSIONS.items()},
    }
    for number, (name, (size, timeout)) in enumerate(sizes.items(), 1):
        yield nft.new_set(TABLE, name, number, size, timeout=timeout)


def _rules(terms: Terms) -> Iterable[bytes]:
    for chain, answers in ((_OUTPUT, _ANSWERS), (_FORWARD, _FORWARDED)):
        yield nft.new_rule(TABLE, chain, nft.load_meta(nft.META_OIF), nft.in_set(_DEVICES), nft.ACCEPT)
        yield nft.new_rule(TABLE, chain, nft.load_meta(nft.META_NFPROTO), nft.in_set(_PASS), nft.ACCEPT)
        if chain == _OUTPUT:
            yield from _of_services(terms.uids)
        for network in terms.networks:
            yield nft.new_rule(TABLE, chain, *_to(network), nft.ACCEPT)
        yield nft.new_rule(TABLE, chain, nft.jump(answers))
        yield nft.new_rule(TABLE, chain, nft.PROHIBIT)


def _of_services(uids: range) -> Iterable[bytes]:
    """What keeps sessions going, and the machine on its network."""
    user = nft.load_meta(nft.META_SKUID)
    if uids:
        yield nft.new_rule(TABLE, _OUTPUT, user, *nft.between(uids.start, uids.stop - 1), nft.ACCEPT)
    for protocol, port in _DNS:
        to_port = (nft.load_transport_header(2, 2), nft.equals(struct.pack("!H", port)))
        yield nft.new_rule(TABLE, _OUTPUT, user, nft.in_set(_ASKING), *_protocol(protocol), *to_port, nft.ACCEPT)
    for ports in _DHCP:
        between = (nft.load_transport_header(0, 4), nft.equals(struct.pack("!HH", *ports)))
        yield nft.new_rule(TABLE, _OUTPUT, *_protocol(_UDP), *between, nft.ACCEPT)
    for kinds, hops in ((_NEIGHBOURS, _FROM_THIS_LINK), (_GROUPS, _FOR_THIS_LINK)):
        for kind in kinds:
            of_kind = (nft.load_transport_header(0, 1), nft.equals(bytes([kind])))
            on_link = (nft.load_network_header(_HOP_LIMIT, 1), nft.equals(bytes([hops])))
            yield nft.new_rule(TABLE, _OUTPUT, *_of_version(6), *_protocol(_ICMP6), *of_kind, *on_link, nft.ACCEPT)


def _note(holds: Iterable[Hold]) -> Iterable[bytes]:
    return (nft.new_rule(TABLE, _HOLDERS, comment=hold.comment) for hold in holds)


def _of_version(version: int) -> tuple[bytes, bytes]:
    return nft.load_meta(nft.META_NFPROTO), nft.equals(bytes([_VERSIONS[version][0]]))


def _protocol(number: int) -> tuple[bytes, bytes]:
    return nft.load_meta(nft.META_L4PROTO), nft.equals(bytes([number]))


def _to(text: str) -> tuple[bytes, ...]:
    network = ip_network(text)
    _, offset, size = _VERSIONS[network.version]
    there = (nft.load_network_header(offset, size), nft.mask(network.netmask.packed))
    return *_of_version(network.version), *there, nft.equals(network.network_address.packed)
