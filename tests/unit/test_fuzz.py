"""The fuzz targets (tests/fuzz) in small numbers; `make fuzz` runs them in large ones."""

import asyncio
from pathlib import Path

import pytest
from dbus_fast import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from ...policy.limits import MAX_SMALL_BODY
from ...supervisor.bus import answering
from ...supervisor.bus.budget import Budget
from ...supervisor.bus.inbound import Inbound
from ...supervisor.bus.large_calls import LargeCalls
from ...supervisor.bus.replies import Replies
from ...supervisor.sessions import permits
from ...supervisor.sessions.session_object import SessionObject
from ...supervisor.sessions.states import State
from .. import fuzz
from ..fuzz import targets
from ..fuzz.client import some_messages
from ..fuzz.dispatch import NEWCOMER, OWNER, SESSION_PATHS, STRANGER
from ..fuzz.targets import TARGETS, Frames, count_frames
from ..support.bare import REQUEST_NUMBER
from ..support.frames import FrameMaker

KEPT = sorted(path for path in (Path(fuzz.__path__[0]) / "kept").rglob("*") if path.is_file())
FRAMES = 30_000

STARTS = st.sampled_from(
    [
        *(b">HOLD:", b">STATE:1,", b">LOG:1,", b">BYTECOUNT:", b">UPDOWN:", b">UPDOWN:ENV,", b">PASSWORD:", b">FATAL:"),
        *(
            b">INFOMSG:",
            b">NEED-OK:",
            b"SUCCESS:",
            b"ERROR:",
            b">PASSWORD:Need 'Auth' ",
            b">PASSWORD:Verification Failed: ",
        ),
        *(
            b">STATE:1,CONNECTED,SUCCESS,",
            b">STATE:1,RECONNECTING,",
            b">UPDOWN:ENV,END",
            b">UPDOWN:UP",
            b">INFOMSG:CR_TEXT:",
        ),
    ]
)
LINES = st.lists(st.tuples(STARTS, st.binary(max_size=40)).map(b"".join), max_size=8).map(b"\n".join)
CHANGES = st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=3)


@pytest.mark.parametrize("file", KEPT, ids=lambda file: f"{file.parent.name}-{file.name}")
def test_what_was_found_once(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())


def test_frames_of_a_hostile_worker() -> None:
    maker = FrameMaker(1, REQUEST_NUMBER)
    outcomes = asyncio.run(count_frames(maker.frame() for _ in range(FRAMES)))
    assert all(count > FRAMES / 20 for count in outcomes.values()), outcomes


@given(st.integers(0, 2**32), st.integers(0, 255))
def test_one_frame_in_any_state(seed: int, state: int) -> None:
    TARGETS["ipc"](bytes([state]) + FrameMaker(seed, REQUEST_NUMBER).frame())


@given(st.sampled_from(range(5)), st.integers(0, 255), st.integers(0, 2**32), st.integers(1, 6), CHANGES)
@settings(deadline=None)  # how busy the machine is does not matter
def test_what_a_client_sends(sender: int, way: int, seed: int, count: int, changes: list[tuple[int, int]]) -> None:
    data = bytearray(some_messages(seed, count))
    for place, byte in changes:
        data[place % len(data)] = byte
    TARGETS["bus"](bytes([sender, way]) + data)


@given(st.binary(max_size=1), LINES | st.binary())
def test_what_an_engine_says_in_any_phase(phase: bytes, said: bytes) -> None:
    TARGETS["management"](phase + said)


@given(st.binary())
def test_any_profile(profile: bytes) -> None:
    TARGETS["profile"](profile)


def test_targets_notice_what_should_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    good = b"client\ndev tun\nremote a\n<ca>\nx\n</ca>\n"
    TARGETS["profile"](good)
    monkeypatch.setattr(targets, "ALLOWED", {"client": None})
    with pytest.raises(AssertionError):
        TARGETS["profile"](good)
    monkeypatch.setattr(permits, "PERMITS", {})
    maker = FrameMaker(1, REQUEST_NUMBER)

    async def frames() -> None:
        taken = Frames()
        for _ in range(50):
            taken.take(maker.frame(broken=0), targets.STATES[0])

    with pytest.raises(KeyError):
        asyncio.run(frames())


def test_the_bus_target_notices_what_should_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    pause = Message("net.openvpn.v3.sessions", SESSION_PATHS[State.CONNECTED], "net.openvpn.v3.sessions", "Pause")
    pause.signature, pause.body, pause.serial = "s", ["lunch"], 7
    sent = bytes(pause._marshall(False))
    for sender in (OWNER, STRANGER):
        TARGETS["bus"](bytes([sender, 0]) + sent)
    with monkeypatch.context() as broken:
        broken.setattr(answering, "permitted", lambda *_: True)
        TARGETS["bus"](bytes([OWNER, 0]) + sent)
        with pytest.raises(AssertionError, match="a stranger brought CONNECTED to PAUSING"):
            TARGETS["bus"](bytes([STRANGER, 0]) + sent)
    with monkeypatch.context() as broken:
        broken.setattr(SessionObject, "pause", lambda *_: 1 / 0)
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            TARGETS["bus"](bytes([OWNER, 0]) + sent)
    with monkeypatch.context() as broken:
        broken.setattr(Replies, "give", lambda *_: None)
        with pytest.raises(AssertionError, match=r":1\.99"):
            TARGETS["bus"](bytes([OWNER, 0]) + sent)


def test_the_bus_target_notices_what_the_judgement_should_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Message(
        "net.openvpn.v3.sessions",
        SESSION_PATHS[State.CONNECTED],
        "net.openvpn.v3.sessions",
        "UserInputProvide",
        signature="uuus",
        body=[1, 1, 0, "x" * MAX_SMALL_BODY],
        serial=7,
    )
    sent = bytes(answer._marshall(False))
    for way in range(256):
        TARGETS["bus"](bytes([OWNER, way]) + sent)
    for owner, name, wrong, noticed in (
        (LargeCalls, "done", lambda *_: None, "_of_user"),
        (Budget, "close", lambda *_: None, "accounts"),
        (Inbound, "wanted", lambda *_: False, ":1"),
    ):
        with monkeypatch.context() as broken:
            broken.setattr(owner, name, wrong)
            with pytest.raises(AssertionError, match=noticed):
                TARGETS["bus"](bytes([NEWCOMER, 0]) + sent)
    with monkeypatch.context() as broken:
        broken.setattr(Inbound, "wanted", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            TARGETS["bus"](bytes([OWNER, 0]) + sent)
