"""What calls with large arguments may take of memory."""

from dbus_fast import Message

from ...policy.limits import MAX_IMPORT, MAX_LARGE_CALLS, MAX_LARGE_CALLS_PER_USER
from ...supervisor.bus.budget import Budget
from ...supervisor.bus.large_calls import LargeCalls


async def unread(name: str) -> int | None:
    return 0


def call(sender: str, serial: int) -> Message:
    return Message("a.b", "/", "a.b", "C", sender=sender, serial=serial)


def of_users(count: int) -> LargeCalls:
    """Users 0, 1, … with the connections :1.0, :1.1, …"""
    budget = Budget(unread)
    for uid in range(count):
        budget.open(f":1.{uid}")
        budget.identified(f":1.{uid}", uid)
    return LargeCalls(budget)


def admitted(large: LargeCalls, sender: str, count: int) -> list[int]:
    """The serial numbers of calls that are admitted."""
    return [serial for serial in range(count) if large.admit(sender, serial, MAX_IMPORT)]


def test_of_one_user() -> None:
    large = of_users(2)
    fit = MAX_LARGE_CALLS_PER_USER // MAX_IMPORT
    assert admitted(large, ":1.0", 2 * fit) == list(range(fit))
    assert admitted(large, ":1.1", fit) == list(range(fit))
    large.done(call(":1.0", 2))
    assert large.admit(":1.0", 100, MAX_IMPORT) and not large.admit(":1.0", 101, 1)
    large.done(call(":1.0", 101))  # was not admitted
    assert not large.admit(":1.0", 102, 1)


def test_calls_with_the_same_serial_number() -> None:
    """One at a time: they could not be told apart when they are over."""
    large = of_users(1)
    assert large.admit(":1.0", 1, MAX_IMPORT) and not large.admit(":1.0", 1, 5000)
    large.done(call(":1.0", 1))
    assert len(admitted(large, ":1.0", 50)) == MAX_LARGE_CALLS_PER_USER // MAX_IMPORT


def test_of_all() -> None:
    large = of_users(100)
    counts = [len(admitted(large, f":1.{uid}", 50)) for uid in range(100)]
    assert sum(counts) == MAX_LARGE_CALLS // MAX_IMPORT
    for uid, count in enumerate(counts):
        for serial in range(count):
            large.done(call(f":1.{uid}", serial))
    assert admitted(large, ":1.99", 50)


def test_a_connection_that_is_identified_meanwhile() -> None:
    """What counts for nobody yet is given back to nobody."""
    budget = Budget(unread)
    budget.open(":1.0")
    large = LargeCalls(budget)
    fit = admitted(large, ":1.0", 50)
    budget.identified(":1.0", 1000)
    assert large.admit(":1.0", 50, MAX_IMPORT)  # of the user who is known now
    assert not large.admit(":1.9", 1, MAX_IMPORT)
    for serial in fit:
        large.done(call(":1.0", serial))
    assert large.admit(":1.9", 1, MAX_IMPORT)
