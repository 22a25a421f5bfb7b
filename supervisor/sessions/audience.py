"""Who hears of a session: the connections that use it, and those that its log is forwarded to."""

from collections import Counter
from collections.abc import Callable, Iterator

from ...policy.access import Acl, Caller, is_guest, is_user
from ...policy.limits import MAX_GUEST_WATCHERS, MAX_WATCHERS_PER_USER
from .forwarding import Forwarder, Forwards


class Audience:
    """The watchers and the forwards of one session."""

    def __init__(self, path: str, acl: Acl, forwarder: Forwarder) -> None:
        self.forwards = Forwards(path, acl, forwarder)
        self._acl = acl
        self._watchers: dict[str, int] = {}  # user ids by unique name, the oldest first
        self.on_change: Callable[[], None] = lambda: None

    @property
    def watchers(self) -> Iterator[str]:
        """The unique names of the connections that hear of the session's progress."""
        return iter(self._watchers)

    def watch(self, caller: Caller) -> None:
        """Let a caller hear of the session's progress from now on.

        Beyond the bounds a connection of the same user hears no more, or of the guest who has most.
        """
        if not caller.name or caller.name in self._watchers:
            return
        self._watchers[caller.name] = caller.uid
        held = Counter(self._watchers.values())
        guests = {uid: count for uid, count in held.items() if is_guest(uid, self._acl)}
        if held[caller.uid] > MAX_WATCHERS_PER_USER:
            self._drop_oldest(caller.uid)
        elif caller.uid in guests and sum(guests.values()) > MAX_GUEST_WATCHERS:
            self._drop_oldest(max(guests, key=guests.__getitem__))
        self.on_change()

    @property
    def kept(self) -> dict[str, int]:
        """The user ids of the watchers, by their unique names."""
        return dict(self._watchers)

    def _drop_oldest(self, user: int) -> None:
        del self._watchers[next(name for name, uid in self._watchers.items() if uid == user)]

    def drop(self, name: str) -> None:
        """Tell the connection of this unique name nothing more."""
        if self._watchers.pop(name, None) is not None:
            self.on_change()
        self.forwards.drop(name)

    def keep_users(self) -> None:
        """Tell those nothing more who may not use the session any more."""
        self.forwards.keep(lambda uid: is_user(uid, self._acl))
        self._watchers = {name: uid for name, uid in self._watchers.items() if is_user(uid, self._acl)}
