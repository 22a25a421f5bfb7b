"""Names of OpenVPN 3 Linux that clients look up, though there is nothing for them to do."""

from ...policy.access import Who
from .interface import Interface, Property


def _stub(name: str, title: str) -> Interface:
    version = Property("version", "s", Who.ANYBODY, "Version of this service.")
    return Interface(name=f"net.openvpn.v3.{name}", title=title, methods=(), properties=(version,))


BACKENDS = _stub("backends", "Stand-in for the backend starter")
NETCFG = _stub("netcfg", "Stand-in for the network configuration service")

STUBS = {interface: "/" + interface.name.replace(".", "/") for interface in (BACKENDS, NETCFG)}
