"""Notifications from the kernel over netlink(7), on a socket that the loop reads."""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable

from ...kernel.netlink.netlink_socket import DATAGRAM
from ...kernel.netlink.wire import Malformed
from ..errors import SystemFailure

_AT_ONCE = 16  # datagrams before others get the loop


def listen(
    groups: int,
    what: str,
    prepare: Callable[[socket.socket], None] = lambda _: None,
    family: int = socket.NETLINK_ROUTE,
) -> socket.socket:
    """A socket that receives these groups of the kernel's notifications; `prepare` is called before the first can come.

    `groups` is a mask of bits, of a family of netlink(7).  Raises SystemFailure, which says what cannot be heard of.
    """
    try:
        listening = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, family
        )
        try:
            prepare(listening)
            listening.bind((0, groups))
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise SystemFailure(f"cannot listen for {what}: {error.strerror}") from error
    return listening


class Notifications(ABC):
    """Those of some groups; subclasses say what is made of them."""

    def __init__(self, groups: int, what: str, family: int = socket.NETLINK_ROUTE) -> None:
        """As for `listen`."""
        self._groups, self._what, self._family = groups, what, family
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Begin to receive notifications, unless begun already.  Needs a running loop; raises SystemFailure."""
        if self._socket is None:
            self._socket = listen(self._groups, self._what, family=self._family)
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._readable)

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
                data, (port, _) = self._socket.recvfrom(DATAGRAM)
            except BlockingIOError:
                self._read_all()
                break
            except OSError:
                # ENOBUFS: some are lost.  The kernel says so once until all that it kept is read, and may lose more up
                # to then (netlink_overrun in its net/netlink/af_netlink.c).
                self._lost()
                continue
            if port == 0:  # from the kernel
                try:
                    self._read(data)
                except Malformed:
                    self._lost()

    @abstractmethod
    def _read(self, data: bytes) -> None:
        """A datagram has come.  Raises Malformed if it is not whole: what it told is lost then."""

    @abstractmethod
    def _lost(self) -> None:
        """Some have been lost."""

    @abstractmethod
    def _read_all(self) -> None:
        """For now there are no more."""
