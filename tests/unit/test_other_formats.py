"""Files that are no profile: each is called what it is, with what to do, before and after it is imported."""

import pytest

from ...policy.profile.other_formats import other_format
from ...policy.profile.syntax import decode, tokenize
from ...policy.profile.validity import problem
from ...worker.profile.verdict import verdict

WEB_PAGE = """<!DOCTYPE html>
<html><head><title>Login</title></head><body onload='go("x")'>
<p>It's free</p>
</body></html>
"""
WIREGUARD = """# home
[Interface]
PrivateKey = AAAA
Address = 192.0.2.2/24

[Peer]
Endpoint = vpn.example:51820
"""
NETWORK_MANAGER = """[connection]
id=office
type=vpn

[vpn]
service-type=org.freedesktop.NetworkManager.openvpn
remote=vpn.example
"""
UNIT = """[Unit]
Description=OpenVPN tunnel for %I

[Service]
ExecStart=/usr/sbin/openvpn --config %i.conf
"""
PASSWD = "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
PKCS12 = bytes.fromhex("30820a3c02010330820a0206092a864886f70d010701a08209f3048209ef")
REAL = "client\ndev tun\nremote vpn.example\n<ca>\nCA\n</ca>\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (WEB_PAGE.encode(), ["web page", "log in there"]),
        (b"<html>\n", ["web page"]),
        (WIREGUARD.encode(), ["WireGuard", "wg-quick"]),
        (NETWORK_MANAGER.encode(), ["NetworkManager", "nmcli connection export"]),
        (UNIT.encode(), ["systemd"]),
        (b"[main]\nHost=vpn.example\n", ["another program", "[main]"]),
        (PKCS12, ["binary form", "pkcs12"]),
        (b"PK\x03\x04\x14\0\0\0", ["ZIP", "unpack"]),
        (b"\x1f\x8b\x08\0\0\0", ["compressed", "gunzip"]),
        (b"\x7fELF\x02\x01\x01\0\0\0\0", ["binary data"]),
        (bytes(range(128, 256)), ["binary data"]),
        (REAL.encode("utf-16"), ["UTF-16", "iconv"]),
        (REAL.encode("utf-16-be"), ["UTF-16", "iconv"]),
        (b'{"type": "vpn"}', ["JSON"]),
        (b'<?xml version="1.0"?>\n<plist>\n</plist>\n', ["XML", ".ovpn"]),
        (b"https://vpn.example/profile.ovpn\n", ["a link"]),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", ["CERTIFICATE", "<ca>"]),
        (b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", ["RSA PRIVATE KEY", "<key>"]),
        (PASSWD.encode(), ["is this a profile?"]),
        (b"just some words\n", ["is this a profile?"]),
        (b"", ["is empty", "--remote"]),
        (b"# nothing\n", ["is empty"]),
    ],
)
def test_what_is_no_profile_is_called_what_it_is(content: bytes, words: list[str]) -> None:
    found = verdict(content)
    [refused] = found.refused[:1]
    assert all(word in refused.reason for word in words)
    assert not refused.line and refused.reason.isprintable()


@pytest.mark.parametrize("before", ["", "# [Interface]\n", "\n\n;{\n", "# https://vpn.example/\n", "\ufeff"])
def test_a_profile_is_one(before: str) -> None:
    text = before + REAL
    assert other_format(text) == "" and problem(text, tokenize(text)) is None


def test_a_profile_is_a_profile_whatever_else_it_may_look_like() -> None:
    text = "[Interface]\n" + REAL
    assert problem(text, tokenize(text)) is None


def test_what_is_missing_from_a_profile_is_said_in_the_words_of_the_original() -> None:
    text = "client\ndev tun\n"
    said = "Configuration profile is missing required options: --ca, --remote"
    assert problem(text, tokenize(text)) == said


_CA = "CERTIFICATE"


def test_latin1_in_a_comment_or_before_a_certificate_is_no_obstacle() -> None:
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    text = REAL.replace("CA\n", f"Aussteller: M\u00fcller\n{pem}")
    content = f"# f\u00fcr B\u00fcro\nsetenv FRIENDLY_NAME B\u00fcro\n{text}".encode("latin-1")
    assert not verdict(content).refused
    assert problem(decode(content), tokenize(decode(content))) is None
