"""Why a connection does not come about, or ends: a closed set of causes, and what to do about each.

A worker reports the cause of a failure with a text of its own; clients are told all three (`last_error` of
supervisor/bus/inspection_api.py), and ovpnctl ends with an exit status by the kind (ctl/exits.py).
"""

from enum import StrEnum

import msgspec


class Kind(StrEnum):
    """What a cause is about."""

    CREDENTIALS = "credentials"  # what the user typed
    TRUST = "trust"  # the server is not the one that the profile wants, or cannot prove it
    CERTIFICATE = "certificate"  # the profile's own certificate or key
    ALGORITHM = "algorithm"  # server and profile have no cipher, protocol version or compression in common
    NETWORK = "network"  # the server is not reached, or does not answer
    SERVER = "server"  # what the server does or sends
    PROFILE = "profile"  # what the profile says
    SERVICE = "service"  # this machine's part: engine, worker, service
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """One cause; `CAUSES` says what it means."""

    CREDENTIALS_REFUSED = "credentials-refused"
    LOGIN_REFUSED = "login-refused"
    PASSPHRASE_WRONG = "passphrase-wrong"
    TOKEN_UNUSABLE = "token-unusable"
    PROXY_REFUSES = "proxy-refuses"
    SERVER_NAME = "server-name"
    SERVER_USAGE = "server-usage"
    SERVER_FINGERPRINT = "server-fingerprint"
    SERVER_AUTHORITY = "server-authority"
    SERVER_DATES = "server-dates"
    SERVER_REVOKED = "server-revoked"
    SERVER_WEAK = "server-weak"
    SERVER_CERTIFICATE = "server-certificate"
    REVOCATION_LIST = "revocation-list"
    CERTIFICATE_DATES = "certificate-dates"
    CERTIFICATE_REFUSED = "certificate-refused"
    CERTIFICATE_WEAK = "certificate-weak"
    CERTIFICATE_UNUSABLE = "certificate-unusable"
    DATA_CIPHER = "data-cipher"
    TLS_VERSION = "tls-version"
    TLS_CIPHER = "tls-cipher"
    COMPRESSION = "compression"
    CONNECTION_REFUSED = "connection-refused"
    NO_ANSWER = "no-answer"
    UNREACHABLE = "unreachable"
    NAME_UNKNOWN = "name-unknown"
    PROXY_FAILED = "proxy-failed"
    CONNECTION_LOST = "connection-lost"
    TLS_KEY = "tls-key"
    HANDSHAKE_FAILED = "handshake-failed"
    SERVER_ENDED = "server-ended"
    SERVER_SETTINGS = "server-settings"
    SERVER_DEMANDS = "server-demands"
    PROFILE = "profile"
    ENGINE_DIED = "engine-died"
    SERVICE_FAILED = "service-failed"
    UNKNOWN = "unknown"


class Meaning(msgspec.Struct, frozen=True):
    """What a cause is about, and what its user may do about it (nothing: empty)."""

    kind: Kind
    hint: str = ""


class Failure(msgspec.Struct, frozen=True):
    """A failure as its user is told of it; the text may hold a server's words."""

    cause: Cause
    text: str

    @property
    def hint(self) -> str:
        """What to do about it."""
        return CAUSES[self.cause].hint


def _override(option: str) -> str:
    return f"`ovpnctl config-manage --config NAME --{option}`"


_NEW_PROFILE = "ask whoever runs the server for a new profile"

