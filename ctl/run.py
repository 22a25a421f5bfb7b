"""From a click command into the event loop and onto the bus."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .exits import Exit

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
        sys.exit(Exit.INTERRUPTED)


def print_json(value: Any) -> None:
    """Print `value` on standard output as JSON, and nothing else."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def say(text: str) -> None:
    """A line of what is going on, on standard error."""
    click.echo(text, err=True)
