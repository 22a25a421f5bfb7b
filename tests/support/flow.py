"""A counted flow of datagrams through a tunnel, sent by the siege's flow.py."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..lab.lab import ECHO_PORT, Lab

_PROGRAM = str(Path(__file__).parents[1] / "siege" / "flow.py")
_ENDING = 60.0  # seconds: the last ones have their time
_PER_SECOND = 200


class Flow:
    """Datagrams from the client's machine to an address, and what became of them."""

    def __init__(self, lab: Lab, address: str) -> None:
        lab.echo(address, b"ready")
        program = [sys.executable, "-I", _PROGRAM, address, str(ECHO_PORT), str(_PER_SECOND)]
        self._process = lab.client_side.start("flow", program, "alice")

    @property
    def counts(self) -> dict[str, Any]:
        """Of all so far."""
        lines = [line for line in self._process.lines if line.startswith("{")]
        counts: dict[str, Any] = json.loads(lines[-1]) if lines else {"sent": 0}
        return counts

    def wait_for(self, more: int) -> None:
        """Wait until so many more have come back."""
        before = self.counts["sent"]
        while self.counts["sent"] < before + more:
            self._process.wait_line(r"^\{", since=len(self._process.lines))

    def stop(self) -> dict[str, Any]:
        """End it; what has become of all."""
        self._process.stop(_ENDING)
        return self.counts


@contextmanager
def flowing(lab: Lab, address: str) -> Iterator[Flow]:
    """A flow that has begun."""
    flow = Flow(lab, address)
    try:
        flow.wait_for(1)
        yield flow
    finally:
        flow.stop()
