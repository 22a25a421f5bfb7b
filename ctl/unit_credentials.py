"""Systemd credentials of the unit that ovpnctl runs in: opened by root, read when they are asked for."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..policy.limits import MAX_INPUT, MAX_UNIT_CREDENTIALS
from ..policy.profile.bound_credentials import DIRECTORY, PREFIX, answer_in, credential_name
from .exits import CommandError, CommandExit
from .services import SESSIONS
from .sessions import inspected

if TYPE_CHECKING:
    from .bus import Bus


class UnitCredentials:
    """Those that may be for profiles.  Only who they were given to can open them, so that is done first."""

    def __init__(self) -> None:
        """Raises CommandError."""
        self._open: dict[str, int] = {}
        where = os.environ.get(DIRECTORY)
        if not where:
            return
        try:
            names = [file.name for file in Path(where).iterdir() if file.name.startswith(f"{PREFIX}.")]
            if len(names) > MAX_UNIT_CREDENTIALS:
                raise CommandError(
                    f"the unit has {len(names)} credentials for profiles, and may have {MAX_UNIT_CREDENTIALS}",
                    CommandExit.REFUSED,
                )
            for name in names:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                self._open[name] = os.open(Path(where, name), flags)
        except OSError as error:
            raise CommandError(
                f"the unit's credentials cannot be read: {error.filename}: {error.strerror}", CommandExit.REFUSED
            ) from error

    def answers(self, fingerprint: str, questions: Iterable[str]) -> dict[str, str]:
        """The answers to questions of a profile with this fingerprint, by their names; those that there are.

        Raises CommandError, which names the credential that cannot be used.
        """
        found = {}
        for question in questions:
            name = credential_name(fingerprint, question)
            if name in self._open:
                try:
                    found[question] = _answer(self._open[name])
                except (OSError, ValueError) as error:
                    why = error.strerror if isinstance(error, OSError) else error
                    raise CommandError(f"the credential {name} cannot be used: {why}", CommandExit.REFUSED) from None
        return found


class UnitAnswers:
    """Answers what a session asks by these credentials; nothing twice to the same worker, since it may be wrong."""

    def __init__(self, bus: "Bus", credentials: UnitCredentials) -> None:
        self._bus = bus
        self._credentials = credentials
        self._told = set[tuple[int, str]]()  # the worker's process id, and the question

    async def answer(self, path: str) -> bool:
        """Answer all questions of the session at `path`; whether there were any.  Raises CommandError."""
        from .credentials import questions_of

        questions = [one async for one in questions_of(self._bus, path)]
        if not questions:
            return False
        worker = await self._bus.property(SESSIONS, path, "backend_pid")
        fingerprint = (await inspected(self._bus, path)).get("fingerprint", "")
        answers = self._credentials.answers(fingerprint, [one.name for one in questions])
        if missing := [one.label for one in questions if one.name not in answers]:
            raise CommandError(
                f"the session asks for {', '.join(missing)}, and the unit has no credential for that",
                CommandExit.REFUSED,
                "`ovpnctl config-credentials` names those for the profile as it is now.",
            )
        if again := [one.label for one in questions if (worker, one.name) in self._told]:
            raise CommandError(
                f"the session asks once more for {', '.join(again)}: the credential is wrong",
                CommandExit.AUTHENTICATION_FAILED,
            )
        for one in questions:
            self._told.add((worker, one.name))
            which = (one.kind, one.group, one.number)
            await self._bus.call(SESSIONS, "UserInputProvide", "uuus", *which, answers[one.name], path=path)
        return True

    async def answer_and_connect(self, path: str) -> None:
        """The same, and call Connect if there were any.  Raises CommandError."""
        if await self.answer(path):
            await self._bus.call(SESSIONS, "Connect", path=path)


def _answer(descriptor: int) -> str:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise ValueError("it is no file")
    return answer_in(os.pread(descriptor, MAX_INPUT + len("\r\n") + 1, 0))
