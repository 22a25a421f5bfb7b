"""Notifications from the kernel that tables of nf_tables have been removed."""

import asyncio
import socket
from collections.abc import Callable

from . import nf_tables as nft
from . import nfnetlink
from .link_events import notifications

_NETLINK_NETFILTER = 12
_GROUP = 1 << 6  # the bit of NFNLGRP_NFTABLES
_DATAGRAM = 65536
_AT_ONCE = 16  # datagrams before others get the loop
_NAME_OF_PROGRAM = 3  # NFTA_GEN_PROC_NAME


class TableEvents:
    """Calls `removed` when a table may have been removed: whether it alone was, and by which program.

    One that is made anew in the same transaction has not been.
    """

    def __init__(self, table: str, removed: Callable[[bool, str], None]) -> None:
        self._table = table
        self._removed = removed
        self._socket: socket.socket | None = None
        self._gone = set[str]()  # in the transaction that is being read

    def start(self) -> None:
        """Begin to receive notifications, unless begun already.  Needs a running loop; raises SystemFailure."""
        if self._socket is not None:
            return
        listening = notifications(_GROUP, "changes of nf_tables", family=_NETLINK_NETFILTER)
        self._socket = listening
        asyncio.get_running_loop().add_reader(listening.fileno(), self._readable)

    def stop(self) -> None:
        """Receive no more notifications."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(_AT_ONCE):
            try:
                data, (port, _) = self._socket.recvfrom(_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:  # ENOBUFS: some are lost, and whose it was is not known
                self._gone.clear()
                self._removed(False, "another program")
                continue
            if port == 0:  # from the kernel
                self._read(data)

    def _read(self, data: bytes) -> None:
        for kind, attributes in nfnetlink.messages_in(data):
            if kind == nft.DELETE_TABLE:
                self._gone.add(_name(attributes))
            elif kind == nft.NEW_TABLE:
                self._gone.discard(_name(attributes))
            elif kind == nft.NEW_GENERATION:  # which ends a transaction
                gone, self._gone = self._gone, set()
                if self._table in gone:
                    name = attributes.get(_NAME_OF_PROGRAM, b"").rstrip(b"\0").decode(errors="replace")
                    self._removed(gone == {self._table}, ascii(name) if name else "another program")


def _name(attributes: dict[int, bytes]) -> str:
    return attributes.get(1, b"").rstrip(b"\0").decode(errors="replace")
