"""What the kernel says of links, read: messages of rtnetlink(7), whole, several at once, and malformed."""

import socket
import struct

import pytest

from ...kernel.netlink.wire import Malformed
from ...supervisor.network.link_events import removed_links

NEWLINK, DELLINK, BRIDGE = 16, 17, 7


def message(
    kind: int, index: int, *, family: int = socket.AF_UNSPEC, attributes: bytes = b"", length: int = 0
) -> bytes:
    body = struct.pack("=BxHiII", family, 65534, index, 0, 0) + attributes
    whole = struct.pack("=IHHII", length or 16 + len(body), kind, 0, 0, 0) + body
    return whole + bytes(-len(whole) % 4)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", []),
        (message(DELLINK, 7), [7]),
        (message(NEWLINK, 7), []),
        (message(DELLINK, 7, family=BRIDGE), []),
        # The next message begins at a multiple of four.
        (message(DELLINK, 7, attributes=b"odd") + message(NEWLINK, 8) + message(DELLINK, 9), [7, 9]),
    ],
)
def test_removed_links(data: bytes, found: list[int]) -> None:
    assert list(removed_links(data)) == found


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (message(DELLINK, 7) + message(DELLINK, 8)[:20], [7]),
        (message(DELLINK, 7) + message(DELLINK, 8, length=15) + message(DELLINK, 9), [7]),
        (message(DELLINK, 7, length=500), []),
        (struct.pack("=IHHII", 16, DELLINK, 0, 0, 0) + message(DELLINK, 9), []),
        (struct.pack("=IHHII", 16, DELLINK, 0, 0, 0), []),
        (struct.pack("=I", 4) + message(DELLINK, 9), []),
    ],
)
def test_what_is_malformed_is_said(data: bytes, found: list[int]) -> None:
    """After what comes before it."""
    read = removed_links(data)
    assert [next(read) for _ in found] == found
    with pytest.raises(Malformed):
        next(read)
