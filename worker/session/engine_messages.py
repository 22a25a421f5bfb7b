"""What the engine's messages mean: one table, by how a line begins and what it holds.

The texts of the table are for users; {0}, {1} are what the row's pattern finds in the line, {where} is the address that
the engine last spoke of.  What to do about each cause says policy/causes.py.
"""

import re
from enum import IntEnum

import msgspec

from ...policy.causes import CAUSES, Cause, Failure, Kind


class Weight(IntEnum):
    """How much a message says about why an attempt fails; of two with the same weight the first is the cause."""

    NONE = 0  # an error that the table does not know, or a mere consequence of others
    WARNING = 1  # the server will probably not answer, and not say why
    NETWORK = 2  # the attempt may come about all the same
    CERTAIN = 3


class Meaning(msgspec.Struct, frozen=True):
    """What a message means for the attempt under way."""

    failure: Failure
    weight: Weight
    hopeless: bool = False  # this server will not do, however often it is tried


class _Row(msgspec.Struct, frozen=True):
    begins: str
    holds: str
    cause: Cause
    text: str
    pattern: str
    hopeless: bool
    weight: Weight


TABLE: list[_Row] = []


def _row(begins: str, cause: Cause, text: str, *, holds: str = "", pattern: str = "", hopeless: bool = False) -> None:
    weight = Weight.NETWORK if CAUSES[cause].kind is Kind.NETWORK else Weight.CERTAIN
    TABLE.append(_Row(begins, holds, cause, text, pattern, hopeless, weight))


def _warning(begins: str, cause: Cause, text: str) -> None:
    TABLE.append(_Row(begins, "", cause, text, "", False, Weight.WARNING))


def _never(begins: str, cause: Cause, text: str, *, holds: str = "", pattern: str = "") -> None:
    _row(begins, cause, text, holds=holds, pattern=pattern, hopeless=True)


# The server's certificate.

_never(
    "VERIFY X509NAME ERROR: ", Cause.SERVER_NAME,
    "The server's certificate is for {0}, not for {1} as the profile wants (verify-x509-name)",
    pattern="ERROR: (.*), must be (.*)",
)  # fmt: skip
_USAGE = "The server's certificate is not for the use that the profile wants (remote-cert-tls, -ku or -eku)"
for _begins in ("Certificate does not have key usage", "Certificate does not have extended key usage",
                "VERIFY KU ERROR", "VERIFY EKU ERROR", "VERIFY nsCertType ERROR"):  # fmt: skip
    _never(_begins, Cause.SERVER_USAGE, _USAGE)
_never(
    "ERROR: Certificate has key usage", Cause.SERVER_USAGE,
    "The server's certificate has the key usage {0}, not one that the profile wants (remote-cert-ku)",
    pattern=r"usage (\w+)",
)  # fmt: skip
_never(
    "TLS Error: --tls-verify/--peer-fingerprint", Cause.SERVER_FINGERPRINT,
    "The server's certificate has the fingerprint {0}, which the profile does not list (peer-fingerprint)",
    pattern=r"fingerprint: ([0-9A-Fa-f:]+)",
)  # fmt: skip
_WHOSE = r"(.*?)(?:, serial=\w+)?$"  # users look for the engine's words
for _holds, _cause, _text in (
    ("CRL has expired", Cause.REVOCATION_LIST, "The profile's revocation list (crl-verify) has expired"),
    ("CRL is not yet valid", Cause.REVOCATION_LIST, "The profile's revocation list (crl-verify) is not valid yet"),
    ("CRL", Cause.REVOCATION_LIST, "The profile's revocation list (crl-verify) is not that of the server's authority"),
    ("certificate has expired", Cause.SERVER_DATES, "The server's certificate, or its authority's, has expired: {0}"),
    ("not yet valid", Cause.SERVER_DATES, "The server's certificate, or its authority's, is not valid yet: {0}"),
    ("certificate revoked", Cause.SERVER_REVOKED, "The server's certificate has been revoked: {0}"),
    ("purpose", Cause.SERVER_USAGE, "The server's certificate is not one for a server (remote-cert-tls): {0}"),
    ("too weak", Cause.SERVER_WEAK, "The server's certificate, or its authority's, is too weak: {0}"),
    ("signature failure", Cause.SERVER_AUTHORITY, "The server's certificate is not from the profile's authority: {0}"),
    ("issuer", Cause.SERVER_AUTHORITY, "The server's certificate is not from the profile's authority: {0}"),
    ("self-signed", Cause.SERVER_AUTHORITY, "The server's certificate is not from the profile's authority: {0}"),
    ("self signed", Cause.SERVER_AUTHORITY, "The server's certificate is not from the profile's authority: {0}"),
    ("unable to verify", Cause.SERVER_AUTHORITY, "The server's certificate is not from the profile's authority: {0}"),
):
    _never("VERIFY ERROR", _cause, _text, holds=_holds, pattern=_WHOSE)
