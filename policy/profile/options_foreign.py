"""Names that stand in profiles and that only other clients know, each with what becomes of it."""

from .options_rule import Rule, ignored, refused

_OPENVPN3 = "only OpenVPN 3 and OpenVPN Connect know it"

FOREIGN: dict[str, Rule] = {
    # Without these the server cannot be had.
    "auth-federate": refused(
        "the server wants a web login (SAML) in the manner of the AWS VPN Client, which is not supported; use that "
        "client, or ask for a profile with certificates or with a user name and password"
    ),
    "scramble": refused(
        "the server takes only packets in a disguise that a patched OpenVPN makes (as in Tunnelblick), which is not "
        "supported; ask for a profile without it"
    ),
    # Without these the tunnel works as well.
    "block-ipv4": ignored(f"{_OPENVPN3}; IPv4 is not blocked"),
    "redirect-dns": ignored(f"{_OPENVPN3}; name servers are set by dhcp-option and dns"),
    **dict.fromkeys(("can_save", "otp", "run_logon_script", "auto_connect"), ignored("only Sophos Connect knows it")),
    "viscosity": ignored("only Viscosity knows it"),
    "pia-signal-settings": ignored("only the client of Private Internet Access knows it"),
    "inetd": ignored("OpenVPN has removed it, and only servers used it"),
}
