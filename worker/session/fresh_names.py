"""Names of servers that are looked up anew beside an attempt: in another network they may have other addresses."""

from ...ipc import messages
from ...policy.limits import MAX_LOOKUPS_PER_SESSION
from .remotes import Remotes
from .uplink import Uplink


class FreshNames:
    """Nothing is asked as long as the session is connected, and no attempt waits for the answers."""

    def __init__(self, uplink: Uplink, looking_up: set[str]) -> None:
        """`looking_up` has the names that the supervisor was asked for, by others too."""
        self.under_way: set[str] = set()  # of those
        self._uplink = uplink
        self._looking_up = looking_up
        self._to_ask: list[str] = []
        self._network_changed = False
        self._known: set[str] = set()  # names looked up since then

    def network_changed(self) -> None:
        """The machine is in another network, as far as one can tell."""
        self._network_changed = True
        self._known.clear()

    def attempt_begins(self, remotes: Remotes) -> None:
        """Look up what was not since the network has changed."""
        if self._network_changed:
            self._network_changed = False
            self._to_ask = [name for name in remotes.known() if name not in self._known]
            self.go_on()

    def go_on(self) -> None:
        """Ask for as many names as may be looked up at once."""
        while self._to_ask and len(self._looking_up) < MAX_LOOKUPS_PER_SESSION:
            name = self._to_ask.pop(0)
            if name not in self._looking_up:
                self.under_way.add(name)
                self._looking_up.add(name)
                self._uplink.tell(messages.Resolve(name))

    def wanted(self, name: str) -> None:
        """An attempt waits for this name."""
        self.under_way.discard(name)
        if name in self._to_ask:
            self._to_ask.remove(name)

    def learned(self, answer: messages.Resolved, remotes: Remotes) -> bool:
        """The supervisor's answer to a look-up; whether no attempt waits for it."""
        self._known.add(answer.host)
        if answer.host not in self.under_way:
            return False
        self.under_way.discard(answer.host)
        remotes.refreshed(answer.host, answer.addresses)
        return True