_never("VERIFY ERROR", Cause.SERVER_CERTIFICATE, "The server's certificate is not accepted: {0}", pattern=_WHOSE)

# What the server says of the profile's certificate, and of the TLS connection (RFC 8446, alerts).  A server that does
# not like a certificate most often says nothing.

_REFUSED = "The server does not accept the profile's certificate: {0}"
for _holds in ("certificate", "unknown ca", "unknown CA", "access denied"):
    _never("Received fatal SSL alert: ", Cause.CERTIFICATE_REFUSED, _REFUSED, holds=_holds, pattern="alert: (.*)")
    _never("OpenSSL: ", Cause.CERTIFICATE_REFUSED, _REFUSED, holds=f" alert {_holds}", pattern="alert ([^:]*)")
    _never("OpenSSL: ", Cause.CERTIFICATE_REFUSED, _REFUSED, holds=f" alert bad {_holds}", pattern="alert ([^:]*)")
    _never(
        "OpenSSL: ", Cause.CERTIFICATE_REFUSED, _REFUSED, holds=f" alert unsupported {_holds}", pattern="alert ([^:]*)"
    )
_VERSION = "Server and profile have no TLS version in common: {0}"
_CIPHER = "Server and profile have no TLS cipher or group in common: {0}"
for _holds in ("protocol version", "unsupported protocol", "wrong version", "no protocols available"):
    _never("OpenSSL: ", Cause.TLS_VERSION, _VERSION, holds=_holds, pattern="(?:routines:|::)([^:]+):")
    _never("Received fatal SSL alert: ", Cause.TLS_VERSION, _VERSION, holds=_holds, pattern="alert: (.*)")
for _holds in ("handshake failure", "no shared cipher", "no ciphers available", "insufficient security", "no suitable",
               "dh key too small"):  # fmt: skip
    _never("OpenSSL: ", Cause.TLS_CIPHER, _CIPHER, holds=_holds, pattern="(?:routines:|::)([^:]+):")
    _never("Received fatal SSL alert: ", Cause.TLS_CIPHER, _CIPHER, holds=_holds, pattern="alert: (.*)")
_BROKEN_OFF = "The server broke the TLS handshake off: {0}"
_never("OpenSSL: ", Cause.SERVER_ENDED, _BROKEN_OFF, holds=" alert ", pattern="alert ([^:]*)")
_never("Received fatal SSL alert: ", Cause.SERVER_ENDED, _BROKEN_OFF, pattern="alert: (.*)")

# The profile's own certificate and key, when the engine loads them.

