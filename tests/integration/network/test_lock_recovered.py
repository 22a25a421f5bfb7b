"""The kill switch's table on the real kernel, where not all goes well; each test in namespaces of its own."""

import struct
from pathlib import Path

import pytest

from ....supervisor.errors import SystemFailure
from ....supervisor.network import nfnetlink
from ....supervisor.network.locking import lock_rules
from ....supervisor.network.locking.lock import MachineLock
from ....supervisor.network.locking.lock_rules import Hold, Terms
from ....supervisor.network.locking.sockets import Peer, Sockets
from ...support.isolated import isolated, shell

_HOLD = Hold(user=1000, session="s1", since=1)
_MOST_SENT = Path("/proc/sys/net/core/wmem_max")
_ELEMENT = 20  # bytes of a batch, for each connection


@isolated
async def test_connections_cannot_be_told_at_the_next_start(tmp_path: Path) -> None:
    """Then what an earlier instance has locked stays so."""
    MachineLock(Terms(), lambda: ()).hold(_HOLD, lambda other: False)
    (damaged := tmp_path / "ports").touch()
    shell(f"mount --bind {damaged} /proc/sys/net/ipv4/ip_local_port_range")
    later = MachineLock(Terms(), lambda: ())
    with pytest.raises(SystemFailure, match="cannot be told"):
        later.recover()
    assert lock_rules.holds_in_force() == [_HOLD] == list(later.holds)
    later.end(lambda hold: True)
    assert lock_rules.holds_in_force() is None


@isolated
async def test_more_connections_than_a_user_may_send_at_once(tmp_path: Path) -> None:
    count = 2 * int(_MOST_SENT.read_text()) // _ELEMENT + 1000
    accepted = frozenset(Peer(struct.pack("!I", 0xC0000200 + one // 60000), one % 60000, 22) for one in range(count))
    nfnetlink.send(lock_rules.closed(Terms(), [_HOLD], [], 0))
    nfnetlink.send(lock_rules.answering(Sockets(accepted, frozenset())))
    assert lock_rules.holds_in_force() == [_HOLD]
    lock_rules.unlock()
