"""The variables that a profile sets with setenv: a few mean something to the tunnel (openvpn(8), setenv)."""

import re

# What other clients show, or ask their users, by these.
OF_OTHER_CLIENTS = ("FORWARD_COMPATIBLE", "CLIENT_CERT", "FRIENDLY_NAME", "PROFILE")
_PEER_INFO = re.compile(r"[UI]V_[A-Za-z0-9_]{1,60}")
_OURS = ("IV_SSO", "IV_GUI_VER")  # set by the worker


def for_tunnel(name: str) -> bool:
    """Whether a variable is anything to the tunnel, and not to programs or other clients only."""
    return name in ("SERVER_POLL_TIMEOUT", "PUSH_PEER_INFO") or (
        _PEER_INFO.fullmatch(name) is not None and name not in _OURS
    )
