"""The program starts itself anew with the settings by which freed memory is overwritten, once."""

import subprocess
import sys

import pytest

from ...supervisor.start.allocator import SETTINGS, overwrites_freed
from ...supervisor.version import VERSION

# The program, saying so when it starts itself anew; what is started then says nothing, and would go on for ever.
CODE = """
import os
from openvpn3_sessionmgr.supervisor.__main__ import main
real = os.execve
def execve(*arguments):
    print("anew", flush=True)
    real(*arguments)
os.execve = execve
main()
"""
SOME = {"PYTHONMALLOC": "malloc", "MALLOC_PERTURB_": "165"}


@pytest.mark.parametrize("flags", [[], ["-I"], ["-E"], ["-P", "-s"]])
@pytest.mark.parametrize("environment", [{}, SOME, SETTINGS])
def test_it_starts_anew_once_however_it_was_started(flags: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, *flags, "-c", CODE, "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=True)
    assert VERSION in done.stdout
    good = environment == SETTINGS and flags in ([], ["-P", "-s"])
    assert done.stdout.count("anew\n") == (0 if good else 1)


@pytest.mark.parametrize("environment", [{}, SOME, {**SETTINGS, "MALLOC_PERTURB_": "0"}])
def test_half_of_the_settings_is_none(environment: dict[str, str]) -> None:
    assert not overwrites_freed(environment)


def test_all_of_them_are_enough() -> None:
    assert overwrites_freed({**SETTINGS, "PATH": "/bin"})
