"""The user ids of sessions: one each, of a range that nobody else uses."""

from pathlib import Path

from ...policy.exit_status import ExitStatus
from ...policy.limits import MAX_SESSIONS
from ..errors import StartError, SystemFailure

_PASSWD_FORMAT = ("/etc/passwd", "/etc/group")  # name:…:id:…
_SUBID_FORMAT = ("/etc/subuid", "/etc/subgid")  # name:first:count (subuid(5))


class UserIds:
    """Hands out the ids of `ids`; one comes back only when nothing of its session is left."""

    def __init__(self, ids: range, *, shared: bool = False) -> None:
        """With `shared`, all sessions get the same."""
        self.enough_for = MAX_SESSIONS if shared else len(ids)  # sessions
        self._free = list(reversed(ids))
        self._shared = shared

    def take(self) -> int:
        """The lowest free id.  Raises SystemFailure if there is none."""
        if not self._free:
            raise SystemFailure("All user ids for sessions are in use; end a session, or give a larger --session-uids")
        return self._free[-1] if self._shared else self._free.pop()

    def reserve(self, uid: int) -> bool:
        """Take this one, which a session has from before; False if it is none of ours, or another has it."""
        if uid not in self._free:
            return False
        if not self._shared:
            self._free.remove(uid)
        return True

    def give_back(self, uid: int) -> None:
        if self._shared:
            return
        self._free.append(uid)
        self._free.sort(reverse=True)


def check_unused(ids: range, root: Path = Path("/")) -> None:
    """Make sure that no account, group or container's id range overlaps `ids`.

    Raises StartError naming the entry.  Reads the files of `root`'s /etc alone: enumerating a directory service may
    take minutes.
    """
    for name in (*_PASSWD_FORMAT, *_SUBID_FORMAT):
        try:
            lines = (root / name.lstrip("/")).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            fields = line.split(":")
            try:
                first = int(fields[2] if name in _PASSWD_FORMAT else fields[1])
                count = 1 if name in _PASSWD_FORMAT else int(fields[2])
            except (IndexError, ValueError):
                continue
            if first < ids.stop and first + count > ids.start:
                raise StartError(
                    f"{name}: {fields[0]!r} uses ids of the range for sessions ({ids.start} to {ids.stop - 1}); "
                    "choose another with --session-uids FIRST-LAST",
                    ExitStatus.CANNOT_START,
                )
