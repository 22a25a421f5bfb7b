"""The addresses of host names in routes: looked up once for each time that the device is set up."""

from collections.abc import Callable, Iterable

from ...ipc import messages
from ...policy.limits import MAX_LOOKUPS_PER_SESSION, ROUTE_NAMES_DEADLINE
from .timers import Timers
from .uplink import Uplink


class RouteNames:
    """Has names looked up, beside those of servers, and says when that is done."""

    def __init__(self, uplink: Uplink, timers: Timers, looking_up: set[str]) -> None:
        """`looking_up` has the names that the supervisor was asked for, by others too."""
        self.found: dict[str, tuple[str, ...]] = {}  # by name; none if it does not resolve
        self._uplink = uplink
        self._timers = timers
        self._looking_up = looking_up
        self._unknown: list[str] = []
        self._then: Callable[[], None] | None = None  # while somebody waits

    @property
    def waiting(self) -> bool:
        """Whether a look-up goes on."""
        return self._then is not None

    def look_up(self, names: Iterable[str], then: Callable[[], None]) -> None:
        """Look all of them up anew, and call `then` when that is done, or ROUTE_NAMES_DEADLINE has passed."""
        self.found = {}
        self._unknown = list(names)
        self._then = then
        self._timers.set("route names", ROUTE_NAMES_DEADLINE, self._done)
        self._go_on()

    def stop(self) -> None:
        """Nobody waits any more."""
        self._timers.cancel("route names")
        self._then = None

    def learned(self, answer: messages.Resolved) -> bool:
        """The supervisor's answer to a look-up; whether it is for one of these names, although it may be late."""
        if answer.host not in self._unknown:
            return False
        self._unknown.remove(answer.host)
        self.found[answer.host] = answer.addresses
        return True

    def go_on(self) -> None:
        """A look-up has ended: begin the next one, or be done."""
        if self.waiting:
            self._go_on()

    def _go_on(self) -> None:
        if not self._unknown:
            self._done()
        for name in self._unknown:
            if len(self._looking_up) < MAX_LOOKUPS_PER_SESSION and name not in self._looking_up:
                self._looking_up.add(name)
                self._uplink.tell(messages.Resolve(name))

    def _done(self) -> None:
        then = self._then
        self.stop()
        if then is not None:
            then()
