"""The engine's management interface: its lines as events, and commands (openvpn's doc/management-notes.txt).

Every line comes from a process that parses untrusted packets: `parse` takes any line and never raises.
"""

import re
import socket

import msgspec

from . import secret

MAX_LINE = 64 * 1024  # bytes; openvpn's own lines are far shorter

_ENTRY = re.compile(r"'[0-9]+', ID:'(.*)', BLOB:'([A-Za-z0-9+/=]*)'")


class Hold(msgspec.Struct, frozen=True):
    """The engine waits for permission to connect, and suggests to wait `seconds`."""

    seconds: int


class EngineState(msgspec.Struct, frozen=True):
    """The engine entered a state; `detail` is the reason or "SUCCESS"."""

    name: str
    detail: str
    remote: str = ""
    port: int = 0


class InputWanted(msgspec.Struct, frozen=True):
    """The engine asks for something a user types: "Need 'Auth' username/password"."""

    text: str


class ServerAsks(msgspec.Struct, frozen=True):
    """The server wants something while a login is under way: "WEB_AUTH:flags:url", "CR_TEXT:flags:text"."""

    text: str


class VerificationFailed(msgspec.Struct, frozen=True):
    """The server or the key refused what was typed; more follows as an EngineState."""

    kind: str
    text: str


class AuthTokenReceived(msgspec.Struct, frozen=True):
    """The server gave the engine a token that it sends in place of the password from now on."""


class ByteCount(msgspec.Struct, frozen=True):
    """Bytes on the wire, every so many seconds."""

    bytes_in: int
    bytes_out: int


class Message(msgspec.Struct, frozen=True):
    """A log line; `flags` are letters of I, F, N, W, D."""

    flags: str
    text: str


class DeviceUp(msgspec.Struct, frozen=True):
    """The engine has its device; `environment` is what an up script would see."""

    environment: dict[str, str] = {}


class DeviceDown(msgspec.Struct, frozen=True):
    """The engine has given its device up."""

    environment: dict[str, str] = {}


class CertificateCount(msgspec.Struct, frozen=True):
    """The number of certificates on the tokens."""

    count: int


class CertificateEntry(msgspec.Struct, frozen=True):
    """One of them: what a pkcs11-id names it by, and itself in base64; both "" if it could not be read."""

    identity: str = ""
    certificate: str = ""


class Fatal(msgspec.Struct, frozen=True):
    """The engine ends because of an error."""

    text: str


class Reply(msgspec.Struct, frozen=True):
    """Answer to a command of ours."""

    ok: bool
    text: str


class Other(msgspec.Struct, frozen=True):
    """Anything else, as it came."""

    text: str


Event = (
    Hold | EngineState | InputWanted | ServerAsks | VerificationFailed | AuthTokenReceived | ByteCount | Message
    | DeviceUp | DeviceDown | CertificateCount | CertificateEntry | Fatal | Reply | Other
)  # fmt: skip


class Parser:
    """Lines to events; remembers only the device environment that is being listed."""

    def __init__(self) -> None:
        self._device_event: DeviceUp | DeviceDown | None = None

    def parse(self, line: str) -> Event | None:
        """The event that a line completes, if any; never raises.

        No engine writes a NUL, and what is said back to it may hold none.
        """
        line = line.replace("\0", "\ufffd")
        if not line.startswith(">"):
            if line.startswith(("SUCCESS:", "ERROR:")):
                return Reply(line.startswith("SUCCESS:"), line.partition(":")[2].strip())
            return Other(line)
        kind, _, rest = line[1:].partition(":")
        match kind:
            case "HOLD":
                return Hold(_integer(rest.rpartition(":")[2]))
            case "STATE":
                return _state(rest)
            case "LOG":
                fields = rest.split(",", 2)
                return Message(fields[1], fields[2]) if len(fields) == 3 else Other(line)
            case "BYTECOUNT":
                bytes_in, _, bytes_out = rest.partition(",")
                return ByteCount(_integer(bytes_in), _integer(bytes_out))
            case "UPDOWN":
                return self._updown(rest)
            case "PASSWORD":
                return _password(rest)
            case "FATAL":
                return Fatal(rest)
            case "INFOMSG":
                return ServerAsks(rest)
            case "PKCS11ID-COUNT":
                return CertificateCount(_integer(rest))
            case "PKCS11ID-ENTRY":
                found = _ENTRY.fullmatch(rest)
                return CertificateEntry(*found.groups()) if found else CertificateEntry()
            case "NEED-OK" | "NEED-STR" | "PK_SIGN" | "RSA_SIGN":
                return InputWanted(f"{kind}:{rest}")
            case _:
                return Other(line)

    def _updown(self, rest: str) -> Event | None:
        if rest in ("UP", "DOWN"):
            self._device_event = DeviceUp() if rest == "UP" else DeviceDown()
            return None
        event = self._device_event
        kind, _, assignment = rest.partition(",")
        if kind != "ENV" or event is None:
            return Other(f">UPDOWN:{rest}")
        if assignment == "END":
            self._device_event = None
            return event
        key, _, value = assignment.partition("=")
        event.environment[key] = value
        return None


def _state(rest: str) -> EngineState:
    fields = rest.split(",")
    fields += [""] * (6 - len(fields))
    return EngineState(fields[1], fields[2], fields[4], _integer(fields[5]))


def _password(rest: str) -> Event:
    if rest.startswith("Need"):
        return InputWanted(rest)
    if rest.startswith("Verification Failed:"):
        detail = rest.partition(":")[2].strip()
        kind = detail.split("'")[1] if detail.count("'") >= 2 else ""
        return VerificationFailed(kind, detail)
    if rest.startswith("Auth-Token:"):
        return AuthTokenReceived()
    return Other(">PASSWORD:…")  # whatever it is: never to be shown


def _integer(text: str) -> int:
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def quote(value: str) -> str:
    """A value as one parameter of a command."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class ManagementConnection:
    """The engine's end of the management socket: commands out, lines in; owns the socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self._buffer = b""
        self._parser = Parser()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, *commands: str | bytearray) -> None:
        """Send commands, one line each; one in a bytearray holds what a user typed, and is overwritten.

        Raises BrokenPipeError, ConnectionResetError when the engine is gone, BlockingIOError when it does not read.
        """
        lines = [command.encode() if isinstance(command, str) else command for command in commands]
        try:
            if any(b"\n" in line or b"\0" in line for line in lines):
                raise ValueError("a command is one line")
            for line in lines:
                self.socket.sendall(line)
                self.socket.sendall(b"\n")
        finally:
            secret.overwrite(*(line for line in lines if isinstance(line, bytearray)))

    def read(self) -> tuple[list[Event], bool]:
        """The events that have arrived, and whether this was the end of the connection."""
        try:
            data = self.socket.recv(MAX_LINE)
        except BlockingIOError:
            return [], False
        except ConnectionResetError:
            data = b""
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > MAX_LINE:
            return [Fatal("a management line is too long")], True
        parsed = (self._parser.parse(line.rstrip(b"\r").decode(errors="replace")) for line in lines)
        return [event for event in parsed if event is not None], not data

    def close(self) -> None:
        self.socket.close()
