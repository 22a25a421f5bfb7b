"""A worker without a supervisor: it goes on with its engine, and waits for another one to take it over.

The socket at which it waits was made for it in a directory that only the service's account may enter.  One supervisor
at a time is spoken to: the next is accepted when the one before is gone.
"""

import socket
from collections.abc import Callable

from ...ipc import messages
from ...ipc.channel import Channel, ChannelClosed
from ...ipc.codec import encode
from ...policy.limits import ORPHAN_LOOK, TAKEOVER_DEADLINE
from .phases import Event, Phase
from .session import WorkerSession
from .timers import Timers


class Takeover:
    """What a worker does from its supervisor's end to the next one's hello."""

    def __init__(self, session: WorkerSession, later: socket.socket | None, service: int) -> None:
        """`later` is where others may connect; None if nobody can.  `service` is the user id that they have."""
        self.timers = Timers()  # of its own: those of the session end with the engine
        self._session = session
        self._later = later
        self._service = service
        self._accepted: Channel | None = None  # that has not said hello
        if later is not None:
            # By this process, so that whoever connects is told its user and process id (SO_PEERCRED, unix(7)).
            later.listen(1)
            later.setblocking(False)

    @property
    def socket(self) -> socket.socket | None:
        """Where others may connect."""
        return self._later

    def begin(self) -> None:
        """The supervisor is gone: say goodbye to the server if nobody can take the session over, else wait."""
        session = self._session
        session.handshake_done = False
        session.uplink.disconnected()
        if self._later is None or session.phase in (Phase.NEW, Phase.STARTING):
            session.machine.happened(Event.DISCONNECT)
        else:
            self._look_later()

    def _look_later(self) -> None:
        self.timers.set("orphan", ORPHAN_LOOK, self._end_unless_connected)

    def _end_unless_connected(self) -> None:
        """After a long time: nobody but a user with a tunnel that works misses the session."""
        if self._session.attempts.is_connected and self._session.phase is not Phase.STOPPING:
            self._look_later()
        else:
            self._session.uplink.standing.last_words = None
            self._session.machine.happened(Event.DISCONNECT)

    @property
    def has_to_wait(self) -> bool:
        """Whether there is something to tell of a session that is over, and nobody to be told yet."""
        uplink = self._session.uplink
        return uplink.alone and self._later is not None and uplink.standing.last_words is not None

    def accept(self) -> Channel | None:
        """Whoever has connected, if it is a supervisor: it is told hello, and has a while to answer."""
        assert self._later is not None
        try:
            connection, _ = self._later.accept()
        except OSError:
            return None  # it has left already
        # What it does not read in time must not hold up the engine.
        connection.settimeout(TAKEOVER_DEADLINE)
        self._accepted = channel = Channel(connection)
        try:
            if channel.peer[1] != self._service:
                raise ChannelClosed
            channel.send(encode(messages.WorkerHello(messages.MAJOR, messages.MINOR)))
        except (ChannelClosed, TimeoutError):
            self.refuse()
            return None
        return channel

    def set_deadline(self, given_up: Callable[[], None]) -> None:
        """Call `given_up` if there is no hello in time."""
        self.timers.set("hello", TAKEOVER_DEADLINE, given_up)

    @property
    def under_way(self) -> bool:
        """Whether a supervisor was accepted that has not said hello."""
        return self._accepted is not None

    def refuse(self) -> None:
        """Have nothing more to do with the supervisor that was accepted."""
        self.timers.cancel("hello")
        self._session.handshake_done = False
        if self._accepted is not None:
            self._accepted.close()
            self._accepted = None

    def complete(self) -> None:
        """It has said hello: it is the supervisor now.  Raises ChannelClosed, TimeoutError."""
        assert self._accepted is not None
        session = self._session
        session.uplink.taken_over(self._accepted, session.phase.name.lower(), session.kept_profile)
        self.timers.clear()
        self._accepted.socket.settimeout(None)
        self._accepted = None
