"""Output that cannot be written: one line about it where that can be said, and an exit status that fits."""

import os
import subprocess
import sys

import pytest

from ...ctl.exits import CommandExit

_OVPNCTL = "from openvpn3_sessionmgr.ctl.__main__ import main; main()"
_FULL = "No space left on device"


def run(program: str, redirection: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python code with the shell's redirection."""
    shell = ["bash", "-c", f'exec "$@" {redirection}', "bash", sys.executable, "-c", program, *arguments]
    return subprocess.run(shell, capture_output=True, text=True, timeout=30)


def test_a_result_that_cannot_be_written() -> None:
    program = """
from openvpn3_sessionmgr.ctl.exits import CommandError
from openvpn3_sessionmgr.ctl.run import put
try:
    put("result")
except CommandError as error:
    raise SystemExit(f"{error.status:d} {error}")
"""
    done = run(program, ">/dev/full")
    assert (done.returncode, done.stderr) == (1, f"1 Error: standard output cannot be written: {_FULL}\n")
    assert run(program, ">&-").returncode == 0


_GOING_ON = """
from openvpn3_sessionmgr.ctl.progress import progress
from openvpn3_sessionmgr.ctl.run import say
with progress() as shown:
    shown.show("going on")
    say("going on")
print("result")
"""


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_what_is_said_is_not_what_counts(redirection: str) -> None:
    done = run(_GOING_ON, redirection)
    assert (done.returncode, done.stdout) == (0, "result\n")


def test_what_nobody_hears() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-c", _GOING_ON]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=writing, text=True, timeout=30)
    os.close(writing)
    assert (done.returncode, done.stdout) == (0, "result\n")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_that_cannot_be_written(argument: str) -> None:
    done = run(_OVPNCTL, ">/dev/full", argument)
    assert (done.returncode, done.stderr) == (CommandExit.OTHER, f"Error: {_FULL}\n")
