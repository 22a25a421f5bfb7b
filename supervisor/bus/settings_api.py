"""The interface of the root object for settings of profiles, which OpenVPN 3 Linux does not have."""

from ...policy.access import Who
from ...policy.profile.settings import SETTINGS
from .interface import Interface, Method

_ROWS = "; ".join(
    f"`{name}` ({row.type}{': ' if row.choices else ''}{'|'.join(row.choices)}): {row.doc}"
    for name, row in SETTINGS.items()
)

PROFILE_SETTINGS = Interface(
    name="net.openvpn.v3.sessions.settings",
    title="Settings of profiles",
    methods=(
        Method(
            "GetSettings",
            takes="config_path:o",
            gives="settings:a{sv}",
            who=Who.ANYBODY,
            doc="All settings of a profile, as they are in force. For the profile's owner and root.",
        ),
        Method(
            "SetSetting",
            takes="config_path:o name:s value:v",
            gives="",
            who=Who.ANYBODY,
            doc=f"Set one, for sessions started later, whoever starts them. For the profile's owner and root. {_ROWS}.",
        ),
    ),
    properties=(),
)
