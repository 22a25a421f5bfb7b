"""Whose a session is, and whom its owner lets in: what changing that means for those who hear of it."""

from ...policy.dbus_numbers import LogCategory
from ...policy.limits import MAX_GRANTED_USERS
from ..errors import CallerError
from .session import Session


def grant(session: Session, uid: int) -> None:
    """Let a user use the session.  Raises CallerError, in the original's words."""
    granted = session.acl.granted
    if uid in granted:
        raise CallerError("UID already granted access")
    if len(granted) >= MAX_GRANTED_USERS:
        raise CallerError(f"A session may be shared with {MAX_GRANTED_USERS} users: revoke one first")
    granted.add(uid)
    session.note()
    session.log.write(LogCategory.VERB1, f"Access granted to user {uid}")


def revoke(session: Session, uid: int) -> None:
    """Undo `grant`; the user's connections hear no more of it.  Raises CallerError, in the original's words."""
    if uid not in session.acl.granted:
        raise CallerError("UID not granted access")
    session.acl.granted.discard(uid)
    session.note()
    session.log.write(LogCategory.VERB1, f"Access revoked from user {uid}")
    session.audience.keep_users()


def transfer(session: Session, uid: int) -> None:
    """Give the session to another user; whom it is shared with stays.  Raises CallerError."""
    if session.inside.namespace is not None:
        raise CallerError("Its device is in a network namespace of its owner's, for commands: end these first")
    before = session.acl.owner
    session.acl.owner = uid
    session.note()
    session.log.write(LogCategory.INFO, f"Ownership transferred from user {before} to user {uid}")
    session.audience.keep_users()
