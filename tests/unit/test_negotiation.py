"""What engine and server have agreed on, read from the engine's log."""

from ipaddress import ip_address

import pytest

from ...ipc.messages import Negotiated
from ...policy.reports import are_gateways, is_algorithm
from ...worker.session.negotiation import Negotiation


def heard(*lines: str) -> Negotiated | None:
    negotiation = Negotiation()
    for line in lines:
        negotiation.heard(line)
    return negotiation.news()


@pytest.mark.parametrize(
    ("line", "tls"),
    [
        (
            "Control Channel: TLSv1.3, cipher TLSv1.3 TLS_AES_256_GCM_SHA384, peer certificate: 256 bits ECprime256v1",
            "TLSv1.3 TLS_AES_256_GCM_SHA384",
        ),
        (
            "Control Channel: TLSv1.2, cipher TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384, 2048 bit RSA",
            "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384",
        ),
        ("Control Channel: TLSv1.3, cipher TLS_AES_256_GCM_SHA384", "TLSv1.3 TLS_AES_256_GCM_SHA384"),
        ("Control Channel: TLSv1.3, cipher \x1b[2J", ""),
        (f"Control Channel: TLSv1.3, cipher {'A' * 200}", ""),
    ],
)
def test_the_control_channel(line: str, tls: str) -> None:
    found = heard(line)
    assert found is not None and (found.tls, found.cipher) == (tls, "") and found.handshake > 1_700_000_000


@pytest.mark.parametrize(
    ("line", "cipher"),
    [
        ("Data Channel: cipher 'AES-256-GCM', peer-id: 0", "AES-256-GCM"),
        ("Outgoing Data Channel: Cipher 'AES-128-CBC' initialized with 128 bit key", "AES-128-CBC"),
        ("Data Channel: cipher 'CHACHA20-POLY1305', auth '[null-digest]', peer-id: 3", "CHACHA20-POLY1305"),
    ],
)
def test_the_data_channel(line: str, cipher: str) -> None:
    assert heard(line) == Negotiated(0, "", cipher, ())


def test_nothing_is_told_twice() -> None:
    negotiation = Negotiation()
    negotiation.heard("Data Channel MTU parms [ mss_fix:1369 ]")
    assert negotiation.news() is None
    negotiation.heard("Data Channel: cipher 'AES-256-GCM'")
    negotiation.device_up(map(ip_address, ("198.18.0.1", "198.18.0.9", "fe80::1%tun0", "2001:db8::1")))
    found = negotiation.news()
    assert found == Negotiated(0, "", "AES-256-GCM", ("198.18.0.1", "2001:db8::1"))
    assert is_algorithm(found.cipher) and are_gateways(found.gateways)
    negotiation.heard("Data Channel: cipher 'AES-256-GCM'")
    assert negotiation.news() is None
