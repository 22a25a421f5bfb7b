"""The interface of session objects for what is in force, which OpenVPN 3 Linux does not have."""

from ...policy.access import Who
from .interface import Interface, Property

# Properties only, as in inspection_api.py; on an interface of its own, since kernel and resolver are asked each time.
STATUS = Interface(
    name="net.openvpn.v3.sessions.status",
    title="What is in force of a session",
    methods=(),
    looks=True,
    properties=(
        Property("connected_since", "t", Who.READERS, "Seconds since 1970; 0 while it is not connected."),
        Property(
            "last_handshake",
            "t",
            Who.READERS,
            "When its engine and the server last exchanged keys, as its worker says, in seconds since 1970; 0 if it is "
            "not known.",
        ),
        Property("tls", "s", Who.READERS, "Version and cipher of the control channel; empty if they are not known."),
        Property("cipher", "s", Who.READERS, "Cipher of the data channel; empty if it is not known."),
        Property("addresses", "as", Who.READERS, "The addresses of its device, with the lengths of their networks."),
        Property("gateways", "as", Who.READERS, "The server's end of the tunnel, as engine and server say."),
        Property("mtu", "u", Who.READERS, "MTU of its device in bytes; 0 while it has none."),
        Property(
            "routes",
            "a(ssuu)",
            Who.READERS,
            "Its routes: destination; where it leads, `tunnel`, `past` (the tunnel, by a gateway of this machine), "
            "`several`, `unreachable` or `throw`; metric; number of the table.",
        ),
        Property("more_routes", "u", Who.READERS, "How many routes there are besides."),
        Property("rules", "as", Who.READERS, "The routing rules for its tables."),
        Property(
            "default_route",
            "as",
            Who.READERS,
            "`IPv4`, `IPv6`: the versions of IP of which this machine's default route is the tunnel.",
        ),
        Property(
            "name_servers",
            "as",
            Who.READERS,
            "The name servers that this machine uses because of it; ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT.",
        ),
        Property(
            "domains",
            "as",
            Who.READERS,
            "The domains whose names they are asked for, `.` for all names; `~` begins those that are not searched.",
        ),
        Property(
            "pending",
            "a(ss)",
            Who.READERS,
            "What was asked for, is not in force, and may be later: what, and why it is not.",
        ),
        Property("more_pending", "u", Who.READERS, "How many such there are besides."),
        Property("unknown", "as", Who.READERS, "What could not be asked: why the kernel or the resolver did not tell."),
    ),
)
