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
        Method(
            "GetCredentials",
            takes="config_path:o",
            gives="credentials:a(ssb)",
            who=Who.ANYBODY,
            doc="What a session of a profile asks before it connects: of each question its label, the name of the "
            "systemd credential that may answer it where nobody types (empty if none may), and whether the service has "
            "that. The names change with the profile. For the profile's owner and root.",
        ),
    ),
    properties=(),
)
