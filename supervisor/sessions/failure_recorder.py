"""Which ends of sessions are failures, and what is kept of these."""

import time

from ...policy.causes import Cause
from ...policy.dbus_numbers import SESSION_FAILED, StatusMinor
from ...policy.limits import MAX_STATUS_TEXT
from ..logging.log import escape_control_characters
from .dossier import Outline
from .failures import Failures
from .past_failure import PastFailure, Reached
from .session import Session


class FailureRecorder:
    """Keeps why sessions failed: of what one has told of itself, the first."""

    def __init__(self, failures: Failures) -> None:
        self._failures = failures

    def status_changed(self, session: Session) -> None:
        """A session has another status, perhaps one of a failure."""
        _, minor, text = session.status
        error = session.last_error
        if minor in SESSION_FAILED and error is not None:
            self._keep_once(session, minor, text, error.cause)
        elif minor == StatusMinor.CONN_DONE and text:
            self._keep_once(session, minor, text, Cause.SERVER_ENDED)
        elif minor == StatusMinor.CONN_DONE and error is not None:
            self._keep_once(session, minor, f"Ended while it was not connected: {error.text}", error.cause)

    def not_started(self, session: Session, text: str) -> None:
        """A session could not be started."""
        cause = Cause.SERVICE_FAILED if session.last_error is None else session.last_error.cause
        self._keep_once(session, StatusMinor.CFG_ERROR, text, cause)

    def lost(self, session: Outline, reached: Reached, reason: str) -> None:
        """A session of an earlier instance could not go on."""
        self._keep(session, reached, StatusMinor.CONN_FAILED, reason, Cause.SERVICE_FAILED)

    def _keep_once(self, session: Session, minor: int, text: str, cause: Cause) -> None:
        if not self._failures.has(session.starter, session.path):
            self._keep(session, session.reached, minor, text, cause)

    def _keep(self, session: Session | Outline, reached: Reached, minor: int, text: str, cause: Cause) -> None:
        now = int(time.time())
        self._failures.add(
            PastFailure(
                time=now,
                owner=session.acl.owner,
                starter=session.starter,
                session=session.path,
                profile=session.config_name,
                reached=reached,
                seconds=max(now - session.created, 0),
                status=minor,
                text=escape_control_characters(text)[:MAX_STATUS_TEXT],
                cause=cause,
            )
        )
