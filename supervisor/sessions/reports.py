"""What is done on what a worker reports: one function a message, called from the table in permits.py.

Every value comes from a process that parses a stranger's packets, so what goes on to clients is checked here.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

import msgspec

from ...ipc import messages
from ...policy.causes import Cause
from ...policy.dbus_numbers import MAX_LOG_LEVEL, InputGroup, LogCategory, LogGroup
from ...policy.limits import MAX_SERVER_ADDRESSES, MAX_STATUS_TEXT
from ...policy.network import PolicyViolation
from ...policy.reports import (
    are_gateways,
    are_notices,
    is_address,
    is_algorithm,
    is_endpoint,
    is_question,
    is_web_page,
)
from ...policy.sandbox.layers import join
from ..errors import ProtocolViolation, SystemFailure
from .notices import Notices
from .run import Run
from .server import Server
from .session_log import SessionLog
from .states import TABLE, Event, State
from .statistics import Statistics
from .user_input import TooManyQuestions, UserInput


class ReportedSession(ABC):
    """A session, as far as what its worker reports may have an effect on it."""

    state: State
    log: SessionLog
    negotiated: messages.Negotiated | None
    notices: Notices
    statistics: Statistics
    user_input: UserInput

    @abstractmethod
    def note(self) -> None:
        """Note on disk what has changed, for the next instance."""

    @property
    @abstractmethod
    def running(self) -> bool:
        """Whether it has neither failed nor ended."""

    @abstractmethod
    def happened(self, event: Event, text: str = "", cause: Cause | None = None) -> None:
        """Follow the table of states; `cause` is that of a failure."""

    @abstractmethod
    def accepted(self, log_level: int) -> None:
        """The profile is usable, and wants this log level."""

    @abstractmethod
    def refused(self, reason: str, cause: Cause) -> None:
        """The profile is not usable."""

    @abstractmethod
    def needs_input(self, need: messages.InputNeeded) -> None:
        """The user has to answer questions that were added to `user_input`."""

    @abstractmethod
    def needs_url(self, url: str) -> None:
        """The user has to open a web page."""

    @abstractmethod
    def connected(self, server: Server) -> None:
        """The engine is connected."""

    @abstractmethod
    def lost(self, reason: str, cause: Cause) -> None:
        """The engine died without being asked to."""


def hello(session: ReportedSession, run: Run, message: messages.WorkerHello) -> None:
    """The worker begins to speak."""
    run.conversation.shake_hands(message)


def snapshot(session: ReportedSession, run: Run, message: messages.WorkerSnapshot) -> None:
    """How far the worker's engine is."""
    if message.phase != "new":
        raise ProtocolViolation(f"it begins in phase {message.phase!r}")


async def confined(session: ReportedSession, run: Run, message: messages.Confined) -> None:
    """Worker and engine are confined by these layers, and by one that is not theirs to report."""
    layers = await run.confine(frozenset(message.layers), local=message.local)
    session.log.write(LogCategory.DEBUG, f"Confined by {join(layers)}")


def accepted(session: ReportedSession, run: Run, message: messages.Accepted) -> None:
    """The profile is usable."""
    if not 0 <= message.log_level <= MAX_LOG_LEVEL:
        raise ProtocolViolation(f"its profile wants the log level {message.log_level}")
    session.accepted(message.log_level)


def refused(session: ReportedSession, run: Run, message: messages.Refused) -> None:
    """The profile is not usable."""
    session.refused(message.reason, message.cause)


def input_needed(session: ReportedSession, run: Run, message: messages.InputNeeded) -> None:
    """The user has to type something; what is asked goes to those who use the session."""
    for slot in message.slots:
        if not is_question(slot.name, slot.label):
            raise ProtocolViolation("it asks something that cannot be shown")
    try:
        session.user_input.ask(message.group, message.slots)
    except TooManyQuestions as error:
        if (session.state, Event.ENGINE_FAILED) not in TABLE:
            raise ProtocolViolation(str(error)) from None
        session.happened(Event.ENGINE_FAILED, str(error), Cause.SERVER_DEMANDS)
    else:
        session.needs_input(message)


def url_needed(session: ReportedSession, run: Run, message: messages.UrlNeeded) -> None:
    """The user has to open a URL."""
    if not is_web_page(message.url):
        raise ProtocolViolation("it wants its user to open something that is no web page")
    session.needs_url(message.url)


def connected(session: ReportedSession, run: Run, message: messages.Connected) -> None:
    """The engine is connected, and the network it asked for before is in place."""
    if not is_endpoint(message.proto, message.address, message.port, message.name):
        raise ProtocolViolation(f"it is connected to something impossible: {message!r}"[:MAX_STATUS_TEXT])
    session.connected(Server(message.proto, message.address, message.port, message.name))
    where = f"{message.address}:{message.port} ({message.name}) over {message.proto} on {run.device}"
    session.log.write(LogCategory.INFO, f"Connected: {where}", LogGroup.CLIENT)


