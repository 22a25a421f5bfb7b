"""What the engine's messages mean; lines as OpenVPN 2.4 to 2.7 write them."""

import pytest

from ...policy.causes import CAUSES, Cause
from ...worker.session.engine_messages import REASONS, TABLE, Weight, given_up, meaning

LINES = {
    "OpenSSL: error:0A000415:SSL routines::sslv3 alert certificate expired:SSL alert number 45": (
        Cause.CERTIFICATE_REFUSED,
        "certificate expired",
    ),
    "OpenSSL: error:14094418:SSL routines:ssl3_read_bytes:tlsv1 alert unknown ca": (
        Cause.CERTIFICATE_REFUSED,
        "unknown ca",
    ),
    "Received fatal SSL alert: bad certificate": (Cause.CERTIFICATE_REFUSED, "bad certificate"),
    "OpenSSL: error:0A00042E:SSL routines::tlsv1 alert protocol version:SSL alert number 70": (
        Cause.TLS_VERSION,
        "protocol version",
    ),
    "OpenSSL: error:0A000410:SSL routines::sslv3 alert handshake failure:SSL alert number 40": (
        Cause.TLS_CIPHER,
        "handshake failure",
    ),
    "OpenSSL: error:0A000438:SSL routines::tlsv1 alert internal error:SSL alert number 80": (
        Cause.SERVER_ENDED,
        "internal error",
    ),
    "OPTIONS ERROR: failed to negotiate cipher with server.  Add the server's cipher ('BF-CBC') to --data-ciphers": (
        Cause.DATA_CIPHER,
        "the server wants BF-CBC",
    ),
    "Error: pushed cipher not allowed - BF-CBC not in AES-256-GCM:AES-128-GCM": (Cause.DATA_CIPHER, "BF-CBC"),
    "VERIFY EKU ERROR": (Cause.SERVER_USAGE, "remote-cert-tls"),
    "VERIFY ERROR: depth=1, error=self-signed certificate in certificate chain: CN=portal, serial=7": (
        Cause.SERVER_AUTHORITY,
        "CN=portal",
    ),
    "TCP: connect to [AF_INET6]2001:db8::1:443 failed: Network is unreachable": (Cause.UNREACHABLE, "unreachable"),
    "HTTP proxy returned bad status": (Cause.PROXY_FAILED, "proxy"),
}


@pytest.mark.parametrize("line", LINES)
def test_what_a_line_means(line: str) -> None:
    cause, words = LINES[line]
    found = meaning(line, "198.51.100.1")
    assert found is not None and found.failure.cause is cause and words in found.failure.text


def test_a_line_that_is_no_error_means_nothing() -> None:
    assert meaning("VERIFY OK: depth=0, CN=server") is None
    found = meaning("something odd", is_error=True)
    assert found is not None and found.failure.text == "something odd" and found.weight is Weight.NONE


def test_what_a_server_writes_is_no_part_of_the_table() -> None:
    found = meaning("AUTH_FAILED,{where} {0} {9} %s", "198.51.100.1")
    assert found is not None and found.failure.text == "Authentication failed: {where} {0} {9} %s"
    assert meaning("VERIFY OK: depth=0, CN=VERIFY ERROR: certificate has expired") is None


def test_a_proxy_that_asks_or_lets_through_is_no_failure() -> None:
    assert meaning("HTTP proxy returned: 'HTTP/1.1 200 Connection established'") is None
    assert meaning("HTTP proxy returned: 'HTTP/1.1 407 Proxy Authentication Required'") is None
    refuses = meaning("HTTP proxy returned: 'HTTP/1.1 403 Forbidden'")
    assert refuses is not None and refuses.failure.text.endswith("'HTTP/1.1 403 Forbidden'")


def test_every_cause_is_explained_and_every_row_can_be_filled() -> None:
    assert set(CAUSES) == set(Cause)
    for row in TABLE:
        assert row.text.format("a", "b", where="c")
    for reason in (*REASONS, "something new"):
        assert given_up(reason).text
