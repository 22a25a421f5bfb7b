"""Progress of a command that waits: a spinner on a terminal, plain lines elsewhere; on standard error."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from types import TracebackType
from typing import Protocol

from .run import say


class Progress(AbstractContextManager["Progress"], Protocol):
    """Shows one line of text at a time; remove it by leaving the context."""

    def show(self, text: str) -> None:
        """Replace what is shown."""

    def hidden(self) -> AbstractContextManager[object]:
        """Within this block nothing is shown, and others may write on standard error."""


def progress(*, quiet: bool = False) -> "Progress":
    """A spinner if standard error is a terminal, else lines; nothing if it is to be `quiet`."""
    if quiet:
        return Nothing()
    return Spinner() if sys.stderr and sys.stderr.isatty() else Lines()


class Lines:
    """Each new text on a line of its own."""

    def __init__(self) -> None:
        self._last = ""

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, text: str) -> None:
        """Print `text`, unless it was the last one."""
        if text != self._last:
            say(text)
            self._last = text

    def hidden(self) -> AbstractContextManager[object]:
        """No effect: lines need not be hidden."""
        return nullcontext()


class Nothing(Lines):
    """Nothing at all."""

    def show(self, text: str) -> None:
        """No effect."""


class Spinner:
    """A spinner beside the current text; errors of a terminal that was closed are ignored."""

    def __init__(self) -> None:
        # Imported here, because only a terminal needs it.
        from rich.console import Console

        self._status = Console(stderr=True).status("")

    def __enter__(self) -> "Spinner":
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _start(self) -> None:
        with suppress(OSError):
            self._status.start()

    def _stop(self) -> None:
        with suppress(OSError):
            self._status.stop()

    def show(self, text: str) -> None:
        """Replace the text beside the spinner."""
        from rich.text import Text

        self._status.update(Text(text))

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Remove the spinner for the time of a block."""
        self._stop()
        try:
            yield
        finally:
            self._start()
