"""When the engine may try to connect: it holds before each attempt, and goes on when there is an address to try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ipc import messages
from ...policy.dbus_numbers import LogCategory
from ...policy.limits import MAX_LOOKUPS_PER_SESSION
from .remotes import Remotes

if TYPE_CHECKING:
    from .session import Session

_LEAST_PAUSE = 1.0  # seconds between attempts; after some errors the engine would try again without any
_LONGEST_PAUSE = 30.0  # seconds; the engine suggests up to 300
_LOOKUP_GRACE = 1.0  # seconds that other names may take once there is an address to try
_LOOKUP_RETRY = 3.0  # seconds until names are looked up again, none of which had an address


class Attempts:
    """The attempts of one session's engine."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.remotes = Remotes(())
        self.looking_up: set[str] = set()  # names that the supervisor was asked for
        self.engine_holds = False  # waits for "hold release"
        self._at_once = False  # at the next hold, whatever the engine suggests

    def begin(self) -> None:
        """Let the engine try: now if it holds and knows an address, else as soon as both is so."""
        if not self.engine_holds:
            self._at_once = True
            return
        for name in self.remotes.to_look_up():
            if len(self.looking_up) < MAX_LOOKUPS_PER_SESSION and name not in self.looking_up:
                self.looking_up.add(name)
                self._session.tell(messages.Resolve(name))
        if not self.looking_up:
            self._release()

    def after_pause(self, seconds: float) -> None:
        """Let the engine, which holds and suggests to wait `seconds`, try again then."""
        delay = 0.0 if self._at_once else min(max(seconds, _LEAST_PAUSE), _LONGEST_PAUSE)
        self._session.timers.set("release", delay, self.begin)

    def put_off(self) -> None:
        """Let the engine hold until `begin`."""
        self._session.timers.cancel("release")
        self._at_once = False

    def looked_up(self, answer: messages.Resolved) -> None:
        """The supervisor's answer to a look-up."""
        session = self._session
        self.looking_up.discard(answer.host)
        self.remotes.learned(answer.host, answer.addresses)
        if answer.error:
            session.last_error = f"cannot resolve {answer.host}: {answer.error}"
            session.log(LogCategory.WARN, f"Cannot resolve {answer.host}: {answer.error}")
        if session.connecting and self.engine_holds:
            if self.remotes.usable:
                session.timers.set("release", _LOOKUP_GRACE, self._release)
            self.begin()

    def next_remote(self) -> None:
        """Send the engine on: its present remote has no address."""
        self._at_once = True
        self._session.interrupt()

    def _release(self) -> None:
        """Answer the engine's hold, if there is any address for it to try."""
        session = self._session
        session.timers.cancel("release")
        if not self.engine_holds:
            return
        if not self.remotes.usable:
            self.remotes.forget_failures()
            session.timers.set("release", _LOOKUP_RETRY, self.begin)
            return
        assert session.engine is not None
        try:
            session.engine.write_hosts(self.remotes.hosts_file())
        except OSError as error:
            session.fail(f"The engine's hosts file cannot be written: {error.strerror}")
            return
        self.engine_holds = self._at_once = False
        session.command(*session.user_input.before_attempt(), "hold release")
