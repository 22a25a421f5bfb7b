"""What has become of the datagrams of a flow (flow.py)."""

import json

import msgspec

from .processes import Process


class Flow(msgspec.Struct):
    """Those so far."""

    sent: int = 0
    lost: int = 0
    twice: int = 0
    late: int = 0
    longest: float = 0.0  # ms
    refused: int = 0

    @property
    def missing(self) -> int:
        return self.lost + self.refused


def counted(flow: Process) -> Flow:
    """What a flow has said last."""
    lines = [line for line in flow.lines[-5:] if line.startswith("{")]
    return msgspec.convert(json.loads(lines[-1]), Flow) if lines else Flow()
