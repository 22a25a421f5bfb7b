"""The services that ovpnctl talks to."""

import sys
from dataclasses import dataclass

# The service's program, for what root has it do without the bus.
PROGRAM = (sys.executable, "-I", "-m", "openvpn3_sessionmgr.supervisor")


@dataclass(frozen=True)
class BusService:
    """A service of OpenVPN 3; its interface has the name of the service."""

    name: str
    root: str
    title: str
    thing: str  # what its objects are


SESSIONS = BusService("net.openvpn.v3.sessions", "/net/openvpn/v3/sessions", "session manager", "session")
CONFIGURATION = BusService(
    "net.openvpn.v3.configuration",
    "/net/openvpn/v3/configuration",
    "configuration service",
    "configuration profile",
)

INSPECTION = "net.openvpn.v3.sessions.inspect"  # interface of a session object, of this session manager only
STATUS = "net.openvpn.v3.sessions.status"  # the same, of what is in force
NAMESPACE = "net.openvpn.v3.sessions.namespace"  # the same, of the network namespace that it is in
FAILURES = "net.openvpn.v3.sessions.failures"  # the same of an object for each user
PROFILE_SETTINGS = "net.openvpn.v3.sessions.settings"  # the same of the root object
LOCK = "net.openvpn.v3.sessions.lock"  # the same, for the kill switch
FORWARDED = "net.openvpn.v3.backends"  # interface of the signals that LogForward asks for
