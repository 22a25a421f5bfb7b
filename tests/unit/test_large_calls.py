"""What calls with large arguments may take of memory."""

from dbus_fast import Message

from ...policy.limits import MAX_IMPORT, MAX_LARGE_CALLS, MAX_LARGE_CALLS_PER_USER
from ...supervisor.bus.budget import Budget
from ...supervisor.bus.large_calls import LargeCalls


async def unread(name: str) -> int | None:
    return 0


def call(sender: str, serial: int, size: int = 0) -> Message:
    """A call whose arguments have this size."""
    body = ["", "x" * (size - 21), False, False] if size else []
    return Message("a.b", "/", "a.b", "C", sender=sender, serial=serial, signature="ssbb" if size else "", body=body)


def read(large: LargeCalls, sender: str, serial: int) -> Message:
    """A large call that has been read."""
    made = call(sender, serial, MAX_IMPORT)
    large.read(made)
    return made


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
    large.done(read(large, ":1.0", 2))
    assert large.admit(":1.0", 100, MAX_IMPORT) and not large.admit(":1.0", 101, 1)
    large.done(read(large, ":1.0", 101))  # was not admitted
    assert not large.admit(":1.0", 102, 1)


def test_calls_with_the_same_serial_number() -> None:
    """One at a time until it is read, or they could not be told apart."""
    large = of_users(1)
    assert large.admit(":1.0", 1, MAX_IMPORT) and not large.admit(":1.0", 1, 5000)
    large.done(read(large, ":1.0", 1))
    fit = MAX_LARGE_CALLS_PER_USER // MAX_IMPORT
    assert len(admitted(large, ":1.0", 50)) == fit
    calls = [read(large, ":1.0", serial) for serial in range(fit)]
    for one in calls:
        large.done(one)
    assert large.admit(":1.0", 0, MAX_IMPORT)


def test_small_calls_with_the_serial_number_of_a_large_one() -> None:
    """They take nothing off the account, before and after it is read."""
    large = of_users(1)
    fit = admitted(large, ":1.0", 50)
    for one in (call(":1.0", 0), call(":1.0", 0, 4096)):
        large.read(one)
        large.done(one)
    assert not large.admit(":1.0", 50, MAX_IMPORT)
    calls = [read(large, ":1.0", serial) for serial in fit]
    for one in (call(":1.0", 0), call(":1.0", 0, 4096)):
        large.read(one)
        large.done(one)
    assert not large.admit(":1.0", 50, MAX_IMPORT)
    for one in calls:
        large.done(one)
    assert admitted(large, ":1.0", 50) == fit


def test_of_all() -> None:
    large = of_users(100)
    counts = [len(admitted(large, f":1.{uid}", 50)) for uid in range(100)]
    assert sum(counts) == MAX_LARGE_CALLS // MAX_IMPORT
    for uid, count in enumerate(counts):
        for serial in range(count):
            large.done(read(large, f":1.{uid}", serial))
    assert admitted(large, ":1.99", 50)


def test_a_connection_that_is_identified_meanwhile() -> None:
    """What it has counts for its user then, and leaves the room of those that are not known."""
    budget = Budget(unread)
    budget.open(":1.0")
    large = LargeCalls(budget)
    fit = admitted(large, ":1.0", 50)
    calls = [read(large, ":1.0", serial) for serial in fit[1:]]
    budget.identified(":1.0", 1000)
    large.identified(":1.0", 1000)
    assert not large.admit(":1.0", 50, MAX_IMPORT)
    assert large.admit(":1.9", 1, MAX_IMPORT)
    for one in (*calls, read(large, ":1.0", fit[0])):
        large.done(one)
    assert admitted(large, ":1.0", 50) == fit


def test_connections_that_are_identified_one_after_the_other() -> None:
    """Their user gets no more by that than the own room and that of those who are not known."""
    budget = Budget(unread)
    large = LargeCalls(budget)
    count = 0
    for number in range(10):
        name = f":1.{number}"
        budget.open(name)
        count += len(admitted(large, name, 10))
        budget.identified(name, 1000)
        large.identified(name, 1000)
    assert count == 2 * (MAX_LARGE_CALLS_PER_USER // MAX_IMPORT)