CAUSES: dict[Cause, Meaning] = {
    Cause.CREDENTIALS_REFUSED: Meaning(
        Kind.CREDENTIALS,
        "Check user name and password; some servers want a code appended to the password, or the account unlocked.",
    ),
    Cause.LOGIN_REFUSED: Meaning(
        Kind.CREDENTIALS, "The server gave this reason: act on it, or ask whoever runs the server."
    ),
    Cause.PASSPHRASE_WRONG: Meaning(
        Kind.CREDENTIALS, "Type the passphrase of the profile's private key; it is not the account's password."
    ),
    Cause.TOKEN_UNUSABLE: Meaning(
        Kind.CREDENTIALS, "Check that the token is plugged in, its PIN right and not locked, and its key the profile's."
    ),
    Cause.PROXY_REFUSES: Meaning(
        Kind.CREDENTIALS, "Check user name and password of the HTTP proxy; they are not those of the VPN."
    ),
    Cause.SERVER_NAME: Meaning(
        Kind.TRUST,
        "Either another server answers in place of yours, or the profile's verify-x509-name is out of date: "
        f"if you expected the name that it showed, {_NEW_PROFILE}.",
    ),
    Cause.SERVER_USAGE: Meaning(
        Kind.TRUST,
        "The certificate is not one for servers, so any other client could pose as this one: ask whoever runs the "
        "server for a proper certificate.",
    ),
    Cause.SERVER_FINGERPRINT: Meaning(
        Kind.TRUST,
        "Either another server answers in place of yours, or it has a new certificate: if you expected that, "
        f"{_NEW_PROFILE}.",
    ),
    Cause.SERVER_AUTHORITY: Meaning(
        Kind.TRUST,
        "Either another server answers in place of yours (in a hotel or train, log in to its network with a web "
        f"browser first), or the profile's <ca> is out of date: then {_NEW_PROFILE}.",
    ),
    Cause.SERVER_DATES: Meaning(
        Kind.TRUST,
        "Check this machine's clock; if it is right, whoever runs the server has to renew its certificate.",
    ),
    Cause.SERVER_REVOKED: Meaning(Kind.TRUST, f"Do not trust a server that shows this certificate; {_NEW_PROFILE}."),
    Cause.SERVER_WEAK: Meaning(
        Kind.TRUST, "Whoever runs the server has to replace its certificate by one with a longer key or a newer hash."
    ),
    Cause.SERVER_CERTIFICATE: Meaning(
        Kind.TRUST, f"Either another server answers in place of yours, or its certificate is wrong: {_NEW_PROFILE}."
    ),
    Cause.REVOCATION_LIST: Meaning(
        Kind.TRUST,
        "The revocation list in the profile (crl-verify) is out of date or not of the server's authority: "
        f"{_NEW_PROFILE}, and check this machine's clock.",
    ),
    Cause.CERTIFICATE_DATES: Meaning(
        Kind.CERTIFICATE, f"Check this machine's clock; if it is right, {_NEW_PROFILE} with a new certificate."
    ),
    Cause.CERTIFICATE_REFUSED: Meaning(
        Kind.CERTIFICATE,
        "The server does not accept the profile's certificate, which may have been revoked, have expired or belong to "
        f"another server: {_NEW_PROFILE}.",
    ),
    Cause.CERTIFICATE_WEAK: Meaning(
        Kind.CERTIFICATE,
        f"Best {_NEW_PROFILE} with a stronger certificate; until then `tls-cert-profile insecure` in the profile "
        "allows this one.",
    ),
    Cause.CERTIFICATE_UNUSABLE: Meaning(
        Kind.CERTIFICATE, f"A certificate or key in the profile is damaged or does not fit the other: {_NEW_PROFILE}."
    ),
    Cause.DATA_CIPHER: Meaning(
        Kind.ALGORITHM,
        "The server may know older ciphers only: "
        f"{_override('enable-legacy-algorithms true')} offers them too; or add the server's to the profile's "
        "data-ciphers.",
    ),
    Cause.TLS_VERSION: Meaning(
        Kind.ALGORITHM,
        f"If the server is old, {_override('tls-version-min tls_1_0')} allows what it knows; else whoever runs it has "
        "to renew it.",
    ),
    Cause.TLS_CIPHER: Meaning(
        Kind.ALGORITHM,
        "Server and profile have no TLS cipher in common: see tls-cipher, tls-ciphersuites and tls-groups in the "
        "profile; a server with a weak key may need `tls-cert-profile insecure`.",
    ),
    Cause.COMPRESSION: Meaning(
        Kind.ALGORITHM,
        "Compression weakens encryption, and the server should not use it. "
        f"{_override('allow-compression asym')} accepts it from the server.",
    ),
    Cause.CONNECTION_REFUSED: Meaning(
        Kind.NETWORK,
        "Nothing listens at that port: the server is down, or port or protocol (udp, tcp) in the profile are wrong.",
    ),
    Cause.NO_ANSWER: Meaning(
        Kind.NETWORK,
        "The server may be down, a firewall in the way, port or protocol (udp, tcp) wrong, or the profile's tls-auth "
        "or tls-crypt key not the server's, which answers nobody who has another.",
    ),
    Cause.UNREACHABLE: Meaning(
        Kind.NETWORK, "This machine has no way to that address: check its network connection, and IPv6 if it is IPv6."
    ),
    Cause.NAME_UNKNOWN: Meaning(
        Kind.NETWORK, "Check the server's name in the profile, this machine's network connection and its name servers."
    ),
    Cause.PROXY_FAILED: Meaning(
        Kind.NETWORK, "Check the proxy's address and port, and that it lets this server and port through."
    ),
    Cause.CONNECTION_LOST: Meaning(
        Kind.NETWORK,
        "The server closed the connection, or a firewall in between did: port or protocol may be wrong, or the "
        "profile's tls-auth or tls-crypt key not the server's.",
    ),
    Cause.TLS_KEY: Meaning(
        Kind.NETWORK, f"The profile's tls-auth, tls-crypt or key-direction is not that of the server: {_NEW_PROFILE}."
    ),
    Cause.HANDSHAKE_FAILED: Meaning(
        Kind.NETWORK,
        "Servers fall silent when they do not accept a certificate, which may have been revoked or belong to another "
        "server, or have no TLS version or cipher in common with the profile; or packets get lost.",
    ),
    Cause.SERVER_ENDED: Meaning(Kind.SERVER, "Ask whoever runs the server, or try again later."),
    Cause.SERVER_SETTINGS: Meaning(
        Kind.SERVER,
        "What another session has is free when that one ends.  To connect without the default route: "
        f"{_override('redirect-optional yes')}; without DNS: {_override('dns-required no')}.  Show anything else to "
        "whoever runs the server.",
    ),
    Cause.SERVER_DEMANDS: Meaning(Kind.SERVER, "Show this to whoever runs the server."),
    Cause.PROFILE: Meaning(Kind.PROFILE),
    Cause.ENGINE_DIED: Meaning(Kind.SERVICE, "Try again; if it happens again, the service's log has details."),
    Cause.SERVICE_FAILED: Meaning(Kind.SERVICE, "The service's log has details."),
    Cause.UNKNOWN: Meaning(Kind.UNKNOWN, "The log has details (`ovpnctl log`)."),
}
