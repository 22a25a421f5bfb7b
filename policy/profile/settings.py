"""Settings of a profile that only this session manager knows, one row each.

They are no overrides: front-ends of OpenVPN 3 Linux refuse a profile with overrides that they do not know.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

import msgspec

from ..redirect import ProfileWhileNotConnected

OnResume = Literal["reconnect", "pause", "disconnect"]


AUTOCONNECT = "autoconnect"


class InvalidSetting(Exception):
    """A setting that cannot be set."""


class Setting(msgspec.Struct, frozen=True):
    """One row: what it does, its value where none was set, and the words that its value may be, if it is a word."""

    doc: str
    default: bool | str = False
    choices: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """The D-Bus type of its value."""
        return "s" if self.choices else "b"

    def takes(self, value: Any) -> bool:
        """Whether it can have this value."""
        return value in self.choices if self.choices else isinstance(value, bool)


SETTINGS: dict[str, Setting] = {
    "redirect-optional": Setting(
        "where the default route through the tunnel cannot be had, connect without it, and take it when it can"
    ),
    "dns-required": Setting(
        "where this machine cannot use all of the tunnel's name servers for all that they are for, do not connect"
    ),
    "while-not-connected": Setting(
        "what becomes of traffic that goes by a default route through the tunnel while the session is paused, "
        "reconnects or has lost its engine: it goes as without a tunnel (open), nowhere (closed), or as the "
        "administrator has it (default)",
        default="default",
        choices=get_args(ProfileWhileNotConnected),
    ),
    "on-resume": Setting(
        "what becomes of the session when the machine sleeps: it connects anew afterwards (reconnect), or is paused or "
        "ended before (pause, disconnect)",
        default="reconnect",
        choices=get_args(OnResume),
    ),
    "kill-switch": Setting(
        "from Connect on, until it is disconnected, let nothing leave this machine but by tunnels, also while the "
        "session is not connected, and when it has failed"
    ),
    AUTOCONNECT: Setting(
        "connect when the service starts, as it does at boot then, and again after a failure, until the session is "
        "disconnected by hand; for persistent profiles that ask nothing, or what systemd credentials of the service "
        "answer"
    ),
}


class ProfileSettings(msgspec.Struct, frozen=True, rename="kebab"):
    """The settings of one profile, a field for each row."""

    redirect_optional: bool = False
    dns_required: bool = False
    while_not_connected: ProfileWhileNotConnected = "default"
    on_resume: OnResume = "reconnect"
    kill_switch: bool = False
    autoconnect: bool = False


def read(name: str, signature: str, value: Any) -> bool | str:
    """The value of setting `name` that came over D-Bus with this type.  Raises InvalidSetting."""
    row = SETTINGS.get(name)
    if row is None:
        raise InvalidSetting(f"There is no setting {name[:64]!a}: there are {', '.join(SETTINGS)}")
    if signature != row.type:
        raise InvalidSetting(f"The setting {name} is of the D-Bus type {row.type}, not {signature[:16]!a}")
    if not row.takes(value):
        raise InvalidSetting(f"The setting {name} can be {', '.join(row.choices)}, not {value[:64]!a}")
    return cast(bool | str, value)


def in_force(values: Mapping[str, bool | str]) -> dict[str, bool | str]:
    """The value of each setting, where `values` were set; what is not known, or no value of it, has no effect."""
    return {name: values[name] if row.takes(values.get(name)) else row.default for name, row in SETTINGS.items()}


def of_profile(values: Mapping[str, bool | str]) -> ProfileSettings:
    """The settings of a profile of which `values` were set."""
    return msgspec.convert(in_force(values), ProfileSettings)
