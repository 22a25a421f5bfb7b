"""What is in force of a session, as ovpnctl shows it."""

from typing import Any

from ...ctl.show import connected_text
from ...ctl.status_view import brief_text, full_text, status_json

PATH = "/net/openvpn/v3/sessions/s"
CONNECTED = {
    "config_name": "work",
    "status": (2, 7, ""),
    "owner": 0,
    "device_name": "tun0",
    "connected_to": ("udp", "2001:db8::1", 1194),
    "session_name": "vpn.example",
}
IN_FORCE: dict[str, Any] = {
    "connected_since": 1_700_000_000,
    "last_handshake": 1_700_000_000,
    "tls": "",
    "cipher": "AES-256-GCM",
    "mtu": 1400,
    "addresses": ["198.18.0.2/32"],
    "gateways": [],
    "routes": [("192.0.2.0/24", "past", 7, 254), ("::/0", "unreachable", 1024, 5300)],
    "more_routes": 3,
    "rules": [],
    "default_route": ["IPv4"],
    "name_servers": ["203.0.113.1"],
    "domains": [".", "~corp.example"],
    "pending": [("route 10.0.0.0/8", "another session of the same user has it")],
    "more_pending": 2,
    "unknown": ["systemd-resolved:\x1b[2J"],
}


def test_all_of_it() -> None:
    notices = ["route 10.0.0.0/8 is pending: another session of the same user has it", "option x is ignored"]
    text = full_text(status_json(PATH, CONNECTED, {"notices": notices, "dns_backend": "resolvconf"}, IN_FORCE))
    for line in (
        "        Server: [2001:db8::1]:1194 (vpn.example) over udp",
        " Default route: IPv4 through the tunnel, IPv6 leads nowhere",
        "        Routes: 192.0.2.0/24, past the tunnel, metric 7",
        "                and 3 more",
        "           DNS: 203.0.113.1 for all names, ~corp.example, set by resolvconf",
        "  Not in force: route 10.0.0.0/8: another session of the same user has it",
        "                and 2 more",
        "       Notices: option x is ignored",
        "     Not known: systemd-resolved:\N{REPLACEMENT CHARACTER}[2J",
    ):
        assert line in text.splitlines()


def test_a_session_that_waits_for_the_default_route() -> None:
    waits = IN_FORCE | {"default_route": [], "pending": [("default route", "another session of the same user has it")]}
    assert " Default route: not through this tunnel\n" in full_text(status_json(PATH, CONNECTED, {}, waits))


def test_another_session_manager_tells_less() -> None:
    shown = status_json(PATH, CONNECTED, {}, {})
    assert (shown["connected"], shown["routes"], shown["addresses"], shown["not_in_force"]) == (True, None, None, None)
    assert " Default route: not known\n" in full_text(shown)
    assert brief_text(shown).startswith("work: connected on tun0\n")


def test_what_to_do_about_one_that_is_not_connected() -> None:
    error = {"last_error": ("no-answer", "The server does not answer", "Look whether the network works.")}
    shown = status_json(PATH, CONNECTED | {"status": (2, 11, "The server does not answer")}, error, {})
    assert not shown["connected"] and shown["last_error"]["cause"] == "no-answer"
    for text in (brief_text(shown), full_text(shown)):
        assert text.count("The server does not answer\n") == text.count("The server does not answer") == 1
        assert "Look whether the network works." in text


def test_a_server_without_a_name_is_shown_once() -> None:
    properties = CONNECTED | {"session_name": "2001:db8::1"}
    assert "Server: [2001:db8::1]:1194 over udp\n" in full_text(status_json(PATH, properties, {}, {}))
    assert connected_text(properties) == "Connected to 2001:db8::1"
    assert connected_text(CONNECTED) == "Connected to 2001:db8::1 (vpn.example)"
