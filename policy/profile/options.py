"""How each option of a profile is treated: an allowlist, with a reason in every row.

The table holds every option that OpenVPN 2.6 or 2.7 knows, documented or not, and those that either has
removed; facts from openvpn(8), `openvpn --help` and the option parsers of both.  A name that is not here
is unknown: profiles carry options of other clients (options_foreign.py), and those are dropped with a warning.
"""

from .options_allowed import ALLOWED
from .options_rule import Embed, Rule, Treatment, ignored, refused, taken_over
from .variables import for_tunnel

__all__ = [
    "ALLOWED",
    "IGNORED",
    "OPTIONS",
    "PKCS11_OPTIONS",
    "REFUSED",
    "TAKEN_OVER",
    "Embed",
    "Rule",
    "Treatment",
    "of_no_account",
]

# These are read together, by worker/profile/pkcs11.py.
PKCS11_OPTIONS: dict[str, Rule] = {
    "pkcs11-providers": taken_over(1, 15, "only those that the administrator lists"),
    "pkcs11-id": taken_over(1, 1, "which certificate and key"),
    "pkcs11-id-management": taken_over(0, 0, "which of them is asked for"),
    "pkcs11-cert-private": taken_over(1, 15, "the certificate is seen only with the PIN"),
    "pkcs11-pin-cache": taken_over(1, 1, "how long the engine may keep the PIN"),
    "pkcs11-private-mode": taken_over(1, 15, "how the key is used"),
    "pkcs11-protected-authentication": taken_over(1, 15, "the PIN is typed at the reader"),
}

TAKEN_OVER: dict[str, Rule] = {
    **PKCS11_OPTIONS,
    "dev": taken_over(1, 1, "the session manager makes the device, with this name if it may have it"),
    "dev-type": taken_over(1, 1, "always tun"),
    "verb": taken_over(1, 1, "set over the management interface"),
    "askpass": taken_over(0, 1, "a passphrase is asked for when the key needs one"),
    "auth-retry": taken_over(1, 1, "the session manager decides about another attempt"),
    "disable-dco": taken_over(0, 0, "always so"),
    "ignore-unknown-option": taken_over(0, 15, "names that are left out even where they look misspelt"),
    "remote-random-hostname": taken_over(0, 0, "names are looked up outside the engine, below such a label"),
    "route": taken_over(1, 4, "set by the session manager, by names that are looked up outside the engine"),
    "route-ipv6": taken_over(1, 3, "set by the session manager"),
    "mode": taken_over(1, 1, "always p2p"),
    "tun-ipv6": taken_over(0, 0, "always so"),
}

_SCRIPT = "programs are not run; addresses, routes and name servers are set by the session manager"
_SCRIPT_FLAG = "it is about programs to be run, and none are"
_IDENTITY = "the engine already runs confined and under a user id of its own"
_LOG = "messages go to the session's log"
_FILE = "the engine cannot write files"
_SERVER = "only servers use it"
_WINDOWS = "it is for Windows"
_TOOL = "it is a command, not a setting of a tunnel"
_OBSOLETE = "it has no effect any more"
_MANAGEMENT = "the session manager manages the engine itself"
_PUSHED = "only a server may send it"
_RESOLVED = "names are resolved outside the engine"

