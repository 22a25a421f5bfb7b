"""The messages between the supervisor and its helper processes: the spawner, the resolver, and the name setter.

Each inherits its end of a SOCK_SEQPACKET pair with a fixed descriptor number, and a pipe, from which they first read
their setup.  When the pipe ends, they prepare for what they do (worker/sharing/), unless they are asked for it before.
"""

import struct
from collections.abc import Collection
from typing import Any, BinaryIO, Union

import msgspec

from ..policy.dns import DnsSettings, NameSetter
from ..policy.limits import MAX_FRAME
from ..policy.profile.pkcs11 import MAX_PROVIDERS
from ..policy.sandbox.layers import Layer
from .channel import BadFrame

# The one request a spawner reads: "start one" with this user id and these PKCS#11 providers, one bit each.  Fixed size
# and layout, since code execution in the spawner is root: there is nothing here to parse.  It carries the worker's end
# of its channel, and if there is one, the socket at which the worker waits for another supervisor.
_SPAWN = struct.Struct("=4sIII")
_SPAWNED = struct.Struct("=4sIi")
_MAGIC = b"spw1"
_LENGTH = struct.Struct("=I")  # of the setup: its pipe stays open behind it


class StagedProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A PKCS#11 provider as the spawner needs it: it learns of all there are before it reads any request."""

    places: tuple[str, ...]  # files and directories to show to a worker; none if the provider cannot be used
    gid: int | None = None  # group that the worker joins


def pack_spawn(serial: int, uid: int, providers: Collection[int] = ()) -> bytes:
    """The request to start one worker as user and group `uid`; the answer repeats `serial`.

    `providers` are the numbers of those that the worker is to see.
    """
    return _SPAWN.pack(_MAGIC, serial, uid, sum(1 << number for number in set(providers)))


def unpack_spawn(data: bytes) -> tuple[int, int, frozenset[int]]:
    """Serial number, user id and numbers of providers of a request.  Raises BadFrame."""
    if len(data) != _SPAWN.size or not data.startswith(_MAGIC):
        raise BadFrame(f"{len(data)} bytes are not a spawn request")
    _, serial, uid, bits = _SPAWN.unpack(data)
    return serial, uid, frozenset(number for number in range(MAX_PROVIDERS) if bits >> number & 1)


def pack_spawned(serial: int, pid: int) -> bytes:
    """The answer: the worker asked for has process id `pid`; a negative `pid` is an errno.

    With a process id it carries one descriptor, the worker's pidfd.
    """
    return _SPAWNED.pack(_MAGIC, serial, pid)


def unpack_spawned(data: bytes) -> tuple[int, int]:
    """Serial number and process id (or negative errno) of an answer.  Raises BadFrame."""
    if len(data) != _SPAWNED.size or not data.startswith(_MAGIC):
        raise BadFrame(f"{len(data)} bytes are not an answer of the spawner")
    _, serial, pid = _SPAWNED.unpack(data)
    return serial, pid


class Filters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seccomp filters in classic BPF (seccomp(2)), one or more programs a process; none: it is to have no filter."""

    spawner: tuple[bytes, ...] = ()
    worker: tuple[bytes, ...] = ()
    engine: tuple[bytes, ...] = ()
    pkcs11_engine: tuple[bytes, ...] = ()  # of sessions that use PKCS#11 providers
    resolver: tuple[bytes, ...] = ()
    name_setter: tuple[bytes, ...] = ()  # of one that works on a file itself


class Setup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The helpers' setup: all that they learn from their parent while it is root, before they serve requests."""

    engine: str  # path of the openvpn program, "" for none
    directory: str  # what the template of the workers' root directory covers
    first_uid: int  # of the resolver, those after it are for sessions
    last_uid: int
    layers: frozenset[Layer]  # of the sandbox, that are to be on
    filters: Filters
    providers: tuple[StagedProvider, ...]
    name_setter: NameSetter
    bus: str  # address of the system bus, "" for the usual one
    stopped_grace: float  # seconds that a serving process may be stopped (SIGSTOP), 0 for ever