def reconnecting(session: ReportedSession, run: Run, message: messages.Reconnecting) -> None:
    """The engine lost its connection."""
    session.statistics.lost(message.reason)
    session.user_input.withdraw(InputGroup.CHALLENGE_AUTH_PENDING)
    session.log.write(LogCategory.INFO, f"Reconnecting ({message.reason})", LogGroup.CLIENT)
    session.happened(Event.ENGINE_RECONNECTING, message.reason)


def attempt_failed(session: ReportedSession, run: Run, message: messages.AttemptFailed) -> None:
    """The engine failed to connect, and tries again."""
    session.statistics.lost(message.reason)
    session.user_input.withdraw(InputGroup.CHALLENGE_AUTH_PENDING)
    session.happened(Event.ATTEMPT_FAILED, message.text, message.cause)


def engine_died(session: ReportedSession, run: Run, message: messages.EngineDied) -> None:
    """The engine died without being asked to."""
    if session.state is State.STARTING:
        session.refused(message.reason, message.cause)
    else:
        session.lost(message.reason, message.cause)


def ended(session: ReportedSession, run: Run, message: messages.Ended) -> None:
    """The engine ended in an orderly way by itself."""
    if session.state is State.STARTING:
        session.refused(message.reason, Cause.ENGINE_DIED)
    else:
        session.happened(Event.ENGINE_ENDED, message.reason)


async def apply_network(
    session: ReportedSession, run: Run, message: messages.ApplyNetwork, *, anew: bool = False
) -> None:
    """Put the settings in place; the worker's next message is read after that.

    With `anew` they were asked for before, of an earlier instance.
    """
    live = session.state is State.CONNECTED  # its server has sent an update
    if live:
        await run.network.pause()
    try:
        warnings = await run.network.apply(message.settings)
    except PolicyViolation as error:
        raise ProtocolViolation(f"it asked for network settings that are not allowed: {error}") from None
    except SystemFailure as error:
        if session.running:
            text = f"The network settings cannot be applied: {error}"
            session.happened(Event.ENGINE_FAILED, text, Cause.SERVER_SETTINGS)
    else:
        session.notices.applied(warnings)
        session.note()
        for warning in warnings:
            session.log.write(LogCategory.WARN, warning, LogGroup.NETCFG)
        if live and not anew:
            session.log.write(LogCategory.INFO, "The network settings have changed", LogGroup.NETCFG)


async def clear_network(session: ReportedSession, run: Run, message: messages.ClearNetwork) -> None:
    """Take the settings off; the worker's next message is read after that."""
    # Else it connects again: what it had does not go to others meanwhile.
    await run.network.clear(keep=session.state not in (State.PAUSING, State.PAUSED))


async def reopening(session: ReportedSession, run: Run, message: messages.Reopening) -> None:
    """Have the device where its engine can open it; the worker's next message is read after that."""
    await run.network.bring_back()


def notices(session: ReportedSession, run: Run, message: messages.Notices) -> None:
    """What the worker left out or changed."""
    if not are_notices(message.texts):
        raise ProtocolViolation("it gives notices that cannot be shown")
    session.notices.said(message.about, message.texts)


def negotiated(session: ReportedSession, run: Run, message: messages.Negotiated) -> None:
    """What engine and server have agreed on; the time is the worker's word, within the present."""
    if not (is_algorithm(message.tls) and is_algorithm(message.cipher) and are_gateways(message.gateways)):
        raise ProtocolViolation("it reports a connection that cannot be shown")
    handshake = min(max(message.handshake, 0), int(time.time()))
    session.negotiated = msgspec.structs.replace(message, handshake=handshake)


def traffic(session: ReportedSession, run: Run, message: messages.Traffic) -> None:
    """The engine's counters."""
    session.statistics.count_wire(message.bytes_in, message.bytes_out)
    run.counting.answered()


def servers(session: ReportedSession, run: Run, message: messages.Servers) -> None:
    """The engine talks to one of these, or will."""
    if len(message.addresses) > MAX_SERVER_ADDRESSES or not all(map(is_address, message.addresses)):
        raise ProtocolViolation("its servers are no addresses, or too many")
    run.follow_ways(message.addresses)


def resolve(session: ReportedSession, run: Run, message: messages.Resolve) -> None:
    """Have a name looked up."""
    run.lookups.begin(message.host)


def kept_profile(session: ReportedSession, run: Run, message: messages.KeptProfile) -> None:
    """The profile, which only who takes the session over is given."""


def pong(session: ReportedSession, run: Run, message: messages.Pong) -> None:
    """The worker gives a sign of life."""
    run.answered()


def log_line(session: ReportedSession, run: Run, message: messages.LogLine) -> None:
    """Write a line of the worker's, if it has the credit."""
    run.log_credit.spend()
    session.log.write(message.category, message.text, LogGroup.CLIENT)
