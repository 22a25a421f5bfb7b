"""Modules that are not imported at the start: what stands for them, and what they are when they are used."""

import subprocess
import sys

import pytest

from ...policy import import_blocks

_POSTPONED = list(import_blocks._POSTPONED)


def in_python(*lines: str) -> list[str]:
    """What a Python in which imports are blocked and postponed prints."""
    begin = "import sys; from openvpn3_sessionmgr.policy.import_blocks import *; block_imports(); postpone_imports()"
    code = "\n".join([begin, *lines])
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_nothing_of_the_start_uses_them() -> None:
    listed = [
        "import openvpn3_sessionmgr.supervisor.program",
        "import openvpn3_sessionmgr.supervisor.presence",
        "print(*(name for name in _POSTPONED if isinstance(sys.modules[name], _Postponed)))",
    ]
    [line] = in_python("from openvpn3_sessionmgr.policy.import_blocks import _POSTPONED, _Postponed", *listed)
    # A dbus-fast that is compiled, as Debian's, looks into it to tell it of its coroutines.
    assert set(_POSTPONED) - set(line.split()) <= {"inspect"}


@pytest.mark.parametrize("name", [*_POSTPONED, "platform"])
def test_one_that_is_used_is_the_module_itself(name: str) -> None:
    """By who has imported it before, and by who imports it then; with what was used of it as it is there."""
    parent = name.rpartition(".")[0] or "sys"
    lines = [
        f"import {parent}",
        f"import {name} as before",
        "known = {name: value for name, value in vars(before).items() if not name.startswith('__')}",
        "unblock_imports()",
        "before.take_place()",
        f"import {name} as after",
        "print(after is sys.modules[after.__name__], vars(after).items() <= vars(before).items())",
        "print(*(name for name in known if callable(known[name]) is not callable(getattr(after, name))))",
        "print(*(name for name in known if not callable(known[name]) and known[name] != getattr(after, name)))",
    ]
    assert in_python(*lines) == ["True True", "", ""]


def test_an_element_can_be_made_while_it_is_not_imported() -> None:
    lines = ["import xml.etree.ElementTree as tree", "print(tree.tostring(tree.Element('a', b='c')).decode())"]
    assert in_python(*lines) == ['<a b="c" />']


def test_an_error_is_shown_when_no_file_can_be_opened() -> None:
    """And what else was postponed stays so: it is 3 MB."""
    lines = [
        "import asyncio, msgspec, dbus_fast.aio, resource, traceback",
        "unblock_imports()",
        "import_for_errors()",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))",
        "async def fail():",
        "    raise ExceptionGroup('all', [ValueError('one')])",
        "try:",
        "    fail().send(None)",
        "except ExceptionGroup as error:",
        "    print(traceback.format_exc().count('ValueError: one'), repr(error))",
        "print('_ssl' in sys.modules, '_posixsubprocess' in sys.modules)",
    ]
    assert in_python(*lines) == ["1 ExceptionGroup('all', [ValueError('one')])", "False False"]


def test_those_that_are_blocked_can_be_imported_again() -> None:
    lines = ["import hashlib", "print(hashlib.sha256(b'').hexdigest()[:8])", "unblock_imports()", "import ssl"]
    assert in_python(*lines, "print(ssl.OPENSSL_VERSION != '')") == ["e3b0c442", "True"]
