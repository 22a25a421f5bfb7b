"""Answers to a session's questions: typed at the terminal, read from standard input, or from a file."""

import asyncio
import os
import stat
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .exits import CommandError, CommandExit, sanitize
from .run import say
from .services import SESSIONS

if TYPE_CHECKING:
    from .bus import Bus
    from .progress import Progress

_MAX_TRIES = 3  # at the terminal, for one answer
_LOCAL_MODES = 3  # index in what tcgetattr gives
_HINT = "Run ovpnctl at a terminal, or give the answers on standard input, one a line, or by --credentials-file."


@dataclass(frozen=True)
class Question:
    """A request for user input; type (`kind`), group and number identify it within the session."""

    kind: int
    group: int
    number: int
    name: str
    label: str
    hidden: bool

    @property
    def prompt(self) -> str:
        """The label as it is printed before an answer, as the openvpn3 command line does."""
        return f"{sanitize(self.label)}: "


class Asker:
    """Answers a session's questions with what the user types.

    `credentials` are answers that are known already, by the question's name; each is used once.  With `terminal_only`,
    standard input that is none is left alone.
    """

    def __init__(
        self,
        bus: "Bus",
        progress: "Progress",
        credentials: dict[str, str] | None = None,
        *,
        terminal_only: bool = False,
    ) -> None:
        self._bus = bus
        self._progress = progress
        self._known = dict(credentials or {})
        self._input = Input(terminal_only=terminal_only)

    async def answer(self, path: str) -> bool:
        """Answer all questions of the session at `path`; whether there were any.  Raises CommandError."""
        asked = False
        async for question in questions_of(self._bus, path):
            asked = True
            await self._answer(path, question)
        return asked

    async def answer_and_connect(self, path: str) -> None:
        """Answer all questions of the session at `path`, and call Connect.  Raises CommandError."""
        if await self.answer(path):
            await self._bus.call(SESSIONS, "Connect", path=path)

    async def _answer(self, path: str, question: Question) -> None:
        which = (question.kind, question.group, question.number)
        for attempt in range(1, _MAX_TRIES + 1):
            text = self._known.pop(question.name, None)
            if text is None:
                with self._progress.hidden():
                    text = await self._input.line(question.prompt, hidden=question.hidden)
            if text is None:
                asked = question.label or question.name
                raise CommandError(f"the session asks: {asked}", CommandExit.AUTHENTICATION_FAILED, _HINT)
            try:
                await self._bus.call(SESSIONS, "UserInputProvide", "uuus", *which, text, path=path)
                return
            except CommandError as error:
                if question.number not in await _open(self._bus, path, question.kind, question.group):
                    return  # another front-end has answered it
                needed = CommandError(f"an answer is needed: {question.label}", CommandExit.AUTHENTICATION_FAILED)
                told = error if text else needed
                if not self._input.interactive or attempt == _MAX_TRIES:
                    raise told from None
                say(sanitize(told.message))


async def questions_of(bus: "Bus", path: str) -> AsyncIterator[Question]:
    """What the session at `path` asks now.  Raises CommandError."""
    groups = await bus.call(SESSIONS, "UserInputQueueGetTypeGroup", path=path)
    for kind, group in groups.body[0]:
        for number in await _open(bus, path, kind, group):
            fetched = await bus.call(SESSIONS, "UserInputQueueFetch", "uuu", kind, group, number, path=path)
            yield Question(*fetched.body)


async def _open(bus: "Bus", path: str, kind: int, group: int) -> list[int]:
    numbers = await bus.call(SESSIONS, "UserInputQueueCheck", "uu", kind, group, path=path)
    return list(numbers.body[0])


class Input:
    """Lines of standard input, read without blocking the event loop."""

    def __init__(self, *, terminal_only: bool = False) -> None:
        self._descriptor = sys.stdin.fileno() if sys.stdin and not sys.stdin.closed else -1
        if terminal_only and self._descriptor >= 0 and not os.isatty(self._descriptor):
            self._descriptor = -1
        self._buffer = b""
        self.interactive = self._descriptor >= 0 and os.isatty(self._descriptor)

    async def line(self, prompt: str, *, hidden: bool) -> str | None:
        """The next line, asked for with `prompt` at a terminal; None if there is no more.

        Raises CommandError if it cannot be read, or is not text.
        """
        if self._descriptor < 0:
            return None
        if not self.interactive:
            return await self._next()
        if not hidden:
            say(prompt, newline=False)
            return await self._next()
        with _no_echo(self._descriptor):
            say(prompt, newline=False)
            try:
                return await self._next()
            finally:
                say()

    async def _next(self) -> str | None:
        while b"\n" not in self._buffer:
            data = await self._read()
            if not data:
                rest, self._buffer = self._buffer, b""
                return _text(rest) if rest else None
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return _text(line.removesuffix(b"\r"))

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, readable.set)
        except PermissionError:  # a file: always readable
            return self._read_now()
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._descriptor)
        return self._read_now()

    def _read_now(self) -> bytes:
        try:
            return os.read(self._descriptor, 4096)
        except OSError as error:
            if self.interactive:  # the terminal is gone
                return b""
            raise CommandError(f"standard input cannot be read: {error.strerror}", CommandExit.REFUSED) from error


@contextmanager
def _no_echo(terminal: int) -> Iterator[None]:
    """Switch off the terminal's echo within the block."""
    before = termios.tcgetattr(terminal)
    silent = list(before)
    silent[_LOCAL_MODES] &= ~termios.ECHO
    termios.tcsetattr(terminal, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _text(line: bytes) -> str:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise CommandError("the input is not UTF-8", CommandExit.REFUSED) from None
    if "\0" in text:  # no text on a bus has one: the bus would close the connection
        raise CommandError("the input is not text: it contains a NUL byte", CommandExit.REFUSED)
    return text


def read_credentials(file: str | None) -> dict[str, str]:
    """User name and password, the first two lines of `file`, as OpenVPN's auth-user-pass has them; none without one.

    Raises CommandError.
    """
    if file is None:
        return {}
    try:
        with Path(file).open(encoding="utf-8") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            lines = [opened.readline().rstrip("\r\n") for _ in range(2)]
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}", CommandExit.REFUSED) from error
    except UnicodeDecodeError:
        raise CommandError(f"{file} is not UTF-8", CommandExit.REFUSED) from None
    if any("\0" in line for line in lines):
        raise CommandError(f"{file} is not text: it contains a NUL byte", CommandExit.REFUSED)
    if not all(lines):
        raise CommandError(f"{file} needs a user name and, on the next line, a password", CommandExit.REFUSED)
    if stat.S_ISREG(mode) and mode & (stat.S_IRGRP | stat.S_IROTH):
        say(f"Warning: other users may read {sanitize(file)}")
    return dict(zip(("username", "password"), lines, strict=True))
