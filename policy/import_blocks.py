"""Modules that libraries import and nothing here uses: blocked, or imported later, when they are used.

Each Python that starts as part of the service does without them.
"""

import importlib
import os
import sys
from types import ModuleType
from typing import Any

# asyncio's TLS: 10 ms.  What msgspec takes for older Pythons: 4 ms, or 10 where nothing else imports inspect.
# OpenSSL's digests, in whose place hashlib has Python's own: 3 ms and 0.75 MB.
BLOCKED_IMPORTS = ("ssl", "typing_extensions", "_hashlib")

# What asyncio, traceback, msgspec and dbus-fast import for what they do later, if at all: 12 ms, and 3 MB that the
# service does without for good.  With each, what is used of it when it is imported.
_POSTPONED: dict[str, dict[str, Any]] = {
    "ast": {},
    "asyncio.sslproto": {},
    "asyncio.staggered": {},
    "hashlib": {},
    "inspect": {},
    "msgspec.inspect": {},
    "subprocess": {"PIPE": -1, "STDOUT": -2, "DEVNULL": -3},
    "textwrap": {},
    "tokenize": {},
    "xml.etree.ElementTree": {"Element": lambda *given, **more: _of("xml.etree.ElementTree").Element(*given, **more)},
    "xml.parsers.expat": {},
}

# What showing an error takes, perhaps one that no file can be opened.
_OF_ERRORS = ("ast", "inspect", "textwrap", "tokenize")


class _Postponed(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked for by the import system
            raise AttributeError(name)
        return getattr(self.take_place(), name)

    def take_place(self) -> ModuleType:
        """Import the module; this has what is in it, for those who have this."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        module = importlib.import_module(self.__name__)
        self.__dict__.update(module.__dict__)
        return module


def block_imports() -> None:
    """Make those that are blocked seem not to be installed (sys.modules in the Python documentation)."""
    for name in BLOCKED_IMPORTS:
        sys.modules[name] = None  # type: ignore[assignment]
    # 4 ms; uuid imports it to ask for the name of the system, and msgspec imports uuid.
    _postpone("platform", {"system": lambda: os.uname().sysname})


def unblock_imports() -> None:
    """Allow their import again."""
    for name in BLOCKED_IMPORTS:
        del sys.modules[name]


def postpone_imports() -> None:
    """Have modules imported when they are used: for a process that can still read files then."""
    for package in ("xml.etree", "xml.parsers"):  # `import xml.etree.ElementTree as …` looks for it there
        importlib.import_module(package)
    for name, used in _POSTPONED.items():
        _postpone(name, used)


def import_for_errors() -> None:
    """Import now what showing an error takes: later no file may be opened."""
    for name in _OF_ERRORS:
        module = sys.modules.get(name)
        if isinstance(module, _Postponed):
            module.take_place()


def _postpone(name: str, used: dict[str, Any]) -> None:
    """Have something stand for a module that is not imported yet, with what is `used` of it at the start."""
    if name not in sys.modules:
        sys.modules[name] = stand_in = _Postponed(name)
        stand_in.__dict__.update(used)


def _of(name: str) -> Any:
    """A module itself, imported if need be."""
    module = sys.modules[name]
    return module.take_place() if isinstance(module, _Postponed) else module
