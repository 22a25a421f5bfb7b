"""The transport to the bus, with an outgoing queue.

dbus-fast closes the connection when the socket takes no more data (EAGAIN), which a burst of signals is enough for.
Here messages wait in a queue instead.  A single message is written at once, for latency; those of a burst are written
together at the end of the event loop's iteration, many to a system call.

What is sent to a connection that has called us is charged to it first (`budget.py`), so that the queue has a bound.  A
bus that takes nothing for a while is waited for (`stall.py`).  What comes is judged before it is read (`inbound.py`).

When the connection is lost, `lost` is resolved with the reason, calls that wait for a reply fail, and so do new ones,
until it has been made anew (`rejoin`).
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Self, cast

from dbus_fast import AuthError, InvalidAddressError, Message, MessageType
from dbus_fast.aio import MessageBus

from ...policy.limits import (
    BUS_BACKLOG_HARD,
    BUS_BACKLOG_SOFT,
    BUS_CALL_DEADLINE,
    MAX_BUS_MESSAGE,
)
from ..errors import SystemFailure
from .budget import Account, Budget, NoRoom, Unread
from .inbound import Inbound, InboundSocket
from .stall import StallWatch
from .wire import check_body

_MESSAGES_A_WRITE = 512  # buffers given to one sendmsg; the kernel takes up to 1024
_AHEAD = 16 * 1024  # bytes that the kernel takes before the bus does: what is sent later cannot overtake them
_BURST = 0.0001  # seconds; messages closer than this to the last one are written together

MessageHandler = Callable[[Message], Any]


class BusLost(SystemFailure):
    """The connection to the bus has ended."""


class BusTransport(MessageBus):
    """The transport of a connection to the bus at `address`: `post` sends, `drain` keeps pace when sending much."""

    def __init__(self, address: str, unread: Unread) -> None:
        """`unread` tells the budget what others have not read.

        Raises BusLost if `address` is invalid or, with dbus-fast before 5.0, if connecting fails.
        """
        self._address = address
        self._handlers: list[MessageHandler] = []
        self._begin()
        self._link: socket.socket
        self._queue: deque[memoryview] = deque()
        self._flush_due = True  # nothing is written before `connect` is done
        self._written_at = 0.0
        self._watched = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._sent: asyncio.Future[None] = self._loop.create_future()
        self._sent.set_result(None)
        self.backlog = 0  # bytes waiting to be written
        self.taken: Callable[[], None] = lambda: None  # called when none wait any more that had to
        self.dropped = 0  # signals dropped since the start
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.budget = Budget(unread)
        self.inbound = Inbound(lambda serial: serial in self._method_return_handlers)
        self.stall = StallWatch(self._loop, self._give_up)

    # Joining

    def _begin(self) -> None:
        """Have dbus-fast begin with nothing, as it does once for each connection.  Raises BusLost."""
        try:
            super().__init__(bus_address=self._address)
        except (OSError, InvalidAddressError) as error:
            if self._sock is not None:
                self._sock.close()
            raise BusLost(_cannot_connect(error)) from error

    async def rejoin(self) -> None:
        """Connect anew when the connection has been lost; those who handle messages still do.

        What was known of connections is to be forgotten by then: the bus gives their names to others.  Raises BusLost.
        """
        self._begin()
        self._user_message_handlers.extend(self._handlers)
        self._flush_due = True
        self._watched = False
        self._queue.clear()
        self.backlog = 0
        self.budget.forget()
        self.inbound.forget()
        self.lost = self._loop.create_future()
        await self.connect()

    def add_message_handler(self, handler: MessageHandler) -> None:
        """Have `handler` called with each message that comes, over this connection and those made anew."""
        self._user_message_handlers.append(handler)  # which dbus-fast does, after it has imported inspect: 5 ms
        self._handlers.append(handler)

    def remove_message_handler(self, handler: MessageHandler) -> None:
        """Call it no more."""
        super().remove_message_handler(handler)
        self._handlers.remove(handler)

    async def connect(self) -> Self:
        """Connect, and authenticate.

        Raises BusLost with the reason if that fails.
        """
        try:
            async with asyncio.timeout(BUS_CALL_DEADLINE):
                await super().connect()
        except Exception as error:
            reason = _cannot_connect(error)
            self._give_up(reason)
            raise BusLost(reason) from error
        self._sock = self._link
        # dbus-fast leaves a writer of its own behind, which would take the place of ours.
        self._loop.remove_writer(self._link)
        self._flush_turn()
        return self

    async def _authenticate(self) -> None:
        # Calls may come with descriptors, which are read by a socket of ours: dbus-fast's reader is to know of none.
        self._negotiate_unix_fd = True
        try:
            await super()._authenticate()
        finally:
            self._negotiate_unix_fd = False
        assert self._sock is not None
        self._link = self._sock
        self._link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _AHEAD)
        # For dbus-fast's reader, which is made now; `connect` puts back what all others use.
        self._sock = cast(socket.socket, InboundSocket(self._link, self.inbound))

    async def _auth_readline(self) -> str:
        """Read a line of the handshake; dbus-fast 2.44 never returns when the bus closes the connection instead."""
        assert self._sock is not None
        line = b""
        while not line.endswith(b"\r\n"):
            chunk = await self._loop.sock_recv(self._sock, 1024)
            if not chunk:
                raise AuthError("the bus closed the connection")
            line += chunk
        return line[:-2].decode()

    # Sending

    @property
    def congested(self) -> bool:
        """Whether the bus has not taken all that was sent: replies are better made later."""
        return self._watched

    def post(self, message: Message, *, droppable: bool = False, of: int | None = None) -> bool:
        """Send `message`; never waits.

        Returns whether it was queued: not if it is `droppable` and too much waits already, or its receiver leaves too
        much unread, or if the bus is lost or has been taking nothing.  A broadcast is charged to user `of`.
        Raises NoRoom for a result that its receiver's budget has no room for, ValueError or dbus-fast's own errors for
        a body that does not fit its signature.
        """
        check_body(message.signature, message.body)
        if not message.serial:
            message.serial = self.next_serial()
        data = message._marshall(False)
        size = len(data)
        if size > MAX_BUS_MESSAGE:
            raise ValueError(f"a message of {size} bytes")
        if self.lost.done():
            return False
        if self.backlog + size > (BUS_BACKLOG_SOFT if droppable else BUS_BACKLOG_HARD):
            self.dropped += 1
            return False
        account = self.budget.accounts.get(message.destination or "")
        if account is not None:
            lease = account.lease - size
            if lease >= 0:
                account.lease = lease
            elif not self._charge(account, message, size, droppable):
                return False
        elif of is not None:
            self.budget.broadcast(of, size)
        self._queue.append(memoryview(data))
        self.backlog += size
        if not self._flush_due and not self._watched:
            now = self._loop.time()
            if now - self._written_at > _BURST:
                self._written_at = now
                self._write()
            else:
                self._flush_due = True
                self._loop.call_soon(self._flush_turn)
        return not self.lost.done()

    def _charge(self, account: Account, message: Message, size: int, droppable: bool) -> bool:
        """Charge a message to its receiver's account; whether it may be sent.  Raises NoRoom."""
        match message.message_type:
            case MessageType.METHOD_RETURN:
                if not account.take(size):
                    raise NoRoom(message.signature_tree, message.body, size)
                return True
            case MessageType.ERROR:
                return account.takes_refusal(size)
        if not droppable:
            account.charge(size)
        elif not account.takes_signal(size):
            self.dropped += 1
            return False
        return True

    # dbus-fast annotates the method this overrides as giving nothing, and its own override gives a future.
    def send(self, msg: Message) -> asyncio.Future[None]:  # type: ignore[override]
        """Send `msg`; dbus-fast's own code sends by this."""
        self.post(msg)
        return self._sent

    async def drain(self) -> None:
        """Wait until all that was sent has been taken by the bus, and let others run.

        Raises BusLost.
        """
        await asyncio.sleep(0)
        self._write()
        if self._queue:
            self._drained.clear()
            await self._drained.wait()
        self._check_alive()

    def _flush_turn(self) -> None:
        self._flush_due = False
        self._write()

    def _write(self) -> None:
        queue = self._queue
        if not queue or self.lost.done():
            return
        try:
            while queue:
                taken = self._link.sendmsg(islice(queue, _MESSAGES_A_WRITE))
                self.backlog -= taken
                self.stall.moved()
                while taken:
                    if taken < len(queue[0]):
                        queue[0] = queue[0][taken:]
                        break
                    taken -= len(queue.popleft())
        except BlockingIOError:
            if not self._watched:
                self._watched = True
                self._loop.add_writer(self._link, self._write)
                self.stall.waiting()
            return
        except OSError as error:
            self._give_up(f"writing to the bus failed: {error}")
            return
        if self._watched:
            self._watched = False
            self.stall.done()
            self._loop.remove_writer(self._link)
            self.taken()
        self._drained.set()

    # The end

    def close(self) -> None:
        """Disconnect now; `drain` first if what was sent last matters."""
        self._give_up("closed")

    def _check_alive(self) -> None:
        if self.lost.done():
            raise BusLost(self.lost.result())

    def _finalize(self, err: Exception | None = None) -> None:
        """Called by dbus-fast when reading ends."""
        if err is None or isinstance(err, EOFError):
            self._give_up("the bus closed the connection")
        else:
            self._give_up(f"the connection to the bus failed: {err}")

    def _give_up(self, reason: str) -> None:
        if self.lost.done():
            return
        self.lost.set_result(reason)
        self._queue.clear()
        self.backlog = 0
        self.stall.done()
        self._drained.set()
        link, stream = self._sock, self._stream
        if link is None or stream is None:
            return
        self._user_disconnect = True  # dbus-fast is to report no error of its own: `lost` does
        super()._finalize(BusLost(reason))
        # dbus-fast 2.44 leaves them open.
        with contextlib.suppress(OSError):
            stream.close()
        link.close()


def _cannot_connect(error: Exception) -> str:
    return f"cannot connect to the bus: {str(error) or type(error).__name__}"
