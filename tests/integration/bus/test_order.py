"""Calls to a real service over a real dbus-daemon: their order, how many may wait, and objects that come and go."""

import asyncio
from functools import partial

from dbus_fast import Message, MessageType

from ....policy.access import Acl
from ....policy.limits import MAX_CALLS_PER_SENDER
from ....supervisor.bus import manager_api
from ....supervisor.bus.connection import BusConnection
from ....supervisor.bus.stub_api import versioned
from ....supervisor.presence import NoSessions
from ...support.bus_fixture import (
    ALICE,
    BOB,
    NAME,
    PATH,
    PROPERTIES,
    THING,
    PrivateBus,
    Thing,
    client,
    error,
    gather,
    patient_client,
    run,
    service,
)

DBUS_ERROR = "org.freedesktop.DBus.Error."


class Root:
    """The object at the root of a service."""

    acl: Acl | None = None

    def __init__(self, version: str) -> None:
        self.version = version


def test_calls_of_one_sender_keep_their_order(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as one, client(bus) as two:
            calls = [
                asyncio.ensure_future(one.call("Slow", "s", "one slow")),
                asyncio.ensure_future(one.call("Echo", "s", "one quick")),
                asyncio.ensure_future(one.call("Slow", "s", "one slow again")),
            ]
            assert await ours.thing.entered.get() == "one slow"
            # Another sender is not held up by that.
            assert (await two.call("Echo", "s", "two")).body == ["two"]
            assert ours.thing.noted == ["two"]
            assert ours.dispatcher.busy == 3

            ours.thing.gate("one slow").set()
            assert await ours.thing.entered.get() == "one slow again"
            ours.thing.gate("one slow again").set()
            replies = await gather(*calls)
            assert [reply.body for reply in replies] == [["one slow"], ["one quick"], ["one slow again"]]
            assert ours.thing.noted == ["two", "one slow", "one quick", "one slow again"]
            await ours.connection.round_trip()
            assert ours.dispatcher.busy == 0

    run(test())


def test_concurrent_senders_each_in_order(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as a, client(bus, ALICE) as b, client(bus, BOB) as c:

            async def calls(user: object, name: str) -> None:
                await gather(*(user.call("Echo", "s", f"{name} {number}") for number in range(100)))  # type: ignore[attr-defined]

            await asyncio.gather(calls(a, "a"), calls(b, "b"), calls(c, "c"))
            for name in "abc":
                heard = [text for text in ours.thing.noted if text.startswith(name)]
                assert heard == [f"{name} {number}" for number in range(100)]

    run(test())


def test_300_pipelined_calls(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus):
            # Not dbus-fast's own connection, which gives up when it is to send so much at once.
            caller = await BusConnection(bus.address).connect()
            await caller.ask(NAME, PATH, PROPERTIES, "Get", "ss", [NAME, "label"])
            calls = [caller.ask(NAME, PATH, NAME, "Echo", "s", [str(number)]) for number in range(300)]
            assert await asyncio.gather(*calls) == [[str(number)] for number in range(300)]
            caller.close()

    run(test())


def test_too_many_waiting_calls_are_refused(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, patient_client(bus.address, 0) as root:
            first = asyncio.ensure_future(root.call("Slow", "s", "gate"))
            await ours.thing.entered.get()
            waiting = [asyncio.ensure_future(root.call("Echo", "s", str(n))) for n in range(MAX_CALLS_PER_SENDER)]
            refused = await asyncio.ensure_future(root.call("Echo", "s", "too much"))  # after those waiting
            assert error(refused)[0] == DBUS_ERROR + "LimitsExceeded"
            ours.thing.gate("gate").set()
            replies = await gather(first, *waiting)
            assert all(reply.message_type is MessageType.METHOD_RETURN for reply in replies)
            assert "too much" not in ours.thing.noted

    run(test())


def test_no_reply_when_none_is_wanted(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as root:
            replies: list[Message] = []
            await root.bus_call("GetId")  # the bus's own NameAcquired has come before that
            root.bus.add_message_handler(lambda message: replies.append(message))
            root.call_without_reply("Note", "s", "heard")
            root.call_without_reply("Nope")
            root.call_without_reply("Fail")
            await root.call("Echo", "s", "last")
            assert ours.thing.noted == ["heard", "last"]
            assert [reply.body for reply in replies] == [["last"]]

    run(test())


def test_calls_before_opening_are_held(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus, opened=False) as ours, client(bus) as root:
            await ours.callers.identify(root.name)
            calls = [asyncio.ensure_future(root.call("Echo", "s", str(number))) for number in range(20)]
            calls.append(asyncio.ensure_future(root.call("Echo", "s", "x", path="/net/example/late")))
            calls.append(asyncio.ensure_future(root.call("Ping", interface="org.freedesktop.DBus.Peer")))
            await root.bus_call("GetId")
            await ours.connection.round_trip()
            assert ours.dispatcher.busy == 22
            assert not any(call.done() for call in calls)
            ours.dispatcher.export("/net/example/late", THING, Thing())
            ours.dispatcher.open()
            replies = await gather(*calls)
            assert all(reply.message_type is MessageType.METHOD_RETURN for reply in replies)
            assert ours.thing.noted == [str(number) for number in range(20)]

    run(test())


def test_what_takes_no_part_of_the_service_is_answered_before_opening(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus, opened=False) as ours, client(bus) as early, client(bus) as late:
            ours.dispatcher.answer_early("/net/example/root", versioned(NAME, "Root"), Root("1"), bus_name=NAME)
            version = partial(early.call, "Get", "ss", NAME, "version", path="/net/example/root", interface=PROPERTIES)
            assert (await version()).body[0].value == "1"
            # Not what the object has, or may have, later; nor what one's own earlier calls may change.
            held = [
                asyncio.ensure_future(early.call("Get", "ss", NAME, "size", path=path, interface=PROPERTIES))
                for path in ("/net/example/root", "/net/example/none")
            ]
            held.append(asyncio.ensure_future(early.call("Echo", "s", "x", path="/net/example/root")))
            held.append(asyncio.ensure_future(version()))
            await early.bus_call("GetId")
            await ours.connection.round_trip()
            version = partial(late.call, "Get", "ss", NAME, "version", path="/net/example/root", interface=PROPERTIES)
            assert (await version()).body[0].value == "1"
            assert not any(call.done() for call in held)
            ours.dispatcher.export("/net/example/root", versioned(NAME, "Root"), Root("2"))
            ours.dispatcher.open()
            *_, last = await gather(*held)
            assert last.body[0].value == (await version()).body[0].value == "2"

    run(test())


def test_there_are_no_sessions_before_opening(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus, opened=False) as ours, client(bus) as early, client(bus) as late:
            path, name = manager_api.ROOT_PATH, manager_api.BUS_NAME
            ours.dispatcher.answer_early(path, manager_api.WITHOUT_SESSIONS, NoSessions(), bus_name=NAME)
            calls = {caller: partial(caller.call, path=path, interface=name) for caller in (early, late)}
            assert (await calls[early]("FetchAvailableSessions")).body == [[]]
            assert (await calls[early]("FetchManagedInterfaces")).body == [[]]
            assert (await calls[early]("LookupConfigName", "s", "work")).body == [[]]
            assert (await calls[early]("FetchAvailableSessions", "s", "")).message_type is MessageType.ERROR
            held = [
                asyncio.ensure_future(calls[early]("NewTunnel", "o", "/none")),
                asyncio.ensure_future(calls[early]("FetchAvailableSessions")),
            ]
            await early.bus_call("GetId")
            await ours.connection.round_trip()
            assert (await calls[late]("FetchAvailableSessions")).body == [[]]
            assert not any(call.done() for call in held)
            ours.dispatcher.open()
            answers = await gather(*held)
            assert all(answer.message_type is MessageType.ERROR for answer in answers)

    run(test())


def test_a_caller_that_leaves_has_its_calls_carried_out(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours:
            async with client(bus) as root:
                root.call_without_reply("Slow", "s", "gate")
                root.call_without_reply("Note", "s", "after")
                await ours.thing.entered.get()
            gone: asyncio.Queue[str] = asyncio.Queue()
            ours.callers.vanished(gone.put_nowait)
            if ours.callers.known(root.name):
                assert await gone.get() == root.name
            ours.thing.gate("gate").set()
            assert await ours.thing.entered.get() == "after"
            assert ours.thing.noted == ["gate", "after"]

    run(test())


def test_a_withdrawn_object_is_gone_and_its_call_ends(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as root:
            under_way = asyncio.ensure_future(root.call("Slow", "s", "gate"))
            await ours.thing.entered.get()
            ours.dispatcher.withdraw(PATH)
            async with client(bus) as other:
                assert error(await other.call("Echo", "s", "x"))[0] == DBUS_ERROR + "UnknownMethod"
            ours.thing.gate("gate").set()
            assert (await under_way).body == ["gate"]
            assert list(ours.dispatcher.exported) == []

    run(test())
