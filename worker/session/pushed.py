"""What the server pushed, from the engine's log: the environment of its device tells only a part of that.

The engine logs each reply at verb 3, which is the least that it runs with (downlink.py), and takes the secrets out
of it.  Tokens are left out here as well.
"""

from collections.abc import Iterable

from ...policy.limits import MAX_PUSHED_OPTIONS
from ...policy.profile.syntax import pushed_words

_BEGINS = "PUSH: Received control message: 'PUSH_REPLY"
_ENDS = "'"
_MORE_FOLLOWS = "2"  # push-continuation: another message of the same reply comes
_SECRET = ("auth-token", "auth-token-user", "echo")

# What a profile with route-nopull does not take from its server (openvpn(8)).
_ROUTES_AND_DNS = frozenset(
    (
        *("route", "route-ipv6", "route-metric", "redirect-gateway", "redirect-private", "block-ipv6", "client-nat"),
        *("dhcp-option", "dns", "block-outside-dns"),
    )
)


class Pushed:
    """The options of the server's last reply, as far as the profile takes them."""

    def __init__(self, profile: Iterable[tuple[str, ...]] = ()) -> None:
        """`profile` has the profile's own options: of these, pull-filter and route-nopull count."""
        profile = tuple(profile)
        self._filters = [words[1:] for words in profile if words[0] == "pull-filter" and len(words) == 3]
        self._without_routes = ("route-nopull",) in profile
        self._options: list[tuple[str, ...]] = []
        self._continues = False  # the next message belongs to the same reply
        self.complete = True  # False: the engine's log has cut the reply, or it has more options than are kept

    @property
    def options(self) -> tuple[tuple[str, ...], ...]:
        """Name and parameters of each option, in the server's order."""
        return tuple(self._options)

    def heard(self, text: str) -> bool:
        """Take note of a line of the engine's log; whether it was a reply of the server, or a part of one."""
        if not text.startswith(_BEGINS):
            return False
        if not self._continues:
            self._options = []
            self.complete = True
        self._continues = False
        self.complete &= text.endswith(_ENDS)
        _, *lines = text.removeprefix(_BEGINS).removesuffix(_ENDS).split(",")
        for line in lines:
            taken = self._filtered(line.lstrip())
            if taken is None:  # the engine throws the reply away, and connects again
                self._options = []
                self._continues = False
                break
            if taken:
                self._take(tuple(pushed_words(line)))
        return True

    def interrupted(self) -> None:
        """The connection is lost: what comes next is no continuation."""
        self._continues = False

    def _filtered(self, line: str) -> bool | None:
        """Whether the profile's pull-filter takes this option; None: it rejects the whole reply."""
        for action, beginning in self._filters:
            if line.startswith(beginning):
                return None if action == "reject" else action == "accept"
        return True

    def _take(self, words: tuple[str, ...]) -> None:
        if not words or words[0] in _SECRET or (self._without_routes and words[0] in _ROUTES_AND_DNS):
            return
        if words[0] == "push-continuation":
            self._continues = words[1:] == (_MORE_FOLLOWS,)
        elif len(self._options) < MAX_PUSHED_OPTIONS:
            self._options.append(words)
        else:
            self.complete = False
