"""What a compiled profile consists of, and how the values in a profile are read and refused."""

import re
from enum import Enum
from ipaddress import ip_address

import msgspec
from msgspec.structs import replace

from ...policy.profile.syntax import Option, not_utf8

_HOST = re.compile(r"[A-Za-z0-9_.:%-]{1,253}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_PROTOS = {
    **dict.fromkeys(("udp", "udp4", "udp6"), "udp"),
    **dict.fromkeys(("tcp", "tcp4", "tcp6", "tcp-client", "tcp4-client", "tcp6-client"), "tcp"),
}


class ProfileRefused(Exception):
    """A profile that cannot be used; the text names the option, if it is about one, and says what to do."""

    def __init__(self, reason: str, option: Option | None = None) -> None:
        super().__init__(f"{option.name} (line {option.line}): {reason}" if option else reason)
        self.reason = reason
        self.option = option


class Need(Enum):
    """What a user has to type before the tunnel can come up."""

    USER_PASSWORD = "user name and password"
    STATIC_CHALLENGE = "answer to the profile's question"
    KEY_PASSPHRASE = "passphrase of the private key"
    PROXY_CREDENTIALS = "user name and password for the proxy"


class Proxy(msgspec.Struct, frozen=True):
    """A proxy that a server is reached through."""

    kind: str  # "http" or "socks"
    host: str


class Remote(msgspec.Struct, frozen=True):
    """A server to try."""

    host: str
    port: int
    proto: str  # "udp" or "tcp"
    proxy: Proxy | None = None
    family: int = 0  # of addresses: 4, 6, or 0 for whichever
    alias: str = ""  # what the engine calls the host, if otherwise; it looks both up by their names


class StaticChallenge(msgspec.Struct, frozen=True):
    """A question that is asked together with user name and password."""

    text: str
    echo: bool  # the answer may be shown while it is typed
    appended: bool = False  # to the password


class CompiledProfile(msgspec.Struct, frozen=True):
    """A profile as the engine gets it, and what the worker has to know of it."""

    config: str  # for the engine; contains secrets
    warnings: tuple[str, ...]
    remotes: tuple[Remote, ...]  # in the profile's order, at least one
    random_names: bool  # servers are looked up below labels that nobody has asked for before
    needs: frozenset[Need]
    static_challenge: StaticChallenge | None
    verbosity: int  # 0 to 6
    login: tuple[str, ...] = ()  # user name, or user name and password, that the engine is to be told when it asks
    key_on_token: bool = False  # the key is on a PKCS#11 token
    network: tuple[tuple[str, ...], ...] = ()  # its options about addresses, routes and DNS, names first
    token_label: str = ""  # of the token whose PIN the engine will ask for; "": unknown, or none

    def __repr__(self) -> str:
        return f"CompiledProfile({len(self.config)} characters, {self.warnings}, {self.remotes}, {self.needs})"


def version_of(host: str) -> int:
    """4 or 6 if `host` is an address already, 0 for a name."""
    try:
        return ip_address(host).version
    except ValueError:
        return 0


def read_host(option: Option, text: str) -> str:
    if not _HOST.fullmatch(text):
        raise refusal(option, f"{shown(text)} is not a host name or address")
    return text


def read_port(option: Option, text: str) -> int:
    port = read_number(option, text)
    if not 0 < port < 65536:
        raise refusal(option, f"{shown(text)} is not a port")
    return port


def read_proto(option: Option, text: str) -> str:
    if text not in _PROTOS:
        raise refusal(option, f"{shown(text)} is not udp or tcp-client")
    return _PROTOS[text]


def family_of(proto: str) -> int:
    """The address family that a protocol's name asks for: 4, 6, or 0 for whichever."""
    return next((family for family in (4, 6) if str(family) in proto), 0)


def read_number(option: Option, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise refusal(option, f"{shown(text)} is not a number")
    return int(text)


def read_lines(option: Option) -> list[str]:
    """The lines of a block of credentials."""
    block = option.block or ""
    lines = block.split("\n")
    for number, line in enumerate(lines, option.line + 1):
        if "\ufffd" in line:
            raise refusal(replace(option, line=number), not_utf8(line))
    return lines


def shown(text: str) -> str:
    """`text` of a hostile profile, fit for a message."""
    said = ascii(text[:61])  # which makes up to ten characters of one
    return said if len(said) <= 62 else f"{said[:61]}...{said[-1]}"


def places(lines: list[int]) -> str:
    shown = ", ".join(map(str, lines[:3])) + (", ..." if len(lines) > 3 else "")
    return f"line {shown}" if len(lines) == 1 else f"lines {shown}"


def refusal(option: Option, reason: str) -> ProfileRefused:
    return ProfileRefused(reason, option)


def names_file(option: Option, file: str, block: str) -> ProfileRefused:
    return refusal(
        option,
        f"names the file {shown(file)}, which is not read; "
        f"embed its content in the profile between <{block}> and </{block}>",
    )
