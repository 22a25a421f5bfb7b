"""Calls before the service is ready: whoever sends most of them loses some, and nobody else."""

from itertools import count

import pytest
from dbus_fast import Message

from ...supervisor.bus import held_calls
from ...supervisor.bus.held_calls import HeldCalls


def call(sender: str, serial: int) -> Message:
    return Message("a.b", "/", "a.b", "C", sender=sender, serial=serial)


def test_whoever_has_most_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_calls, "MAX_HELD_CALLS", 8)
    held, serials = HeldCalls(), count(1)
    # Bob gives all of his the same number.
    calls = [call(sender, 7) for sender in ("bob", "bob", "alice", "bob", "bob", "bob", "carol", "bob")]
    assert [held.add(one) for one in calls] == [None] * 8
    more = call("bob", next(serials))
    assert held.add(more) is more
    hers = call("alice", next(serials))
    assert held.add(hers) is calls[7]
    assert len(held) == 8 and held.take() == [*calls[:7], hers]
    assert len(held) == 0 and held.take() == []


def test_of_equals_nobody_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_calls, "MAX_HELD_CALLS", 2)
    held = HeldCalls()
    calls = [call(sender, 1) for sender in ("alice", "bob", "carol")]
    assert [held.add(one) for one in calls] == [None, None, calls[2]]
