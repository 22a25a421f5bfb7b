"""Notifications from the kernel that tables of nf_tables have been removed."""

from collections.abc import Callable

from ...kernel.netlink.netlink_socket import NETLINK_NETFILTER
from ...kernel.netlink.wire import Attributes
from . import nf_tables as nft
from . import nfnetlink
from .notifications import Notifications

_GROUP = 1 << 6  # the bit of NFNLGRP_NFTABLES
_NAME_OF_PROGRAM = 3  # NFTA_GEN_PROC_NAME


class TableEvents(Notifications):
    """Calls `removed` when a table may have been removed: whether it alone was, and by which program.

    One that is made anew in the same transaction has not been.
    """

    def __init__(self, table: str, removed: Callable[[bool, str], None]) -> None:
        super().__init__(_GROUP, "changes of nf_tables", NETLINK_NETFILTER)
        self._table = table
        self._removed = removed
        self._gone = set[str]()  # in the transaction that is being read

    def _lost(self) -> None:
        """Whose it was is not known."""
        self._gone.clear()
        self._removed(False, "another program")

    def _read_all(self) -> None:
        pass  # what was lost has been told

    def _read(self, data: bytes) -> None:
        for kind, attributes in nfnetlink.messages_in(data):
            if kind == nft.DELETE_TABLE:
                self._gone.add(_name(attributes))
            elif kind == nft.NEW_TABLE:
                self._gone.discard(_name(attributes))
            elif kind == nft.NEW_GENERATION:  # which ends a transaction
                gone, self._gone = self._gone, set()
                if self._table in gone:
                    name = attributes.text(_NAME_OF_PROGRAM)
                    self._removed(gone == {self._table}, ascii(name) if name else "another program")


def _name(attributes: Attributes) -> str:
    return attributes.text(1)