_WEAK = "A certificate in the profile is too weak: {0}"
_row("OpenSSL: ", Cause.CERTIFICATE_WEAK, _WEAK, holds="key too small", pattern="(?:routines:|::)([^:]+):")
_row("OpenSSL: ", Cause.CERTIFICATE_WEAK, _WEAK, holds="md too weak", pattern="(?:routines:|::)([^:]+):")
_row(
    "OpenSSL: ", Cause.CERTIFICATE_UNUSABLE, "Certificate and private key of the profile do not belong together",
    holds="key values mismatch",
)  # fmt: skip
_row("Cannot load certificate", Cause.TOKEN_UNUSABLE, "{0}", holds="using PKCS#11 interface", pattern="(.*)")
for _begins in ("Cannot load inline certificate", "Cannot load certificate", "Cannot load CA", "Cannot add extra"):
    _row(_begins, Cause.CERTIFICATE_UNUSABLE, "A certificate cannot be read: {0}", pattern="(.*)")
_warning("WARNING: Your certificate has expired", Cause.CERTIFICATE_DATES, "Your certificate has expired")
_warning("WARNING: Your certificate is not yet valid", Cause.CERTIFICATE_DATES, "Your certificate is not valid yet")

# What server and profile have to agree on.

_never("Compression is not allowed", Cause.COMPRESSION, "The server wants compression, which is not allowed")
_never(
    "OPTIONS ERROR: server pushed compression", Cause.COMPRESSION, "The server wants compression, which is not allowed"
)
_NO_CIPHER = "Server and profile have no data cipher in common"
_never("AUTH_FAILED,Data channel cipher negotiation failed", Cause.DATA_CIPHER, f"{_NO_CIPHER} (no shared cipher)")
_never(
    "OPTIONS ERROR: failed to negotiate cipher", Cause.DATA_CIPHER, f"{_NO_CIPHER}: the server wants {{0}}",
    pattern=r"cipher \('(.*?)'\)",
)  # fmt: skip
for _begins in ("Error: pushed cipher not allowed", "Error: negotiated cipher not allowed"):
    _never(_begins, Cause.DATA_CIPHER, f"{_NO_CIPHER}: the server wants {{0}}", pattern="allowed - (.*) not in")
_row("Cipher ", Cause.DATA_CIPHER, "This machine's OpenSSL does not offer the cipher {0}",
     holds=" not supported", pattern="Cipher (.*) not")  # fmt: skip
_row("Cipher algorithm ", Cause.DATA_CIPHER, "This machine's OpenSSL does not offer the cipher {0}",
     holds="not found", pattern="algorithm '(.*)'")  # fmt: skip

# The server's words about a login.

_row(
    "AUTH_FAILED,TEMP", Cause.SERVER_ENDED, "The server lets nobody in for now: {0}", pattern=r"TEMP(?:\[.*?\])?:?(.*)"
)
_row("AUTH_FAILED,", Cause.LOGIN_REFUSED, "Authentication failed: {0}", pattern=",(.+)")
_row("AUTH_FAILED", Cause.CREDENTIALS_REFUSED, "Authentication failed")

# The way to the server.

for _begins in ("TCP: connect to ", "read UDP", "write UDP", "read TCP", "write TCP"):
    _row(_begins, Cause.CONNECTION_REFUSED, "Connection refused by {where}", holds="Connection refused")
    for _holds in ("Network is unreachable", "No route to host", "Network unreachable", "Cannot assign"):
        _row(_begins, Cause.UNREACHABLE, f"{{where}} cannot be reached: {_holds}", holds=_holds)
    _row(_begins, Cause.UNREACHABLE, "This machine's firewall lets nothing through to {where}", holds="not permitted")
    _row(_begins, Cause.NO_ANSWER, "No answer from {where}", holds="timed out")
