"""Blocking imports of modules that libraries import if they are available, and that nothing here uses."""

import sys

# asyncio's TLS: 10 ms.  What msgspec takes for older Pythons: 4 ms, or 10 where nothing else imports inspect.
# OpenSSL's digests, in whose place hashlib has Python's own: 3 ms and 0.75 MB.
BLOCKED_IMPORTS = ("ssl", "typing_extensions", "_hashlib")


def block_imports() -> None:
    """Make them seem not to be installed (sys.modules in the Python documentation)."""
    for name in BLOCKED_IMPORTS:
        sys.modules[name] = None  # type: ignore[assignment]


def unblock_imports() -> None:
    """Allow their import again."""
    for name in BLOCKED_IMPORTS:
        del sys.modules[name]