IGNORED: dict[str, Rule] = {
    **dict.fromkeys(("up", "down", "route-up", "route-pre-down", "ipchange", "dns-updown"), ignored(_SCRIPT)),
    **dict.fromkeys(
        ("up-delay", "up-restart", "down-pre", "script-security", "setenv-safe", "keying-material-exporter"),
        ignored(_SCRIPT_FLAG),
    ),
    **dict.fromkeys(("user", "group", "chroot", "setcon"), ignored(_IDENTITY)),
    **dict.fromkeys(
        (
            *("log", "log-append", "syslog", "status", "status-version", "mute", "errors-to-stderr"),
            *("suppress-timestamps", "machine-readable-output", "echo", "parameter"),
        ),
        ignored(_LOG),
    ),
    **dict.fromkeys(
        ("writepid", "replay-persist", "memstats", "tls-export-cert", "export-peer-cert-dir", "tmp-dir"),
        ignored(_FILE),
    ),
    **dict.fromkeys(
        (
            *("dh", "push", "push-reset", "push-remove", "ifconfig-pool", "ifconfig-pool-persist"),
            *("ifconfig-pool-linear", "ifconfig-ipv6-pool", "ifconfig-push", "ifconfig-push-constraint"),
            *("ifconfig-ipv6-push", "iroute", "iroute-ipv6", "client-to-client", "duplicate-cn", "client-connect"),
            *("client-disconnect", "client-crresponse", "learn-address", "auth-user-pass-verify"),
            *("client-config-dir", "ccd-exclusive", "disable", "override-username", "hash-size", "connect-freq"),
            *("connect-freq-initial", "max-clients", "max-routes-per-client", "stale-routes-check", "bcast-buffers"),
            *("tcp-queue-limit", "tcp-nodelay", "multihome", "port-share", "username-as-common-name", "opt-verify"),
            *("auth-user-pass-optional", "verify-client-cert", "client-cert-not-required", "auth-gen-token"),
            *("auth-gen-token-secret", "tls-crypt-v2-verify", "tls-crypt-v2-max-age", "vlan-tagging"),
            *("vlan-accept", "vlan-pvid", "management-client-auth", "management-client-pf"),
        ),
        ignored(_SERVER),
    ),
    **dict.fromkeys(
        (
            *("block-outside-dns", "register-dns", "ip-win32", "route-method", "dhcp-renew", "dhcp-release"),
            *("dhcp-pre-release", "dhcp-internal", "rdns-internal", "tap-sleep", "show-net-up", "win-sys"),
            *("windows-driver", "pause-exit", "service", "msg-channel", "allow-nonadmin"),
        ),
        ignored(_WINDOWS),
    ),
    **dict.fromkeys(
        (
            *("help", "version", "genkey", "mktun", "rmtun", "test-crypto", "show-ciphers", "show-digests"),
            *("show-engines", "show-tls", "show-curves", "show-groups", "show-gateway", "show-adapters", "show-net"),
            *("show-valid-subnets", "show-pkcs11-ids", "show-pkcs11-slots", "show-pkcs11-objects"),
        ),
        ignored(_TOOL),
    ),
    **dict.fromkeys(
        (
            *("http-proxy-retry", "http-proxy-timeout", "socks-proxy-retry", "max-routes", "prng", "no-iv"),
            *("key-method", "keysize", "ncp-disable", "compat-names", "no-name-remapping", "tun-max-mtu"),
        ),
        ignored(_OBSOLETE),
    ),
    **dict.fromkeys(
        (
            *("management-client", "management-client-user", "management-client-group", "management-hold"),
            *("management-log-cache", "management-query-passwords", "management-query-proxy"),
            *("management-query-remote", "management-signal", "management-up-down"),
            "management-forget-disconnect",
        ),
        ignored(_MANAGEMENT),
    ),
    **dict.fromkeys(("peer-id", "key-derivation", "protocol-flags", "push-continuation"), ignored(_PUSHED)),
    **dict.fromkeys(("preresolve", "ip-remote-hint"), ignored(_RESOLVED)),
    "cd": ignored("sessions read no files; ovpnctl follows it when it embeds those that a profile names"),
    "allow-deprecated-insecure-static-crypto": ignored("static keys are not supported"),
    "use-prediction-resistance": ignored("only OpenVPN with mbed TLS knows it"),
    "daemon": ignored(_MANAGEMENT),
    "mlock": ignored("the engine's memory may be swapped out: encrypt the swap space"),
    "nice": ignored("all sessions have the same priority"),
    "dev-node": ignored("the session manager makes the device"),
    "lladdr": ignored("only Ethernet devices have such an address"),
    "txqueuelen": ignored("the session manager makes the device"),
    "iproute": ignored("routes are set by the session manager"),
    "engine": ignored("OpenSSL gets no further code; a key on a token is named by pkcs11-providers and pkcs11-id"),
    "no-replay": ignored("replay protection stays on"),
    "gremlin": ignored("it damages packets for tests"),
}

_PKCS11 = "it was removed from OpenVPN; name the certificate with pkcs11-id"

REFUSED: dict[str, Rule] = {
    **dict.fromkeys(("server", "server-ipv6", "server-bridge", "tls-server"), refused("this is a server's profile")),
    **dict.fromkeys(
        (*("pkcs11-id-type", "pkcs11-sign-mode", "pkcs11-slot", "pkcs11-slot-type"),),
        refused(_PKCS11),
    ),
    "config": refused("other files are not read; put their text into the profile"),
    "capath": refused("directories are not read; embed the certificates in <ca>"),
    "cryptoapicert": refused("the key is in a Windows store; export it and embed it in <cert> and <key>"),
    "secret": refused("static keys are not supported; the server must offer TLS"),
    "plugin": refused("programs are not run, and the tunnel may depend on this one; remove the line if not"),
    "tls-verify": refused("programs are not run; check the server with verify-x509-name or peer-fingerprint"),
    "tls-remote": refused("it was removed from OpenVPN; use verify-x509-name"),
    "mtu-dynamic": refused("it was removed from OpenVPN; use fragment"),
    "management": refused("the session manager manages the engine itself; remove the line"),
    "management-external-key": refused("keys held by other programs are not supported; embed it in <key>"),
    "management-external-cert": refused("certificates held by other programs are not supported; use <cert>"),
    "http-proxy-override": refused("it is not for profiles; use http-proxy"),
    "remap-usr1": refused("a reconnect must not become another signal; remove the line"),
    "mark": refused("the engine may not mark packets, and routing rules would miss them; remove the line"),
    "route-table": refused("routes in other tables are not supported; remove the line to use the main one"),
    "route-noexec": refused("routes are always set; use route-nopull or pull-filter to leave some out"),
    "ifconfig-noexec": refused("addresses are always set; remove the line"),
}

OPTIONS: dict[str, Rule] = {**ALLOWED, **TAKEN_OVER, **IGNORED, **REFUSED}


def of_no_account(name: str, *params: str) -> bool:
    """Whether an option is dropped whatever its further parameters are: OpenVPN, or a tunnel, has no use for it."""
    if name == "setenv" and params:
        return not for_tunnel(params[0])
    rule = OPTIONS.get(name)
    return rule is None or rule.treatment is Treatment.IGNORED
