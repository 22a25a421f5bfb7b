"""Replies to calls: a result, or an error as errors.py describes it."""

import traceback
from typing import Any, Protocol

from dbus_fast import Message, MessageFlag, MessageType
from dbus_fast.signature import SignatureTree

from ...policy.limits import LARGE_REPLY, MAX_ERROR_TEXT
from ..errors import CallerError, SupervisorError
from .budget import NoRoom
from .connection import BusConnection
from .errors import FAILED, LIMITS_EXCEEDED, UNEXPECTED, CallRejected, describe

_NO_REPLY = MessageFlag.NO_REPLY_EXPECTED.value

PROPERTIES = "org.freedesktop.DBus.Properties"
PROPERTY_CALLS = {"Get": "ss", "GetAll": "s", "Set": "ssv"}


class ErrorLog(Protocol):
    """Where internal errors are logged."""

    def error(self, text: str, *, user: int | None = None) -> None: ...


class Replies:
    """Answers calls on `connection`; one whose caller wants no reply gets none."""

    def __init__(self, connection: BusConnection, log: ErrorLog) -> None:
        self._connection = connection
        self._log = log

    def give(self, call: Message, signature: SignatureTree, body: list[Any]) -> None:
        """Answer with results.

        Raises NoRoom if the caller leaves too much unread, ValueError or dbus-fast's own errors if `body` does not fit
        `signature`.
        """
        if expects_reply(call):
            if body and type(body[0]) is str and len(body[0]) > LARGE_REPLY:
                self._check_room(call, signature, body)
            self._connection.post(
                Message(
                    destination=call.sender,
                    message_type=MessageType.METHOD_RETURN,
                    reply_serial=call.serial,
                    signature=signature,
                    body=body,
                    validate=False,
                )
            )

    def _check_room(self, call: Message, signature: SignatureTree, body: list[Any]) -> None:
        account = self._connection.budget.accounts.get(call.sender or "")
        if account is not None and not account.admits(len(body[0])):
            raise NoRoom(signature, body, len(body[0]))

    def refuse(self, call: Message, error: BaseException) -> None:
        """Answer with the D-Bus error for `error`; if it is not the caller's, it is logged as well."""
        try:
            self._refuse(call, error)
        finally:
            _forget_locals(error)

    def _refuse(self, call: Message, error: BaseException) -> None:
        if isinstance(error, CallRejected):
            self.error(call, error.name, str(error))
        elif isinstance(error, SupervisorError):
            if not isinstance(error, CallerError):
                self._log.error(f"{_name(call)}: {error}", user=self._user(call))
            self.error(call, *describe(error, of_property=call.member in PROPERTY_CALLS))
        else:
            # The traceback is not for the caller.
            trace = "".join(traceback.format_exception(error))
            self._log.error(f"{_name(call)} failed:\n{trace}", user=self._user(call))
            self.error(call, FAILED, UNEXPECTED)

    def _user(self, call: Message) -> int | None:
        account = self._connection.budget.accounts.get(call.sender or "")
        return account.user.uid if account is not None else None

    def error(self, call: Message, name: str, text: str) -> None:
        """Answer with the error `name`."""
        if expects_reply(call):
            self._connection.post(Message.new_error(call, name, text[:MAX_ERROR_TEXT].replace("\0", "")))

    def nothing_read(self, call: Message) -> None:
        """Answer that the caller's user leaves too much unread; or not even that, if too much of that is unread."""
        self.error(call, LIMITS_EXCEEDED, "Your connections leave too many replies unread: read them first")


def expects_reply(call: Message) -> bool:
    """Whether the caller wants an answer."""
    return not call.flags.value & _NO_REPLY


def _forget_locals(error: BaseException | None) -> None:
    """Clear the local variables of the functions that raised `error`: a profile, or what a user typed.

    What keeps the error, often itself by way of those variables, would keep them too.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _name(call: Message) -> str:
    return f"{call.interface or ''}.{call.member} on {call.path}"
