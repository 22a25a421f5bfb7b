"""The log of one session: in the service's log, and in the forwards to clients."""

from ...policy.dbus_numbers import DEFAULT_LOG_LEVEL, SESSION_FAILED, LogCategory, LogGroup, StatusMinor, shown
from ..logging.log import Log, escape_control_characters
from .forwarding import Forwards

FOR_USER_ALONE = (StatusMinor.SESS_AUTH_URL, StatusMinor.CFG_REQUIRE_USER)  # what the server says to its user


class SessionLog:
    """Writes a session's lines to where they belong."""

    def __init__(self, session: str, log: Log, forwards: Forwards, user: int) -> None:
        """`user` is whose lines these count as."""
        self.user = user
        self.level = DEFAULT_LOG_LEVEL  # of its forwards, 0 to 6; until the worker knows what the profile says
        self.last: tuple[int, int, str] = (0, 0, "")  # group, category, text of the last line that its level shows
        self._session = session
        self._log = log
        self._forwards = forwards

    def write(
        self, category: LogCategory, text: str, group: LogGroup = LogGroup.SESSIONMGR, *, user: int | None = None
    ) -> None:
        """Write a line to the service's log and, if the session's own level shows it, to its forwards.

        `user` is who causes it, if not the session's.
        """
        self.note(category, text, group, user=user)
        if shown(category, self.level):
            text = escape_control_characters(text)
            self.last = (group, category, text)
            self._forwards.line(group, category, text)

    def note(
        self, category: LogCategory, text: str, group: LogGroup = LogGroup.SESSIONMGR, *, user: int | None = None
    ) -> None:
        """Write what clients learn in another way, or not at all, to the service's log only."""
        self._log.write(group, category, text, self._session, user=self.user if user is None else user)

    def note_status(self, status: tuple[int, int, str]) -> None:
        """Note a status, without what is meant for the session's user alone."""
        _, minor, text = status
        if minor in FOR_USER_ALONE:
            text = ""
        words = StatusMinor(minor).name.replace("_", " ").capitalize()
        category = LogCategory.ERROR if minor in SESSION_FAILED else LogCategory.VERB1
        self.note(category, f"{words}: {text}" if text else words)
