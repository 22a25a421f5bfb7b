"""Progress: a spinner on a terminal, plain lines in a pipe, never on standard output."""

import os
import pty
import subprocess
import sys

_PROGRAM = """
from openvpn3_sessionmgr.ctl.progress import progress
with progress() as shown:
    for text in ("first", "first", "[bold]second"):
        shown.show(text)
"""


def run(stderr: int) -> str:
    """Show three texts with standard error as given; what came out on standard output."""
    environment = {**os.environ, "TERM": "xterm"}
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, stderr=stderr, env=environment, timeout=30
    )
    assert done.returncode == 0
    return done.stdout.decode()


def test_plain_lines_in_a_pipe() -> None:
    reading, writing = os.pipe()
    assert run(writing) == ""
    os.close(writing)
    with os.fdopen(reading) as shown:
        assert shown.read() == "first\n[bold]second\n"


def test_spinner_on_a_terminal() -> None:
    master, terminal = pty.openpty()
    assert run(terminal) == ""
    os.close(terminal)
    shown = os.read(master, 65536).decode()
    os.close(master)
    assert "\x1b[?25l" in shown and "[bold]second" in shown
