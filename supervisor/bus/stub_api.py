"""Two names of OpenVPN 3 Linux that clients look up, though this service does their work itself.

Their root objects have a version only; below that of netcfg are the devices that sessions' `device_path` names.  A
version is also what can be told of all names before the service is ready.
"""

from ...policy.access import Who
from .interface import Interface, Property


def versioned(name: str, title: str) -> Interface:
    """An interface called `name`, of an object that has a version and nothing else."""
    version = Property("version", "s", Who.ANYBODY, "Version of this service.")
    return Interface(name=name, title=title, methods=(), properties=(version,))


def root_path(name: str) -> str:
    """Where the root object of a name is."""
    return "/" + name.replace(".", "/")


BACKENDS = versioned("net.openvpn.v3.backends", "Stand-in for the backend starter")
NETCFG = versioned("net.openvpn.v3.netcfg", "Stand-in for the network configuration service")

STUBS = {interface: root_path(interface.name) for interface in (BACKENDS, NETCFG)}

DEVICES_PATH = STUBS[NETCFG]

# Names and types as OpenVPN 3 Linux 27 has them, and `active` as its documentation does.
DEVICE = Interface(
    name=NETCFG.name,
    title="Network device of a session",
    methods=(),
    properties=(
        Property("owner", "u", Who.READERS, "User id of the session's owner.", attribute="acl.owner"),
        Property("acl", "au", Who.READERS, "User ids the session is shared with.", attribute="acl.granted_uids"),
        Property("active", "b", Who.READERS, "Whether traffic can go through it: its session is connected."),
        Property("device_name", "s", Who.READERS, "Name of the network device."),
        Property("layer", "u", Who.READERS, "3: it carries IP packets."),
        Property("mtu", "q", Who.READERS, "Largest packet it takes, in bytes."),
        Property("txqueuelen", "q", Who.READERS, "How many packets may wait to be sent."),
    ),
)