_row("Network unreachable, restarting", Cause.UNREACHABLE, "{where} cannot be reached: Network is unreachable")
_row("Connection reset, restarting", Cause.CONNECTION_LOST, "{where} closed the connection")
_NO_OPENVPN = "What answers at {where} is no OpenVPN server"
_row("TLS Error: client->client or server->server", Cause.CONNECTION_LOST, _NO_OPENVPN)
_row("WARNING: Bad encapsulated packet length", Cause.CONNECTION_LOST, _NO_OPENVPN)
_FELL_SILENT = "{where} answers, but did not finish the TLS handshake"
_row("TLS Error: TLS key negotiation failed to occur", Cause.HANDSHAKE_FAILED, _FELL_SILENT)
_row("No reply from server", Cause.HANDSHAKE_FAILED, "{where} accepts the login, but sends no settings")
for _begins in ("TLS Error: cannot locate HMAC", "TLS Error: incoming packet authentication failed",
                "TLS Error: tls-crypt unwrapping failed", "tls-crypt unwrap error"):  # fmt: skip
    _row(_begins, Cause.TLS_KEY, "The profile's tls-auth or tls-crypt key is not that of {where}")
_row("HTTP proxy returned bad status", Cause.PROXY_FAILED, "The HTTP proxy does not let the connection through")
_row("HTTP proxy returned", Cause.PROXY_FAILED, "The HTTP proxy does not let the connection through: {0}",
     pattern=r"returned(?!:? *'HTTP/\S+ (?:2|407)):? *(.*)")  # fmt: skip  # 2xx is success, 407 asks for credentials
for _begins in ("recv_line: TCP port read", "recv_socks_reply:", "socks_handshake:", "socks_username_password_auth:"):
    _row(_begins, Cause.PROXY_FAILED, "The proxy does not answer as a proxy should: {0}", pattern=": (.*)")

# Why the engine says it gives an attempt up, where no message told more.

REASONS: dict[str, tuple[Cause, str]] = {
    "server_poll": (Cause.NO_ANSWER, "No answer from {where}"),
    "tls-error": (Cause.HANDSHAKE_FAILED, "The TLS handshake with {where} failed"),
    "ping-restart": (Cause.CONNECTION_LOST, "{where} has stopped answering"),
    "connection-reset": (Cause.CONNECTION_LOST, "{where} closed the connection"),
    "connection-failed": (Cause.NO_ANSWER, "No connection to {where}"),
    "network-unreachable": (Cause.UNREACHABLE, "{where} cannot be reached"),
    "no-push-reply": (Cause.HANDSHAKE_FAILED, "{where} accepts the login, but sends no settings"),
    "process-push-msg-failed": (Cause.SERVER_SETTINGS, "The settings that {where} sends cannot be used"),
    "remote-exit": (Cause.SERVER_ENDED, "{where} ended the connection"),
    "server-pushed-connection-reset": (Cause.SERVER_ENDED, "{where} ended the connection"),
    "auth-failure": (Cause.CREDENTIALS_REFUSED, "Authentication failed"),
}
# Without a name or address, as while the proxy or no server is known.
_SOMEWHERE = "the server"


def meaning(line: str, where: str = "", *, is_error: bool = False) -> Meaning | None:
    """What a line of the engine's log, or a server's answer to a login, means; nothing if it is no error.

    `is_error` says that the engine calls the line one.
    """
    for row in TABLE:
        if line.startswith(row.begins) and row.holds in line:
            found = re.search(row.pattern, line) if row.pattern else None
            if row.pattern and found is None:
                continue
            groups = found.groups() if found else ()
            return Meaning(Failure(row.cause, _filled(row.text, groups, where)), row.weight, row.hopeless)
    return Meaning(Failure(Cause.UNKNOWN, line), Weight.NONE) if is_error else None


def given_up(reason: str, where: str = "", error: str = "") -> Failure:
    """Why an attempt failed that the engine gave up for `reason`; `error` is the first that was not understood."""
    cause, text = REASONS.get(reason, (Cause.UNKNOWN, "The attempt to connect failed ({})"))
    text = _filled(text, (reason,), where)
    return Failure(cause, f"{text}: {error}" if error else text)


def _filled(text: str, groups: tuple[str, ...], where: str) -> str:
    filled = text.format(*groups, where=where or _SOMEWHERE)
    return filled[:1].upper() + filled[1:]
