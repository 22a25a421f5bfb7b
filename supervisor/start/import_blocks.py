"""Modules that others import where they are there, for what nothing here uses, and do without where they are not."""

import sys

# asyncio's TLS: 10 ms.  What msgspec takes for older Pythons: 4 ms, or 10 where nothing else imports inspect.
SPARED = ("ssl", "typing_extensions")


def spare() -> None:
    """From now on they seem not to be installed (sys.modules in the Python documentation)."""
    for name in SPARED:
        sys.modules[name] = None  # type: ignore[assignment]


def spare_no_longer() -> None:
    """Let them be imported by whoever wants them later."""
    for name in SPARED:
        del sys.modules[name]
