"""A counted flow of datagrams through a tunnel."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..lab.flows import Flow, counted
from ..lab.lab import ECHO_PORT, Lab
from ..lab.processes import Process, helper

_ENDING = 60.0  # seconds: the last ones have their time
_PER_SECOND = 200


class Flowing:
    """Datagrams from alice to an address, and what became of them."""

    def __init__(self, lab: Lab, address: str) -> None:
        lab.echo(address, b"ready")
        argv = helper("flow.py", address, str(ECHO_PORT), str(_PER_SECOND))
        self._process: Process = lab.client_side.start("flow", argv, "alice")

    def wait_for(self, more: int) -> None:
        """Wait until so many more have come back."""
        before = counted(self._process).sent
        while counted(self._process).sent < before + more:
            self._process.wait_line(r"^\{", since=len(self._process.lines))

    def stop(self) -> Flow:
        """End it; what has become of all."""
        self._process.stop(_ENDING)
        return counted(self._process)


@contextmanager
def flowing(lab: Lab, address: str) -> Iterator[Flowing]:
    """A flow that has begun."""
    flow = Flowing(lab, address)
    try:
        flow.wait_for(1)
        yield flow
    finally:
        flow.stop()
