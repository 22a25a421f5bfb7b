"""The management interface: every kind of line becomes its event, and no line or byte can do harm."""

import socket
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...worker.session.management import (
    MAX_LINE,
    ByteCount,
    CertificateCount,
    CertificateEntry,
    DeviceDown,
    DeviceUp,
    EngineState,
    Event,
    Fatal,
    Hold,
    InputWanted,
    ManagementConnection,
    Message,
    Other,
    Parser,
    Reply,
    ServerAsks,
    VerificationFailed,
    quote,
)

KINDS = (
    *("HOLD", "STATE", "LOG", "BYTECOUNT", "UPDOWN", "PASSWORD", "FATAL", "NEED-OK", "NEED-STR", "PK_SIGN", "RSA_SIGN"),
    *("INFOMSG", "INFO", "ECHO", "REMOTE", "PROXY", "CLIENT", "NOTIFY", "PKCS11ID-COUNT", "PKCS11ID-ENTRY"),
)
PIECES = st.sampled_from(
    [",", ":", "'", "=", "UP", "DOWN", "ENV,", "END", "Need", "Verification Failed: ", "CONNECTED", "9" * 30, "-1", "²"]
)
STARTS = st.sampled_from([*(f">{kind}:" for kind in KINDS), "SUCCESS:", "ERROR:", ">", ""])
LINES = st.builds(lambda start, rest: start + "".join(rest), STARTS, st.lists(PIECES | st.text(max_size=5), max_size=8))


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (">HOLD:Waiting for hold release:10", Hold(10)),
        (">HOLD:Waiting for hold release", Hold(0)),
        (">STATE:1700000000,CONNECTING,,,,,,", EngineState("CONNECTING", "")),
        (
            ">STATE:1700000000,CONNECTED,SUCCESS,198.18.0.6,198.51.100.1,1194,198.51.100.2,40000,2001:db8::6",
            EngineState("CONNECTED", "SUCCESS", "198.51.100.1", 1194),
        ),
        (">STATE:1700000000,RECONNECTING,ping-restart,,,,,", EngineState("RECONNECTING", "ping-restart")),
        (">STATE:1700000000,AUTH_PENDING,timeout 60,,,,,", EngineState("AUTH_PENDING", "timeout 60")),
        (">STATE:1700000000,EXITING,SIGTERM", EngineState("EXITING", "SIGTERM")),
        (">STATE:", EngineState("", "")),
        (">PASSWORD:Need 'Auth' username/password", InputWanted("Need 'Auth' username/password")),
        (">PASSWORD:Need 'HTTP Proxy' username/password", InputWanted("Need 'HTTP Proxy' username/password")),
        (">PKCS11ID-COUNT:2", CertificateCount(2)),
        (">PKCS11ID-COUNT:many", CertificateCount(0)),
        (
            r">PKCS11ID-ENTRY:'0', ID:'a\x20b/o'neill/01', BLOB:'MIIB+/='",
            CertificateEntry(r"a\x20b/o'neill/01", "MIIB+/="),
        ),
        (">PKCS11ID-ENTRY:'2'", CertificateEntry()),
        (">PASSWORD:Verification Failed: 'Private Key'", VerificationFailed("Private Key", "'Private Key'")),
        (
            ">PASSWORD:Verification Failed: 'Auth' ['CRV1:R,E:a:b:c']",
            VerificationFailed("Auth", "'Auth' ['CRV1:R,E:a:b:c']"),
        ),
        (">PASSWORD:Verification Failed: Auth", VerificationFailed("", "Auth")),
        (">BYTECOUNT:123,456", ByteCount(123, 456)),
        (">BYTECOUNT:-1,", ByteCount(0, 0)),
        (">BYTECOUNT:\u00b2,\u0661", ByteCount(0, 0)),  # digits to Python, if not to int()
        (">HOLD:" + "9" * 5000, Hold(0)),
        (">LOG:1700000000,I,a, b", Message("I", "a, b")),
        (">LOG:1700000000,,plain", Message("", "plain")),
        (">LOG:1700000000,I", Other(">LOG:1700000000,I")),
        (">FATAL:Cannot open TUN/TAP dev", Fatal("Cannot open TUN/TAP dev")),
        (">NEED-OK:Need 'token' confirmation MSG:x", InputWanted("NEED-OK:Need 'token' confirmation MSG:x")),
        (">NEED-STR:Need 'name' input MSG:x", InputWanted("NEED-STR:Need 'name' input MSG:x")),
        (">PK_SIGN:AAAA,RSA_PKCS1_PADDING", InputWanted("PK_SIGN:AAAA,RSA_PKCS1_PADDING")),
        (">RSA_SIGN:AAAA", InputWanted("RSA_SIGN:AAAA")),
        (">INFOMSG:WEB_AUTH::https://vpn.example", ServerAsks("WEB_AUTH::https://vpn.example")),
        (">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info",
         Other(">INFO:OpenVPN Management Interface Version 5 -- type 'help' for more info")),
        (">ECHO:1700000000,forget-passwords", Other(">ECHO:1700000000,forget-passwords")),
        ("SUCCESS: hold release succeeded", Reply(True, "hold release succeeded")),
        ("ERROR: unknown command, enter 'help' for more options",
         Reply(False, "unknown command, enter 'help' for more options")),
        ("END", Other("END")),
        ("", Other("")),
    ],
)  # fmt: skip
def test_every_kind_of_line(line: str, event: Event) -> None:
    assert Parser().parse(line) == event