class Lookup(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """To the resolver: turn `host` into addresses, as this machine does, or by the name servers named."""

    number: int
    host: str
    servers: tuple[str, ...] | None = None  # to be asked in place of the machine's; none: only hosts(5) and its like
    search: tuple[str, ...] = ()  # domains that go with these


class Cancel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """To the resolver: the answer to this look-up is no longer wanted."""

    number: int


class LookupResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """From the resolver: the addresses in getaddrinfo(3) order, or why there are none."""

    number: int
    addresses: tuple[str, ...]
    error: str = ""


class ServesAnew(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """From a resolver that takes the place of one that died: whatever that one had read it has not answered."""


class SetNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """To the name setter: have this machine use the name servers of a session's device."""

    number: int
    device: str
    settings: DnsSettings


class UnsetNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """To the name setter: put back what was there before."""

    number: int
    device: str


class NamesDone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag=True):
    """From the name setter: the answer to each of its requests."""

    number: int
    error: str = ""


ToNameSetter = SetNames | UnsetNames
FromNameSetter = NamesDone | ServesAnew
ToResolver = Lookup | Cancel
FromResolver = LookupResult | ServesAnew

_encoder = msgspec.msgpack.Encoder()
_to_resolver: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[Lookup, Cancel])  # noqa: UP007
_lookup_result = msgspec.msgpack.Decoder(LookupResult)
_from_resolver: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[LookupResult, ServesAnew])  # noqa: UP007
_to_name_setter: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[SetNames, UnsetNames])  # noqa: UP007
_from_name_setter: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(Union[NamesDone, ServesAnew])  # noqa: UP007


def encode(message: ToResolver | FromResolver | ToNameSetter | FromNameSetter | Setup) -> bytes:
    """One message to or from a helper as a frame; for the setup, what `write_setup` writes."""
    return _encoder.encode(message)


def decode_to_resolver(frame: bytes) -> ToResolver:
    """A frame read by the resolver.  Raises BadFrame."""
    request = _decode(_to_resolver, frame)
    assert isinstance(request, Lookup | Cancel)
    return request


def decode_to_name_setter(frame: bytes) -> ToNameSetter:
    """A frame read by the name setter.  Raises BadFrame."""
    request = _decode(_to_name_setter, frame)
    assert isinstance(request, SetNames | UnsetNames)
    return request


def decode_from_name_setter(frame: bytes) -> FromNameSetter:
    """A frame read from the name setter.  Raises BadFrame."""
    answer = _decode(_from_name_setter, frame)
    assert isinstance(answer, NamesDone | ServesAnew)
    return answer


def decode_lookup_result(frame: bytes) -> LookupResult:
    """What a look-up's process gives to the resolver.  Raises BadFrame."""
    answer = _decode(_lookup_result, frame)
    assert isinstance(answer, LookupResult)
    return answer


def decode_from_resolver(frame: bytes) -> FromResolver:
    """A frame read from the resolver.  Raises BadFrame."""
    answer = _decode(_from_resolver, frame)
    assert isinstance(answer, LookupResult | ServesAnew)
    return answer


def write_setup(pipe: BinaryIO, setup: Setup) -> None:
    """Write to SETUP_FD.  Raises OSError."""
    content = encode(setup)
    pipe.write(_LENGTH.pack(len(content)) + content)
    pipe.flush()


def read_setup(pipe: BinaryIO) -> Setup | None:
    """Read from SETUP_FD; None if it ends before.  Raises msgspec.DecodeError."""
    length = pipe.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        return None
    return msgspec.msgpack.decode(pipe.read(*_LENGTH.unpack(length)), type=Setup)


def _decode(decoder: "msgspec.msgpack.Decoder[Any]", frame: bytes) -> object:
    if len(frame) > MAX_FRAME:
        raise BadFrame(f"{len(frame)} bytes exceed a frame of {MAX_FRAME}")
    try:
        return decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFrame(f"{len(frame)} bytes are not a message: {error}") from None
