"""A program at a terminal: what it shows, and what its user types."""

import os
import pty
import re
import select
import signal
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence

from ..lab.processes import LabError

_DEADLINE = 20.0


class Terminal:
    """A running program whose input and output are a terminal.  A context manager."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        self._popen = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=dict(environment), start_new_session=True
        )
        os.close(slave)
        self._looked_at = 0
        self.text = ""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.poll() is None:
            os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()
        if self._master >= 0:
            os.close(self._master)

    def _read(self, until: float) -> bool:
        """Read what has come; False at the end of the output."""
        if not select.select([self._master], [], [], max(until - time.monotonic(), 0))[0]:
            raise LabError(f"nothing more came at the terminal:\n{self.text}")
        try:
            data = os.read(self._master, 65536)
        except OSError:  # what a terminal says when its last program has gone
            return False
        self.text += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(data)

    def wait(self, pattern: str, deadline: float = _DEADLINE) -> None:
        """Wait until something new matches; LabError when it does not come within `deadline` seconds."""
        until = time.monotonic() + deadline
        while (found := re.compile(pattern).search(self.text, self._looked_at)) is None:
            if not self._read(until):
                raise LabError(f"it ended without {pattern!r}:\n{self.text}")
        self._looked_at = found.end()

    def answer(self, question: str, text: str) -> None:
        """Type a line when asked."""
        self.wait(question)
        self.type(f"{text}\n")

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    @property
    def echoes(self) -> bool:
        """Whether what is typed is shown."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.killpg(self._popen.pid, signal.SIGINT)

    def hang_up(self) -> int:
        """Close the terminal, and wait for the end of the program; its exit status."""
        os.killpg(self._popen.pid, signal.SIGHUP)
        os.close(self._master)
        self._master = -1
        return self._popen.wait(_DEADLINE)

    def finish(self) -> int:
        """Wait for its end; its exit status."""
        until = time.monotonic() + _DEADLINE
        while self._read(until):
            pass
        return self._popen.wait(_DEADLINE)
