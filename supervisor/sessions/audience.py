"""Who hears of a session: the connections that use it, and those that its log is forwarded to."""

from collections.abc import Iterator

from ...policy.access import Acl, Caller, is_user
from ...policy.limits import MAX_WATCHERS
from .forwarding import Forwarder, Forwards


class Audience:
    """The watchers and the forwards of one session."""

    def __init__(self, path: str, acl: Acl, forwarder: Forwarder) -> None:
        self.forwards = Forwards(path, acl, forwarder)
        self._acl = acl
        self._watchers: dict[str, int] = {}  # user ids by unique name, the oldest first

    @property
    def watchers(self) -> Iterator[str]:
        """The unique names of the connections that hear of the session's progress."""
        return iter(self._watchers)

    def watch(self, caller: Caller) -> None:
        """Let a caller hear of the session's progress from now on; the oldest beyond MAX_WATCHERS does no more."""
        self._watchers[caller.name] = caller.uid
        while len(self._watchers) > MAX_WATCHERS:
            del self._watchers[next(iter(self._watchers))]

    def drop(self, name: str) -> None:
        """Tell the connection of this unique name nothing more."""
        self._watchers.pop(name, None)
        self.forwards.drop(name)

    def keep_users(self) -> None:
        """Tell those nothing more who may not use the session any more."""
        self.forwards.keep(lambda uid: is_user(uid, self._acl))
        self._watchers = {name: uid for name, uid in self._watchers.items() if is_user(uid, self._acl)}
