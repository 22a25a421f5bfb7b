"""The interface of the root object for the kill switch, which OpenVPN 3 Linux does not have."""

from ...policy.access import Who
from .interface import Interface, Method

KILL_SWITCH = Interface(
    name="net.openvpn.v3.sessions.lock",
    title="The kill switch",
    methods=(
        Method(
            "GetLock",
            takes="",
            gives="holders:a(uxbos) pass:u",
            who=Who.ANYBODY,
            doc="Who has locked the machine, nobody if it is not locked: user id; since when, in seconds since 1970; "
            "whether the session is still there; its path and the name of its profile, for those who may see the "
            "session, else `/` and nothing. Then the seconds for which everything passes all the same.",
        ),
        Method(
            "Unlock",
            takes="seconds:u",
            gives="",
            who=Who.ANYBODY,
            doc="End what the caller's sessions want, root what all want; with `seconds`, let everything pass for so "
            "long instead, which takes that nobody else wants the lock, or root.",
        ),
    ),
    properties=(),
)
