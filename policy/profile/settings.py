"""Settings of a profile that only this session manager knows, one row each.

They are no overrides: front-ends of OpenVPN 3 Linux refuse a profile with overrides that they do not know.
"""

from collections.abc import Mapping
from typing import Any

import msgspec


class InvalidSetting(Exception):
    """A setting that cannot be set."""


class Setting(msgspec.Struct, frozen=True):
    """One row: what it does, and its value where none was set; the D-Bus type of its value."""

    doc: str
    default: bool = False
    type: str = "b"


SETTINGS: dict[str, Setting] = {
    "redirect-optional": Setting(
        "where the default route through the tunnel cannot be had, connect without it, and take it when it can"
    ),
    "dns-required": Setting(
        "where this machine cannot use all of the tunnel's name servers for all that they are for, do not connect"
    ),
    "kill-switch": Setting(
        "from Connect on, until it is disconnected, let nothing leave this machine but by tunnels, also while the "
        "session is not connected, and when it has failed"
    ),
}


class ProfileSettings(msgspec.Struct, frozen=True):
    """The settings of one profile, a field for each row."""

    redirect_optional: bool = False
    dns_required: bool = False
    kill_switch: bool = False


def read(name: str, signature: str, value: Any) -> bool:
    """The value of setting `name` that came over D-Bus with this type.  Raises InvalidSetting."""
    row = SETTINGS.get(name)
    if row is None:
        raise InvalidSetting(f"There is no setting {name[:64]!a}: there are {', '.join(SETTINGS)}")
    if signature != row.type:
        raise InvalidSetting(f"The setting {name} is of the D-Bus type {row.type}, not {signature[:16]!a}")
    return bool(value)


def in_force(values: Mapping[str, bool | str]) -> dict[str, bool]:
    """The value of each setting, where `values` were set; what is not known, or of another type, has no effect."""
    return {
        name: value if isinstance(value := values.get(name), bool) else row.default for name, row in SETTINGS.items()
    }


def of_profile(values: Mapping[str, bool | str]) -> ProfileSettings:
    """The settings of a profile of which `values` were set."""
    return ProfileSettings(**{name.replace("-", "_"): value for name, value in in_force(values).items()})
