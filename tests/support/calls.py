"""Calls that a local user may make: declared members and others, with the arguments they take and with any others."""

import random
from collections.abc import Sequence
from typing import Any

from dbus_fast import Message, MessageFlag, Variant
from dbus_fast.signature import SignatureTree, SignatureType

from ...supervisor.bus.configuration_api import CONFIGURATION, PROFILE
from ...supervisor.bus.inspection_api import INSPECTION
from ...supervisor.bus.interface import Interface
from ...supervisor.bus.kill_switch_api import KILL_SWITCH
from ...supervisor.bus.log_api import LOG, PROXY
from ...supervisor.bus.manager_api import MANAGER
from ...supervisor.bus.namespace_api import NAMESPACE
from ...supervisor.bus.session_api import SESSION
from ...supervisor.bus.settings_api import PROFILE_SETTINGS
from ...supervisor.bus.status_api import STATUS
from ...supervisor.bus.stub_api import BACKENDS

INTERFACES = (
    *(MANAGER, SESSION, INSPECTION, STATUS, NAMESPACE, PROFILE_SETTINGS, KILL_SWITCH),
    *(CONFIGURATION, PROFILE, LOG, PROXY, BACKENDS),
)
_STANDARD = {
    "org.freedesktop.DBus.Properties": ("Get", "GetAll", "Set"),
    "org.freedesktop.DBus.Introspectable": ("Introspect",),
    "org.freedesktop.DBus.Peer": ("Ping", "GetMachineId"),
}
_STANDARD_SIGNATURES = {"Get": "ss", "GetAll": "s", "Set": "ssv"}
_TEXTS = (
    "",
    "a",
    "owner",
    "status",
    "\x01\x1b[2J",
    "日本" * 50,
    "x" * 5000,
    "/",
    "..",
    "%s%n{config_path}",
    "4001",
    "-1",
)
_LARGE = "y" * 1_000_000
_NUMBERS = {"y": 8, "n": 16, "q": 16, "i": 32, "u": 32, "x": 64, "t": 64, "h": 32}
_SIGNED = "nix"
_MOST_LARGE = 4  # in a call: a bus takes no more than 64 MiB for an array


class CallMaker:
    """Calls by a seed; the same seed and objects make the same calls."""

    def __init__(
        self, seed: int, interfaces: Sequence[Interface], paths: Sequence[str], without: Sequence[str]
    ) -> None:
        """`paths` are those of the objects; members in `without` are never called."""
        self.random = random.Random(seed)
        self._large = 0  # such texts that there may be in the call that is made
        self._paths = [*paths, "/", "/nowhere", "/net/openvpn/v3"]
        self._names = sorted({interface.name for interface in interfaces})
        self._properties = [row.name for interface in interfaces for row in interface.properties]
        self._methods = [
            (interface.name, row.name, row.signature)
            for interface in interfaces
            for row in interface.methods
            if row.name not in without
        ]
        self._methods += [
            (interface, member, _STANDARD_SIGNATURES.get(member, ""))
            for interface, members in _STANDARD.items()
            for member in members
        ]

    def call(self) -> Message:
        """The next one."""
        choose = self.random
        interface, member, signature = choose.choice(self._methods)
        owner = interface if interface in self._names else choose.choice(self._names)
        if choose.random() < 0.3:
            signature = self._signature()
        self._large = _MOST_LARGE
        body = [self._value(kind) for kind in SignatureTree(signature).types]
        if interface == "org.freedesktop.DBus.Properties" and signature in ("ss", "s", "ssv"):
            body[:2] = [owner, choose.choice(self._properties)][: len(body)]
        same_service = [path for path in self._paths if path.startswith("/" + owner.replace(".", "/"))]
        return Message(
            choose.choice((owner, owner, owner, choose.choice(self._names))),
            choose.choice(choose.choice((same_service or self._paths, self._paths))),
            choose.choice((interface,) * 9 + (None,)),
            choose.choice((member,) * 19 + ("Nonsense",)),
            flags=choose.choice((MessageFlag.NONE,) * 9 + (MessageFlag.NO_AUTOSTART,)),
            signature=signature,
            body=body,
        )

    def _signature(self) -> str:
        return "".join(self._type(3) for _ in range(self.random.randrange(5)))

    def _type(self, depth: int) -> str:
        kind = self.random.choice("ybnqiuxtdsogvh" + ("aaaa((({" if depth else ""))
        match kind:
            case "a":
                return "a" + self._type(depth - 1)
            case "(":
                return f"({self._type(depth - 1)}{self._type(depth - 1)})"
            case "{":
                return f"a{{s{self._type(depth - 1)}}}"
        return kind

    def _value(self, kind: SignatureType) -> Any:
        choose = self.random
        match kind.token:
            case "s":
                large = choose.random() < 0.01 and self._large > 0
                self._large -= large
                return _LARGE if large else choose.choice(_TEXTS)
            case "o":
                return choose.choice(self._paths)
            case "g":
                return choose.choice(("", "s", "a{sv}", "((((u))))"))
            case "b":
                return choose.random() < 0.5
            case "d":
                return choose.choice((0.0, -1.5, float("inf"), float("nan")))
            case "v":
                inner = self._type(1)
                return Variant(inner, self._value(SignatureTree(inner).types[0]))
            case "a":
                child = kind.children[0]
                count = choose.choice((0, 1, 3, 50))
                if child.token == "{":
                    return {str(number): self._value(child.children[1]) for number in range(count)}
                values = [self._value(child) for _ in range(count)]
                return bytes(values) if child.token == "y" else values
            case "(":
                return [self._value(child) for child in kind.children]
        bits = _NUMBERS[kind.token]
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind.token in _SIGNED else (0, 2**bits - 1)
        return choose.choice((0, 1, 2, 3, 4002 % (most + 1), least, most))
