"""What a user's flood of calls costs another user, beside what the same flood costs that is sent to the bus itself."""

import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from dbus_fast import Message, MessageFlag, Variant

from ..tests.lab.connection import CONFIGURATION_PATH, SESSIONS, SESSIONS_PATH
from ..tests.lab.lab import Lab
from ..tests.lab.processes import LabError
from .figures import Figure, Wanted
from .meter import Meter

_PROGRAM = Path(__file__).with_name("flood.py")
_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_PROPERTIES = f"{_BUS}.Properties"
_INTROSPECTABLE = f"{_BUS}.Introspectable"
_WINDOW = 100  # calls under way on each connection; dbus-daemon allows 128
_PROFILES = 490  # of the user who floods; the limit is 500
_LARGE = 4_100_000  # bytes of the largest profile
_SECONDS = 0.6  # of Get, in each round
_TUNNELS = 2  # in each round
_ROUNDS = 2  # of flood and yardstick, in turns
_WANTED = Wanted(2, of_ratio=True)


class Flood:
    """The process that floods (flood.py), as a user.  A context manager."""

    def __init__(self, lab: Lab, user: str = "bob") -> None:
        hello = Message(_BUS, _BUS_PATH, _BUS, "Hello", serial=1)
        command = [sys.executable, "-I", str(_PROGRAM), hello._marshall(False).hex()]
        self._popen = subprocess.Popen(
            lab.client_side.command(command, user),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=lab.bus.environment(),
            text=True,
        )

    def __enter__(self) -> "Flood":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._popen.communicate()

    def begin(self, calls: Sequence[Message], window: int) -> None:
        """Flood with these calls until `end`; returns when the first are answered."""
        messages = [_marshalled(call).hex() for call in calls]
        self._write({"messages": messages, "window": window})
        self._read()

    def end(self) -> dict[str, float]:
        """End it; how many replies there were, how many of them errors, in how many seconds."""
        self._write({})
        return self._read()

    def _read(self) -> dict[str, float]:
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise LabError("the process that floods has ended")
        said: dict[str, float] = json.loads(line)
        return said

    def _write(self, order: dict[str, Any]) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps(order) + "\n")
        self._popen.stdin.flush()


def _marshalled(call: Message) -> bytes:
    call.serial = 1
    return bytes(call._marshall(False))


def _call(path: str, member: str, signature: str = "", *body: Any, interface: str = "") -> Message:
    service = ".".join(path.split("/")[1:5])
    return Message(service, path, interface or service, member, signature=signature, body=list(body))


def _get(path: str, name: str, interface: str = SESSIONS) -> Message:
    return _call(path, "Get", "ss", interface, name, interface=_PROPERTIES)


def _set(path: str, name: str, kind: str, value: Any) -> Message:
    return _call(path, "Set", "ssv", ".".join(path.split("/")[1:5]), name, Variant(kind, value), interface=_PROPERTIES)


def _introspect(path: str) -> Message:
    return _call(path, "Introspect", interface=_INTROSPECTABLE)


