"""What profile and server ask of the machine's default route; docs/NETWORK.md says what each flag does here.

Read from the options, since the engine's environment does not tell of them (OpenVPN 2.6), or not of all.
"""

from collections.abc import Iterable

from ...policy.redirect import EVERYTHING, Redirect, merged

_WITHOUT_EFFECT = {"def1", "local", "autolocal", "bypass-dhcp", "bypass-dns"}


def wanted(options: Iterable[tuple[str, ...]], wide: Iterable[str]) -> tuple[Redirect | None, list[str]]:
    """What to ask for, and what of it is not understood.

    `options` are those of the profile, then those of the server; `wide` the networks of routes that are a part of a
    default route.  Flags add up, as in openvpn; only "!ipv4" takes back what came before.
    """
    warnings = []
    ipv4 = ipv6 = block_local = block_ipv6 = False
    for name, *flags in options:
        if name == "block-ipv6":
            block_ipv6 = True
        if name not in ("redirect-gateway", "redirect-private"):
            continue
        ipv4 |= name == "redirect-gateway"
        for flag in flags:
            if flag == "ipv6":
                ipv6 = True
            elif flag == "!ipv4":
                ipv4 = False
            elif flag == "block-local":
                block_local = True
            elif flag not in _WITHOUT_EFFECT:
                warnings.append(f"the flag {flag!a:.40} of {name} is not known: it has no effect")
    networks = merged((*[EVERYTHING[4]] * ipv4, *[EVERYTHING[6]] * ipv6, *wide))
    if not networks and not block_local:
        return None, warnings  # block-ipv6 alone is about IPv6 in the tunnel
    return Redirect(networks, block_ipv6, block_local), warnings
