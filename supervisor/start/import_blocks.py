"""Modules that others import where they are there, for what nothing here uses, and do without where they are not."""

import sys

# asyncio's TLS: 10 ms.  What msgspec takes for older Pythons: 4 ms, or 10 where nothing else imports inspect.
BLOCKED_IMPORTS = ("ssl", "typing_extensions")


def block_imports() -> None:
    """From now on they seem not to be installed (sys.modules in the Python documentation)."""
    for name in BLOCKED_IMPORTS:
        sys.modules[name] = None  # type: ignore[assignment]


def unblock_imports() -> None:
    """Let them be imported by whoever wants them later."""
    for name in BLOCKED_IMPORTS:
        del sys.modules[name]
