"""What a worker that is somebody else's may send: messages with odd values, broken messages, and no messages."""

import random
from typing import Any

import msgspec

from ...ipc import messages
from ...ipc.codec import encode
from ...policy.causes import Cause
from ...policy.dbus_numbers import InputGroup, LogCategory
from ...policy.limits import MAX_FRAME
from ...policy.network import Address, NetworkSettings, Route
from ...policy.reports import About
from ...policy.sandbox.layers import Layer

SETTINGS = NetworkSettings(1500, (Address("198.18.0.2", 24),), (Route("203.0.113.0/24", 5),), "198.51.100.1")


def examples(request_number: int) -> list[messages.ToSupervisor]:
    """One of each message, as a worker in order would send it after the request of this number."""
    return [
        messages.WorkerHello(messages.MAJOR, messages.MINOR),
        messages.WorkerSnapshot("new", 0),
        messages.KeptProfile(),
        messages.Confined((Layer.SECCOMP, Layer.MDWE), False),
        messages.Accepted(3),
        messages.Refused("no", Cause.PROFILE),
        messages.InputNeeded(
            request_number, InputGroup.USER_PASSWORD, (messages.InputSlot("username", "User", False),), "", "s"
        ),
        messages.UrlNeeded(request_number, "https://login.example/"),
        messages.Connecting(request_number),
        messages.Connected(request_number, "udp", "198.51.100.1", 1194, "vpn.example"),
        messages.Reconnecting(request_number, "ping-restart"),
        messages.AttemptFailed(request_number, "tls-error", "no answer", Cause.NO_ANSWER),
        messages.Paused(request_number),
        messages.AuthenticationFailed("no", Cause.CREDENTIALS_REFUSED),
        messages.Failed("no", Cause.UNKNOWN),
        messages.EngineDied("no", Cause.ENGINE_DIED),
        messages.Ended("done"),
        messages.ApplyNetwork(SETTINGS),
        messages.ClearNetwork(),
        messages.Reopening(),
        messages.Notices(About.CONNECTION, ("route 192.0.2.0/24 is left out",)),
        messages.Servers(("198.51.100.1",)),
        messages.Resolve("vpn.example"),
        messages.Negotiated(1, "TLSv1.3 TLS_AES_256_GCM_SHA384", "AES-256-GCM", ("198.18.0.1",)),
        messages.Traffic(1, 2),
        messages.Pong(),
        messages.LogLine(LogCategory.INFO, "hello"),
    ]


_NUMBERS = (0, 1, 2, -1, 3, 255, 256, 65535, 65536, 2**31, 2**32, 2**63 - 1, -(2**63), 2**64 - 1)
_TEXTS = (
    *("", "a", "new", "udp", "tcp", "198.51.100.1", "2001:db8::1", "0.0.0.0/0", "::/0", "127.0.0.1/8", "\0", "a\nb"),
    *(
        "\u202e\x1b[2J",
        "https://x/" + "y" * 5000,
        "{config_path}",
        "%s%n",
        "x" * 3000,
        "日本",
        "../etc",
        "-1",
    ),
)


class FrameMaker:
    """Frames by a seed; the same seed makes the same frames."""

    def __init__(self, seed: int, request_number: int = 0) -> None:
        self.random = random.Random(seed)
        examples_now = examples(request_number)
        self._encoded = [encode(message) for message in examples_now]
        self._plain: list[dict[str, Any]] = [msgspec.msgpack.decode(frame) for frame in self._encoded]

    def frame(self, broken: float = 0.5) -> bytes:
        """The next one; with the probability `broken` it is more than a message with odd values."""
        if self.random.random() >= broken:
            return self._odd()
        match self.random.randrange(5):
            case 0:
                return self.random.randbytes(self.random.randrange(1, 64))
            case 1:
                return self._flipped()
            case 2:
                whole = self._odd()
                return whole[: self.random.randrange(1, len(whole) + 1)] + self.random.randbytes(
                    self.random.randrange(3)
                )
            case 3:
                return msgspec.msgpack.encode(self._ill_typed())
            case _:
                depth = self.random.choice((10, 2000, MAX_FRAME))
                return b"\x91" * depth if self.random.random() < 0.5 else b"\x81\xa4type" * (depth // 6 + 1)

    def _flipped(self) -> bytes:
        frame = bytearray(self.random.choice(self._encoded))
        for _ in range(self.random.randrange(1, 4)):
            frame[self.random.randrange(len(frame))] = self.random.randrange(256)
        return bytes(frame)

    def _odd(self) -> bytes:
        """Right types, odd values."""
        plain = dict(self.random.choice(self._plain))
        names = [name for name in plain if name != "type"]
        for name in self.random.sample(names, self.random.randrange(len(names) + 1)):
            plain[name] = self._odd_value(plain[name])
        return msgspec.msgpack.encode(plain)[: MAX_FRAME + 1]

    def _odd_value(self, value: Any) -> Any:
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return self.random.choice(_NUMBERS)
        if isinstance(value, str):
            return self.random.choice(_TEXTS)
        if isinstance(value, list):
            odd = [self._odd_value(one) for one in value]
            return odd * self.random.choice((0, 1, 1, 2, 9, 500))
        if isinstance(value, dict):
            return {name: self._odd_value(one) if self.random.random() < 0.5 else one for name, one in value.items()}
        return value

    def _ill_typed(self) -> dict[str, Any]:
        plain = dict(self.random.choice(self._plain))
        numbers = (1.5, float("nan"), True, 2**64 - 1)
        wrong: tuple[Any, ...] = (None, [], {}, b"bytes", [[[]]], {"type": "Failed"}, *numbers)
        plain[self.random.choice([*plain, "extra"])] = self.random.choice(wrong)
        return plain
