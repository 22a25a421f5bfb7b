"""What is done on what a worker reports: one function a message, called from the table in requests.py.

Every value comes from a process that parses a stranger's packets, so what goes on to clients is checked here.
"""

from __future__ import annotations

import asyncio
import ipaddress
from typing import TYPE_CHECKING

from ...ipc import messages
from ...policy.dbus_numbers import HTTP_PROXIED, MAX_LOG_LEVEL, InputGroup, LogCategory, LogGroup
from ...policy.limits import LOG_CREDIT, MAX_LOOKUPS_PER_SESSION, MAX_STATUS_TEXT, MAX_URL
from ...policy.network import PolicyViolation
from ...policy.sandbox.layers import Layer, join
from ..errors import ProtocolViolation, SystemFailure
from ..sessions.states import Event, State

if TYPE_CHECKING:
    from ..sessions.session import Session

_CREDIT_INTERVAL = 1.0  # seconds in which a worker may have LOG_CREDIT lines logged


async def confined(session: Session, message: messages.Confined) -> None:
    """Worker and engine are confined by these layers, and by one that is not theirs to report."""
    network = session.around.network
    layers = frozenset(message.layers) - {Layer.FIREWALL}
    if session.uid in network.protected:
        if message.local:
            # Said before the engine has heard from any server; the profile's owner can connect there anyway.
            try:
                await network.exempt(session.uid)
            except SystemFailure as error:
                session.log(LogCategory.WARN, f"The session cannot connect to this machine: {error}")
        else:
            layers |= {Layer.FIREWALL}
    session.layers = layers
    session.log(LogCategory.DEBUG, f"Confined by {join(layers)}")


def accepted(session: Session, message: messages.Accepted) -> None:
    """The profile is usable."""
    if not 0 <= message.log_level <= MAX_LOG_LEVEL:
        raise ProtocolViolation(f"its profile wants the log level {message.log_level}")
    session.accepted(message.log_level)


def input_needed(session: Session, message: messages.InputNeeded) -> None:
    """The user has to type something; what is asked goes to those who use the session."""
    for slot in message.slots:
        if not (slot.name.isidentifier() and len(slot.label) <= MAX_STATUS_TEXT and slot.label.isprintable()):
            raise ProtocolViolation("it asks something that cannot be shown")
    session.user_input.ask(message.group, message.slots)
    session.need(message)


def url_needed(session: Session, message: messages.UrlNeeded) -> None:
    """The user has to open a URL."""
    url = message.url
    if not (url.startswith(("https://", "http://")) and url.isprintable() and len(url) <= MAX_URL):
        raise ProtocolViolation("it wants its user to open something that is no web page")
    session.around.attention(session, InputGroup.OPEN_URL, url)
    session.happened(Event.URL_NEEDED, url)


def connected(session: Session, message: messages.Connected) -> None:
    """The engine is connected, and the network it asked for before is in place."""
    proxied = message.proto in HTTP_PROXIED.values()
    if not (
        (proxied or message.proto in ("udp", "tcp"))
        and (_is_host_name if proxied else _is_address)(message.address)
        and 0 < message.port < 65536
        and _is_host_name(message.name)
    ):
        raise ProtocolViolation(f"it is connected to something impossible: {message!r}"[:MAX_STATUS_TEXT])
    session.connected_to = (message.proto, message.address, message.port)
    session.session_name = message.name
    session.user_input.withdraw()
    session.happened(Event.ENGINE_CONNECTED)
    where = f"{message.address}:{message.port} ({message.name}) over {message.proto} on {session.device}"
    session.log(LogCategory.INFO, f"Connected: {where}", LogGroup.CLIENT)


def reconnecting(session: Session, message: messages.Reconnecting) -> None:
    """The engine lost its connection."""
    session.statistics.lost(message.reason)
    session.user_input.withdraw(InputGroup.CHALLENGE_AUTH_PENDING)
    session.log(LogCategory.INFO, f"Reconnecting ({message.reason})", LogGroup.CLIENT)
    session.happened(Event.ENGINE_RECONNECTING, message.reason)


def engine_died(session: Session, message: messages.EngineDied) -> None:
    """The engine died without being asked to."""
    if session.state is State.STARTING:
        session.refused(message.reason)
    else:
        session.engine_died(message.reason)


def ended(session: Session, message: messages.Ended) -> None:
    """The engine ended in an orderly way by itself."""
    if session.state is State.STARTING:
        session.refused(message.reason)
    else:
        session.happened(Event.ENGINE_ENDED, message.reason)


async def apply_network(session: Session, message: messages.ApplyNetwork) -> None:
    """Put the settings in place; the worker's next message is read after that."""
    try:
        warnings = await session.around.network.apply(session.device, message.settings)
    except PolicyViolation as error:
        raise ProtocolViolation(f"it asked for network settings that are not allowed: {error}") from None
    except SystemFailure as error:
        if session.running:
            session.happened(Event.ENGINE_FAILED, f"The network settings cannot be applied: {error}")
    else:
        for warning in warnings:
            session.log(LogCategory.WARN, warning, LogGroup.NETCFG)


def traffic(session: Session, message: messages.Traffic) -> None:
    """The engine's counters."""
    session.statistics.report(message.bytes_in, message.bytes_out, session.device)


def resolve(session: Session, message: messages.Resolve) -> None:
    """Have a name looked up; the answer goes to the worker when it comes."""
    if len(session.lookups) >= MAX_LOOKUPS_PER_SESSION:
        raise ProtocolViolation(f"it asked for more than {MAX_LOOKUPS_PER_SESSION} names at once")
    task = asyncio.create_task(_resolve(session, message.host))
    session.lookups.add(task)
    task.add_done_callback(session.lookups.discard)


async def _resolve(session: Session, host: str) -> None:
    addresses, error = await session.around.resolver.resolve(session.name, host)
    # No longer under way: the worker may ask for the next one as soon as it reads this.
    session.lookups.discard(asyncio.current_task())
    if session.running and session.worker is not None:
        session.worker.send(messages.Resolved(host, addresses, error))


def log_line(session: Session, message: messages.LogLine) -> None:
    """Write a line of the worker's, and give credit for more in a while; one beyond the credit is a fault."""
    if session.lines_logged == 0:
        asyncio.get_running_loop().call_later(_CREDIT_INTERVAL, _give_credit, session)
    session.lines_logged += 1
    if session.lines_logged > LOG_CREDIT:
        raise ProtocolViolation("it sent log lines beyond its credit")
    session.log(message.category, message.text, LogGroup.CLIENT)


def _give_credit(session: Session) -> None:
    lines, session.lines_logged = session.lines_logged, 0
    if session.worker is not None:
        session.worker.send(messages.LogCredit(lines))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_host_name(text: str) -> bool:
    return 0 < len(text) <= 253 and text.isascii() and text.isprintable()
