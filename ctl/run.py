"""Running a command on the bus, and its output: results, messages, questions."""

import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from .exits import CommandError, CommandExit

if TYPE_CHECKING:
    from .bus import Bus

Result = TypeVar("Result")


def on_bus(work: Callable[["Bus"], Awaitable[Result]]) -> Result:
    """Connect to the bus, do `work` there, and return what it returns."""
    # Imported here, because these take longer to load than --help and --version may take.
    import asyncio

    from .bus import system_bus

    async def connected() -> Result:
        async with system_bus() as bus:
            return await work(bus)

    try:
        return asyncio.run(connected())
    except KeyboardInterrupt:
        sys.exit(CommandExit.INTERRUPTED)


def print_json(value: Any) -> None:
    """Print `value` on standard output as JSON, and nothing else."""
    put(json.dumps(value, indent=2, ensure_ascii=False))


def put(text: str, *, newline: bool = True) -> None:
    """Print a result on standard output.

    Raises CommandError if it cannot be written, and BrokenPipeError, at which click ends silently, if nobody reads.
    """
    try:
        click.echo(text, nl=newline)
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(sys.stdout)
        raise CommandError(f"standard output cannot be written: {error.strerror}", CommandExit.OTHER) from error


def say(text: str = "", *, newline: bool = True) -> None:
    """Print a message on standard error; an error in doing so is ignored."""
    try:
        click.echo(text, err=True, nl=newline)
    except OSError:
        silence(sys.stderr)


def silence(stream: IO[str]) -> None:
    """Send what `stream` still buffers, and all that follows, to /dev/null: Python would fail on it again at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def at_terminal() -> bool:
    """Whether somebody types at standard input and sees standard output."""
    return all(stream is not None and not stream.closed and stream.isatty() for stream in (sys.stdin, sys.stdout))


def ask(question: str) -> str:
    """Ask on standard error; a line of standard input, empty at its end.  Raises CommandError at Ctrl-C."""
    say(f"{question} ", newline=False)
    # click.prompt would write to standard output too, in some versions.
    try:
        line = sys.stdin.readline() if sys.stdin else ""
        if not line.endswith("\n"):  # nobody has ended the line of the question
            say()
        return line.strip()
    except OSError:  # the terminal is gone
        return ""
    except UnicodeDecodeError:
        return "?"
    except KeyboardInterrupt:
        say()
        raise CommandError("interrupted", CommandExit.INTERRUPTED) from None
