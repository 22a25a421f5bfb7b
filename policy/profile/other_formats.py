"""Files that are taken for a profile: what they are, and what to do instead."""

import re

_HEAD = 4096  # characters that are looked at
_BINARY = "this is binary data, not an OpenVPN profile, which is a text (.ovpn, .conf)"
_UTF16 = "this is UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8 FILE)"

# How a file begins; U+FFFD is any byte that is not UTF-8.
_BEGINNINGS = {
    "PK\x03\x04": "a ZIP archive or a document; unpack it, or save it as plain text",
    "\x1f\ufffd": "a compressed file; unpack it with gunzip or tar",
    "%PDF": "a PDF document; ask for the profile as a file of its own (.ovpn)",
    "{\\rtf": "a document with formats (RTF); save it as plain text",
    "{": "JSON; ask for an OpenVPN profile (.ovpn)",
    "<?xml": "XML, as Apple's and Android's configuration profiles are; ask for an OpenVPN profile (.ovpn)",
    "http://": "a link; download what it leads to",
    "https://": "a link; download what it leads to",
    "openvpn://": "a link; download what it leads to",
}
_KEYFILE = "a connection of NetworkManager; save its profile with nmcli connection export NAME FILE"
_SECTIONS = {
    **dict.fromkeys(
        ("interface", "peer"),
        "a configuration of WireGuard; use wg-quick(8), or ask for an OpenVPN profile (.ovpn)",
    ),
    **dict.fromkeys(("connection", "vpn", "vpn-secrets", "ipv4", "ipv6"), _KEYFILE),
    **dict.fromkeys(
        ("unit", "service", "install", "socket", "timer", "match", "netdev", "network"),
        "a file of systemd; the profile is another file, which it may name",
    ),
}
_WEB_PAGE = (
    "a web page (HTML): perhaps a login page came in place of the profile, of its site or of the network that you are "
    "in; log in there in a browser, and download it again"
)
_DER = "a key or certificates in binary form; name it in a profile by pkcs12 FILE (.p12, .pfx), and import that"
_PEM = "a {}; put it into a profile, between <{}> and </{}>"
_BLOCKS = {
    "CERTIFICATE": "ca",
    "PRIVATE KEY": "key",
    "OpenVPN Static key V1": "tls-auth",
    "OpenVPN tls-crypt-v2 client key": "tls-crypt-v2",
    "X509 CRL": "crl-verify",
}

_HTML = re.compile(r"<(!doctype html|html|head|body|script|meta|title)\b", re.IGNORECASE)
_SECTION = re.compile(r"\[\s*([A-Za-z][\w .-]{0,60})\]\s*$", re.ASCII)
_LABEL = re.compile(r"-----BEGIN ([A-Za-z0-9][A-Za-z0-9 -]{0,60})-----")


def other_format(text: str) -> str:
    """What the file with this text is in place of a profile, and what to do; empty if it is none that is known."""
    head = text[:_HEAD].removeprefix("\ufeff")
    if head.startswith("0") and "\ufffd" in head[1:3]:
        return _not_a_profile(_DER)
    for beginning, what in _BEGINNINGS.items():
        if head.lstrip(" \t\r\n").startswith(beginning):
            return _not_a_profile(what)
    if head.count("\0") > len(head) // 4 and _in_two_bytes(head):
        return _UTF16
    if "\0" in head or head.count("\ufffd") > len(head) // 4:
        return _BINARY
    first = next((line.strip() for line in head.split("\n") if line.strip() and line.lstrip()[0] not in "#;"), "")
    if _HTML.match(first):
        return _not_a_profile(_WEB_PAGE)
    if section := _SECTION.match(first):
        name = section[1].lower()
        return _not_a_profile(_SECTIONS.get(name) or f"a file of another program, with a section [{section[1]}]")
    if label := _LABEL.match(first):
        block = next((block for end, block in _BLOCKS.items() if label[1].endswith(end)), "")
        return _not_a_profile(_PEM.format(label[1], block, block)) if block else ""
    return ""


def _in_two_bytes(head: str) -> bool:
    """Whether every second byte is 0, as it is in most text in UTF-16; a byte order mark became two U+FFFD."""
    units = head.removeprefix("\ufffd\ufffd")
    return not units[::2].strip("\0") or not units[1::2].strip("\0")


def _not_a_profile(what: str) -> str:
    return f"this is no OpenVPN profile but {what}"