def _floods(lab: Lab, bob: Meter, others: str) -> dict[str, tuple[list[Message], int]]:
    """By name, calls that user bob may make, and how many are under way on each connection (0: none is answered).

    `others` is another user's session.
    """
    small = lab.profile()
    profiles = [bob.import_profile(f"profile {number}", small) for number in range(_PROFILES)]
    profile = profiles[0]
    filler = "x" * 100 + "\n"
    large_text = small.replace("<ca>\n", "<ca>\n" + filler * (_LARGE // len(filler)))
    large = bob.import_profile("large", large_text)
    _, session = bob.new_tunnel(profile)
    bob.connect(session)
    _, idle = bob.new_tunnel(profiles[1])
    inspect = f"{SESSIONS}.inspect"
    import_small = _call(CONFIGURATION_PATH, "Import", "ssbb", "more", small, False, False)
    import_large = _call(CONFIGURATION_PATH, "Import", "ssbb", "more", "<\n" + large_text, False, False)
    one_by_one = {
        "Fetch of 4 MB": [_call(large, "Fetch")],
        "FetchJSON of 4 MB": [_call(large, "FetchJSON")],
        "Import of 4 MB, refused": [import_large],
    }
    floods = {
        "Get": [_get(session, "status")],
        "Get, denied": [_get(others, "status")],
        "Get, no object": [_get(others[:-1] + "x", "status")],
        "Get of its processes": [_get(session, "processes", inspect)],
        "GetAll": [_call(session, "GetAll", "s", SESSIONS, interface=_PROPERTIES)],
        "Introspect of a session": [_introspect(session)],
        "Introspect of a root": [_introspect(CONFIGURATION_PATH)],
        "FetchAvailableConfigs": [_call(CONFIGURATION_PATH, "FetchAvailableConfigs")],
        "LookupConfigName": [
            _call(CONFIGURATION_PATH, "LookupConfigName", "s", "profile 1"),
            _call(SESSIONS_PATH, "LookupConfigName", "s", "profile 1"),
        ],
        "SearchByOwner": [_call(CONFIGURATION_PATH, "SearchByOwner", "s", "bob")],
        "NewTunnel, refused": [_call(SESSIONS_PATH, "NewTunnel", "o", profile)],
        "NewTunnel, no profile": [_call(SESSIONS_PATH, "NewTunnel", "o", CONFIGURATION_PATH + "/none")],
        "Set of a session": [_set(idle, "dco", "b", True), _set(idle, "log_verbosity", "u", 4)],
        "Set of a profile": [_set(profile, "public_access", "b", False), _set(profile, "name", "s", "profile 0")],
        "Import, small, too many": [import_small],
        "Import, small, refused": [_call(CONFIGURATION_PATH, "Import", "ssbb", "more", "<\n", False, False)],
        "Ping, no such method": [
            _call(SESSIONS_PATH, "Ping", interface=f"{_BUS}.Peer"),
            _call(session, "NoSuchMethod", interface=SESSIONS),
        ],
        "AccessGrant, AccessRevoke": [
            _call(one, member, "u", 4999) for one in (session, profile) for member in ("AccessGrant", "AccessRevoke")
        ],
        "LogForward, on and off": [_call(session, "LogForward", "b", on) for on in (True, False)],
        "Ready, UserInput…": [
            _call(session, "Ready"),
            _call(session, "UserInputQueueGetTypeGroup"),
            _call(session, "UserInputProvide", "uuus", 1, 1, 0, "x"),
        ],
        "Connect, Resume, refused": [_call(session, "Connect"), _call(session, "Resume")],
        "Restart": [_call(session, "Restart")],
    }  # fmt: skip
    unanswered = Message(SESSIONS, session, SESSIONS, "Ready", flags=MessageFlag.NO_REPLY_EXPECTED)
    return (
        {name: (calls, _WINDOW) for name, calls in floods.items()}
        | {"Ready, no reply wanted": ([unanswered], 0)}
        | {name: (calls, 1) for name, calls in one_by_one.items()}
    )


def fairness(lab: Lab) -> list[Figure]:
    """Another user's Get, median and 99th percentile, and NewTunnel, in each flood; all beside those in GetId's."""
    figures: list[Figure] = []
    with Meter(lab) as alice, Meter(lab, "bob") as bob, Flood(lab) as flood:
        _, session = alice.new_tunnel(alice.import_profile("profile", lab.profile()))
        alice.connect(session)
        second = alice.import_profile("second", lab.profile())
        for name, (messages, window) in _floods(lab, bob, session).items():
            kinds = {"flood": messages, "yardstick": [Message(_BUS, _BUS_PATH, _BUS, "GetId", flags=messages[0].flags)]}
            gets: dict[str, list[float]] = {kind: [] for kind in kinds}
            starts: dict[str, list[float]] = {kind: [] for kind in kinds}
            for _ in range(_ROUNDS):
                for kind, chosen in kinds.items():
                    flood.begin(chosen, window)
                    gets[kind] += alice.gets(session, _SECONDS)
                    for _ in range(_TUNNELS):
                        starts[kind].append(_start_and_end(alice, second))
                    done = flood.end()
                    if kind == "flood":
                        print(
                            f"  {name}: {done['replies'] / done['seconds']:.0f} replies/s", file=sys.stderr, flush=True
                        )
            figures += _figures(name, gets, starts)
    return figures


def _start_and_end(user: Meter, profile: str) -> float:
    """Milliseconds of NewTunnel; in a flood it may fail, by its deadline."""
    began = time.monotonic()
    try:
        took, session = user.new_tunnel(profile)
    except LabError:
        return (time.monotonic() - began) * 1000
    user.disconnect(session)
    return took


def _figures(name: str, gets: dict[str, list[float]], starts: dict[str, list[float]]) -> list[Figure]:
    late = {kind: [_percentile(times, 99)] for kind, times in gets.items()}
    figures = []
    for what, times in (("Get", gets), ("Get, 99th percentile", late), ("NewTunnel", starts)):
        if times["flood"]:
            title = f"{name}: {what}"
            figures.append(Figure(title, "ms", times["flood"], "with GetId", times["yardstick"], _WANTED))
    return figures


def _percentile(times: Sequence[float], percent: float) -> float:
    return sorted(times)[math.ceil(len(times) * percent / 100) - 1]
