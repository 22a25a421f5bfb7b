"""Taking over a worker whose supervisor is gone: proof that it is the one, and what it tells."""

import asyncio
import os
import socket

import msgspec

from ...ipc import messages
from ...ipc.channel import BadFrame, Channel, ChannelClosed, Packet
from ...ipc.codec import decode_to_supervisor, encode
from ...policy.limits import MAX_TOLD_ANEW, TAKEOVER_DEADLINE
from ..closing import close_elsewhere
from ..errors import SystemFailure
from .own_time import within


class TakenWorker(msgspec.Struct):
    """A worker that has been taken over, and what it has told that still holds; owns the descriptors."""

    pid: int
    pidfd: int
    channel: Channel
    told: list[messages.ToSupervisor]
    snapshot: messages.WorkerSnapshot
    minor: int  # of the protocol that it speaks
    profile: int  # a descriptor of what it says is its profile, or -1


class AnotherVersion(SystemFailure):
    """The worker speaks the protocol of another release."""


async def take_over(connection: socket.socket, pid: int, pidfd: int, uid: int) -> TakenWorker:
    """Take over the worker at the other end of a connection, which has to be this process of this user.

    Takes `connection`, and on success `pidfd`.  Raises SystemFailure with the reason.
    """
    channel = Channel(connection)
    profiles: list[int] = []
    try:
        peer, user = channel.peer
        if (peer, user) != (pid, uid):
            raise SystemFailure(f"another process waits in its place ({peer} of user {user})")
        listening = asyncio.ensure_future(_listen(channel, profiles))
        try:
            # Neither is to blame while others use the processors.
            minor, told, snapshot = await within(TAKEOVER_DEADLINE, listening, lambda: (pid, os.getpid()))
        finally:
            if not listening.done():
                listening.cancel()
                await asyncio.wait([listening])
        channel.refuse_descriptors()
        profile = profiles.pop() if profiles else -1
        return TakenWorker(pid, pidfd, channel, told, snapshot, minor, profile)
    except BaseException as error:
        channel.close()
        if isinstance(error, TimeoutError):
            raise SystemFailure(f"it does not answer within {TAKEOVER_DEADLINE:g} s") from error
        if isinstance(error, ChannelClosed | BlockingIOError):
            raise SystemFailure("it closes the connection") from error
        if isinstance(error, BadFrame):
            raise SystemFailure(f"it breaks the protocol: {error}") from error
        if isinstance(error, OSError):
            raise SystemFailure(f"it cannot be spoken to: {error.strerror}") from error
        raise
    finally:
        close_elsewhere(profiles)


async def _listen(
    channel: Channel, profiles: list[int]
) -> tuple[int, list[messages.ToSupervisor], messages.WorkerSnapshot]:
    """Greet a worker, and hear the minor number of its protocol, what it has told, and how it is.

    The descriptor of a profile goes to `profiles`.  Raises AnotherVersion, BadFrame, ChannelClosed, OSError.
    """
    hello = await _next(channel, profiles)
    if not isinstance(hello, messages.WorkerHello):
        raise BadFrame(f"it begins with {type(hello).__name__}")
    if hello.major != messages.MAJOR or hello.minor > messages.MINOR:
        raise AnotherVersion(
            f"it speaks protocol {hello.major}.{hello.minor}, this service {messages.MAJOR}.{messages.MINOR}"
        )
    channel.send(encode(messages.SupervisorHello(messages.MAJOR, messages.MINOR)))
    told: list[messages.ToSupervisor] = []
    while not isinstance(message := await _next(channel, profiles), messages.WorkerSnapshot):
        told.append(message)
        if len(told) > MAX_TOLD_ANEW:
            raise BadFrame("it goes on and on")
    return hello.minor, told, message


async def _next(channel: Channel, profiles: list[int]) -> messages.ToSupervisor:
    """The next message; the descriptor of a profile goes to `profiles`.  Raises BadFrame, ChannelClosed."""
    packet = await _receive(channel)
    try:
        message = decode_to_supervisor(packet.data, len(packet.descriptors))
        if isinstance(message, messages.KeptProfile):
            if profiles:
                raise BadFrame("it sends its profile twice")
            profiles.append(packet.take())
        return message
    finally:
        close_elsewhere(packet.descriptors)


async def _receive(channel: Channel) -> Packet[bytes]:
    while True:
        try:
            return channel.receive()
        except BlockingIOError:
            await _readable(channel)


async def _readable(channel: Channel) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(channel.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(channel.fileno())