@pytest.mark.parametrize(("word", "kind"), [("UP", DeviceUp), ("DOWN", DeviceDown)])
def test_the_environment_of_a_device(word: str, kind: type[DeviceUp | DeviceDown]) -> None:
    parser = Parser()
    for line in (f">UPDOWN:{word}", ">UPDOWN:ENV,dev=tun0", ">UPDOWN:ENV,a=b=c,d", ">UPDOWN:ENV,empty"):
        assert parser.parse(line) is None
    assert parser.parse(">BYTECOUNT:1,2") == ByteCount(1, 2)
    assert parser.parse(">UPDOWN:ENV,END") == kind({"dev": "tun0", "a": "b=c,d", "empty": ""})


def test_nothing_of_one_device_is_in_the_next() -> None:
    parser = Parser()
    assert parser.parse(">UPDOWN:ENV,a=b") == Other(">UPDOWN:ENV,a=b")
    for line in (">UPDOWN:UP", ">UPDOWN:ENV,a=b", ">UPDOWN:ENV,END"):
        first = parser.parse(line)
    assert parser.parse(">UPDOWN:ENV,END") == Other(">UPDOWN:ENV,END")
    for line in (">UPDOWN:UP", ">UPDOWN:ENV,lost=1", ">UPDOWN:UP", ">UPDOWN:ENV,END"):
        second = parser.parse(line)
    assert (first, second) == (DeviceUp({"a": "b"}), DeviceUp({}))


def test_a_token_never_leaves_the_parser() -> None:
    assert "secret" not in repr(Parser().parse(">PASSWORD:Auth-Token:secret"))
    assert "secret" not in repr(Parser().parse(">PASSWORD:something new: secret"))


@given(st.lists(LINES | st.text(), max_size=20))
def test_no_line_raises_and_only_a_device_is_remembered(lines: list[str]) -> None:
    parser = Parser()
    in_device = False
    for line in lines:
        event = parser.parse(line)
        assert event is None or isinstance(event, msgspec.Struct)
        if line in (">UPDOWN:UP", ">UPDOWN:DOWN"):
            in_device = True
        elif line == ">UPDOWN:ENV,END":
            assert isinstance(event, DeviceUp | DeviceDown) is in_device
            in_device = False
        elif not line.startswith(">UPDOWN:ENV,"):
            assert event == Parser().parse(line)
        for value in msgspec.structs.astuple(event) if event is not None else ():
            assert not isinstance(value, int) or 0 <= value < 2**64


@given(st.text(st.characters(exclude_characters="\n\0")))
def test_a_quoted_value_stays_one_parameter(value: str) -> None:
    quoted = quote(value)
    assert quoted[0] == quoted[-1] == '"'
    inside, at = [], 1
    while at < len(quoted) - 1:  # as the engine's parse_line() reads it
        assert quoted[at] != '"'
        at += quoted[at] == "\\"
        inside.append(quoted[at])
        at += 1
    assert "".join(inside) == value


Ends = tuple[ManagementConnection, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """Our end of a management connection, and the engine's."""
    ours, engine = socket.socketpair()
    connection = ManagementConnection(ours)
    yield connection, engine
    connection.close()
    engine.close()


def test_lines_come_in_pieces_of_any_size(ends: Ends) -> None:
    connection, engine = ends
    events: list[Event] = []
    assert connection.read() == ([], False)
    for byte in b">HOLD:Waiting:5\r\n>LOG:1,I,\xff\xc3\xa9\n\nSUCCESS: x\r\n>FATAL:unfinished":
        engine.sendall(bytes([byte]))
        read, at_end = connection.read()
        assert not at_end
        events += read
    assert events == [Hold(5), Message("I", "\ufffd\u00e9"), Other(""), Reply(True, "x")]
    engine.close()
    assert connection.read() == ([], True)


@given(st.binary(max_size=300), st.integers(1, 50))
def test_no_bytes_raise(data: bytes, size: int) -> None:
    ours, engine = socket.socketpair()
    connection = ManagementConnection(ours)
    with engine:
        count = 0
        for at in range(0, len(data), size):
            engine.sendall(data[at : at + size])
            events, at_end = connection.read()
            count += len(events)
            assert not at_end
    assert count <= data.count(b"\n")
    assert connection.read() == ([], True)
    connection.close()


def test_a_line_without_end_ends_the_connection(ends: Ends) -> None:
    connection, engine = ends
    piece = b"x" * 1024
    for _ in range(MAX_LINE // len(piece)):
        engine.sendall(piece)
        assert connection.read() == ([], False)
    engine.sendall(b"x")
    assert connection.read() == ([Fatal("a management line is too long")], True)


def test_a_long_line_within_the_bound_is_read(ends: Ends) -> None:
    connection, engine = ends
    text = "x" * 1024
    events: list[Event] = []
    for piece in (">LOG:1,I,", *[text] * 60, "\n"):
        engine.sendall(piece.encode())
        events += connection.read()[0]
    assert events == [Message("I", text * 60)]


def test_a_reset_is_an_end(ends: Ends) -> None:
    connection, engine = ends
    connection.send("state on")  # unread by the engine, so its close resets
    engine.sendall(b">FATAL:last words\n")
    engine.close()
    seen: list[Event] = []
    at_end = False
    while not at_end:
        events, at_end = connection.read()
        seen += events
    assert seen in ([Fatal("last words")], [])  # a reset may overtake them
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        connection.send("pid")


def test_commands_are_lines(ends: Ends) -> None:
    connection, engine = ends
    connection.send("state on", "password 'Auth' " + quote('a"b'))
    assert engine.recv(1000).decode() == "state on\npassword 'Auth' " + r'"a\"b"' + "\n"
    for wrong in ("a\nsignal SIGTERM", "a\0b"):
        with pytest.raises(ValueError, match="one line"):
            connection.send(wrong)
    with pytest.raises(BlockingIOError):
        connection.send("x" * 10_000_000)
