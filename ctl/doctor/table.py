"""All checks, in the order in which they are shown."""

from collections.abc import Iterator

from . import installation, kernel_features, leftovers, names, network, on_bus
from .finding import Check, Finding, Machine, unknown

CHECKS = (
    Check("configuration", "the administrator's files", installation.configuration),
    Check("engine", "the openvpn program and its version", installation.engine),
    Check("account", "the account of the service", installation.account),
    Check("tun", "the driver of network devices and its node", kernel_features.tun),
    Check("nf_tables", "the kernel's firewall", kernel_features.nf_tables),
    Check("kernel", "what the layers of the sandbox need", kernel_features.kernel_layers),
    Check("namespaces", "what ovpnctl exec needs", kernel_features.user_namespaces),
    Check("bounds", "the kernel's bounds", kernel_features.bounds),
    Check("directories", "owner, permissions and room of directories", installation.directories),
    Check("clock", "the time, by which certificates are valid", installation.clock),
    Check("activation", "whose program the bus starts", installation.activated),
    Check("bus", "the system bus", on_bus.bus),
    Check("service", "the session manager in force", on_bus.service),
    Check("policy", "what the bus permits", on_bus.policy),
    Check("names", "who owns the names on the bus", on_bus.names),
    Check("sandbox", "the layers that confine sessions", on_bus.sandbox),
    Check("notices", "what the service says of sessions", on_bus.notices),
    Check("dns", "what sets name servers", names.back_end),
    Check("polkit", "whether that is permitted", names.polkit),
    Check("rp_filter", "strictness about the way back", network.reverse_paths),
    Check("rules", "other VPNs' routing rules and routes", network.routing_rules),
    Check("firewall", "other rules of nf_tables", network.firewalls),
    Check("leftovers", "what an earlier service has left", leftovers.leftovers),
)


def examine(machine: Machine) -> Iterator[tuple[Check, Finding]]:
    """All that is found; one check that fails does not keep others from being made."""
    for check in CHECKS:
        try:
            for finding in check.check(machine):
                yield check, finding
        except OSError as error:
            yield check, unknown(f"This cannot be looked at: {error.strerror or error}")
