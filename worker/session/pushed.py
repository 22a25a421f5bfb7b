"""What the server pushed, from the engine's log: the environment of its device tells only a part of that.

The engine logs each reply at verb 3, which is the least that it runs with (downlink.py), and takes the secrets out
of it.  Tokens are left out here as well.

From OpenVPN 2.7 on a server may update what it has pushed while the connection lasts.  The engine then closes its
device, waits a second, opens it anew, and says once more that it is connected.
"""

from collections.abc import Iterable

from ...policy.limits import MAX_PUSHED_OPTIONS
from ...policy.profile.syntax import pushed_words

_REPLY = "PUSH: Received control message: 'PUSH_REPLY"
_UPDATE = "PUSH: Received control message: 'PUSH_UPDATE"
_BAD = "WARNING: Received bad push/pull message: PUSH_UPDATE"  # the engine connects anew
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

# What a live engine lets its server change (src/openvpn/options_util.c); for anything else it connects anew.
_UPDATABLE = frozenset(
    (
        *("block-ipv6", "block-outside-dns", "dhcp-option", "dns", "ifconfig", "ifconfig-ipv6", "keepalive"),
        *("push-continuation", "redirect-gateway", "redirect-private", "route", "route-gateway", "route-ipv6"),
        *("route-metric", "topology", "tun-mtu"),
    )
)
_REDIRECTING = frozenset(("redirect-gateway", "redirect-private"))  # two names of one option


class Pushed:
    """The options of the server's last reply with its updates, as far as the profile takes them."""

    def __init__(self, profile: Iterable[tuple[str, ...]] = ()) -> None:
        """`profile` has the profile's own options: of these, pull-filter and route-nopull count."""
        profile = tuple(profile)
        self._filters = [words[1:] for words in profile if words[0] == "pull-filter" and len(words) == 3]
        self._without_routes = ("route-nopull",) in profile
        self._options: list[tuple[str, ...]] = []
        self._continues = False  # the next message belongs to the same reply, or update
        self._renewed = set[str]()  # names in this update, of which nothing older is left
        self.reopening = False  # after an update the engine gives its device up, and has it again a second later
        self.complete = True  # False: the engine's log has cut the reply, or it has more options than are kept

    @property
    def options(self) -> tuple[tuple[str, ...], ...]:
        """Name and parameters of each option, in the server's order."""
        return tuple(self._options)

    def heard(self, text: str) -> bool:
        """Take note of a line of the engine's log; whether it was a reply or update of the server, or a part of one."""
        if text.startswith(_BAD):
            self.reopening = False
            return False
        beginning = next((one for one in (_REPLY, _UPDATE) if text.startswith(one)), "")
        if not beginning:
            return False
        update = beginning == _UPDATE
        if not self._continues:
            self._renewed = set()
            if not update:
                self._options = []
                self.complete = True
        self._continues = False
        self.complete &= text.endswith(_ENDS)
        _, *lines = text.removeprefix(beginning).removesuffix(_ENDS).split(",")
        fits = all(map(self._change if update else self._add, lines))
        if not fits:
            self._continues = False
        self.reopening = update and fits and not self._continues
        return True

    def interrupted(self) -> None:
        """The connection is lost: what comes next is no continuation."""
        self._continues = self.reopening = False

    def _add(self, line: str) -> bool:
        """Take a line of a reply; False if the engine throws the reply away for it, and connects again."""
        taken = self._filtered(line.lstrip())
        if taken:
            self._take(tuple(pushed_words(line)))
        elif taken is None:
            self._options = []
        return taken is not None

    def _change(self, line: str) -> bool:
        """Take a line of an update; False if the engine connects again for it.

        Before the option's name, "-" takes away all options of that name, and "?" says that it may be left out.
        """
        line = line.lstrip()
        removed = line.startswith("-")
        line = line.removeprefix("-")
        optional = line.startswith("?")
        line = line.removeprefix("?")
        if optional and (not line or line.startswith("-")):
            return False
        taken = self._filtered(line)
        if line.split(" ")[0] not in _UPDATABLE or taken is None:
            return optional
        words = tuple(pushed_words(line))
        if not taken or not words or (removed and len(words) > 1):
            return True
        names = _REDIRECTING if words[0] in _REDIRECTING else frozenset(words[:1])
        if removed or not names & self._renewed:
            self._options = [one for one in self._options if one[0] not in names]
            self._renewed |= names
        if not removed:
            self._take(words)
        return True

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
