"""Calls to a real service over a real dbus-daemon: dispatch, access, errors, properties, introspection."""

import xml.etree.ElementTree as ET

import pytest
from dbus_fast import MessageType, Variant

from ....policy.access import Acl
from ....supervisor.bus.errors import UNEXPECTED
from ...support.bus_fixture import (
    ALICE,
    BOB,
    NAME,
    PATH,
    PROPERTIES,
    SERVICE,
    THING,
    PrivateBus,
    Thing,
    client,
    error,
    run,
    service,
)

DBUS_ERROR = "org.freedesktop.DBus.Error."
GDBUSPP = "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2egdbuspp.Code36"


def test_results_by_their_number(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus), client(bus) as root:
            assert (await root.call("Echo", "s", "hello")).body == ["hello"]
            assert (await root.call("Note", "s", "x")).body == []
            several = await root.call("Several")
            assert several.signature == "us(us)"
            assert [several.body[0], several.body[1], tuple(several.body[2])] == [1, "two", (3, "four")]

    run(test())


def test_a_call_without_an_interface(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus), client(bus) as root:
            assert (await root.call("Echo", "s", "hello", interface=None)).body == ["hello"]
            assert (await root.call("Ping", interface=None)).message_type is MessageType.METHOD_RETURN
            label = await root.call("Get", "ss", "", "level", interface=None)
            assert label.body[0].value == 3

    run(test())


@pytest.mark.parametrize(
    ("uid", "member", "allowed"),
    [
        (ALICE, "OwnersOnly", True),
        (BOB, "OwnersOnly", False),
        (0, "OwnersOnly", False),
        (0, "RootOnly", True),
        (ALICE, "RootOnly", False),
        (BOB, "Several", True),
    ],
)
def test_who_may_call(bus: PrivateBus, uid: int, member: str, allowed: bool) -> None:
    async def test() -> None:
        async with service(bus), client(bus, uid) as user:
            for _ in range(2):  # the second time, the caller is known
                reply = await user.call(member)
                if allowed:
                    assert reply.message_type is MessageType.METHOD_RETURN
                else:
                    assert error(reply) == (GDBUSPP, "GDBus.Error:net.openvpn.gdbuspp: Access denied")

    run(test())


def test_errors_of_calls_that_no_row_answers(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus), client(bus) as root:
            unknown = DBUS_ERROR + "UnknownMethod"
            invalid = DBUS_ERROR + "InvalidArgs"
            missing = (unknown, "Object does not exist at path “/nowhere” (No such interface)")
            assert error(await root.call("Nope")) == (unknown, "No such method “Nope”")
            assert error(await root.call("Nope", interface=None)) == (unknown, "No such method “Nope”")
            assert error(await root.call("Echo", interface="a.b")) == (
                unknown,
                f"No such interface “a.b” on object at path {PATH}",
            )
            assert error(await root.call("Echo", "u", 1)) == (
                invalid,
                "Type of message, “(u)”, does not match expected type “(s)”",
            )
            assert error(await root.call("Echo", "s", "x", path="/nowhere")) == missing
            assert error(await root.call("GetAll", "s", NAME, interface=PROPERTIES, path="/nowhere")) == missing
            assert error(await root.call("Get", "ss", NAME, "label", interface=PROPERTIES, path="/nowhere")) == missing
            assert error(await root.call("Nope", interface=PROPERTIES)) == (unknown, "No such method “Nope”")
            assert error(await root.call("Get", "s", NAME, interface=PROPERTIES)) == (
                invalid,
                "Type of message, “(s)”, does not match expected type “(ss)”",
            )
            assert error(await root.call("Later")) == (DBUS_ERROR + "NotSupported", "Later is not supported yet")

    run(test())


@pytest.mark.parametrize(
    ("kind", "text", "name", "message"),
    [
        ("CallerError", "No luck", GDBUSPP, "GDBus.Error:net.openvpn.gdbuspp: No luck"),
        ("AccessDenied", "Access denied", GDBUSPP, "GDBus.Error:net.openvpn.gdbuspp: Access denied"),
        (
            "RequestRefused",
            "Connection is not paused",
            "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2egdbuspp_2erequest.Code36",
            "GDBus.Error:net.openvpn.gdbuspp.request:  Connection is not paused",
        ),
        (
            "NotReady",
            "Missing user credentials",
            "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2ev3_2eerror_2eready.Code36",
            "GDBus.Error:net.openvpn.v3.error.ready: Missing user credentials",
        ),
        (
            "NoSuchObject",
            "/gone",
            DBUS_ERROR + "UnknownMethod",
            "Object does not exist at path “/gone” (No such interface)",
        ),
        ("ProtocolViolation", "The worker is gone", GDBUSPP, "GDBus.Error:net.openvpn.gdbuspp: The worker is gone"),
    ],
)
def test_errors_that_handlers_raise(bus: PrivateBus, kind: str, text: str, name: str, message: str) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as root:
            assert error(await root.call("Refuse", "ss", kind, text)) == (name, message)
            # What the caller did is the caller's business; what we or a worker did is logged.
            assert len(ours.log.lines) == (1 if kind == "ProtocolViolation" else 0)

    run(test())


@pytest.mark.parametrize("member", ["Fail", "FailLater", "WrongType", "Nul", "Cancelled"])
def test_a_fault_is_logged_and_not_shown(bus: PrivateBus, member: str) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as root:
            assert error(await root.call(member)) == (DBUS_ERROR + "Failed", UNEXPECTED)
            assert len(ours.log.lines) == 1
            assert "Traceback" in ours.log.lines[0]
            assert member in ours.log.lines[0]
            assert (await root.call("Echo", "s", "alive")).body == ["alive"]

    run(test())


def test_reading_properties(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus, ALICE) as owner, client(bus, BOB) as other:
            assert (await owner.get("label")).body[0] == Variant("s", "first")
            assert (await owner.get("device")).body[0] == Variant("o", "/")
            state = (await owner.get("state")).body[0]
            assert (state.signature, tuple(state.value)) == ("(uus)", (2, 7, "connected"))
            assert (await owner.get("owner", interface="")).body[0] == Variant("u", ALICE)

            assert error(await other.get("label")) == (DBUS_ERROR + "AccessDenied", "Access denied")
            assert error(await owner.get("nope")) == (DBUS_ERROR + "InvalidArgs", "No such property “nope”")
            assert error(await owner.get("label", interface="a.b")) == (
                DBUS_ERROR + "InvalidArgs",
                "No such interface “a.b”",
            )
            assert error(await owner.get("later")) == (DBUS_ERROR + "NotSupported", "later is not supported yet")
            assert error(await owner.get("broken")) == (DBUS_ERROR + "Failed", UNEXPECTED)
            assert error(await owner.get("bad_path")) == (DBUS_ERROR + "Failed", UNEXPECTED)

            ours.thing.acl.public = True  # type: ignore[union-attr]
            assert (await other.get("label")).body[0] == Variant("s", "first")

    run(test())


def test_get_all_leaves_out_what_cannot_be_read(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus, ALICE) as owner, client(bus, BOB) as other:
            anybody = {"level", "state", "device", "fixed"}
            assert set(await owner.get_all()) == anybody | {"owner", "label"}
            assert set(await other.get_all()) == anybody
            assert set(await owner.get_all("")) == anybody | {"owner", "label"}
            assert await owner.get_all("org.freedesktop.DBus.Peer") == {}
            assert sorted({line.split()[1] for line in ours.log.lines}) == ["bad_path", "broken"]

    run(test())


def test_setting_properties(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus, ALICE) as owner, client(bus, BOB) as other:
            await other.bus_call("AddMatch", "s", f"type='signal',sender='{NAME}'")
            invalid, failed = DBUS_ERROR + "InvalidArgs", DBUS_ERROR + "Failed"
            assert (await owner.set("label", Variant("s", "second"))).message_type is MessageType.METHOD_RETURN
            assert ours.thing.label == "second"
            changed = await other.signals.get()
            assert (changed.interface, changed.member, changed.path) == (PROPERTIES, "PropertiesChanged", PATH)
            assert changed.body == [NAME, {}, ["label"]]

            assert (await other.set("level", Variant("u", 5))).message_type is MessageType.METHOD_RETURN
            assert ours.thing.level == 5
            assert error(await other.set("level", Variant("u", 9))) == (failed, "Incorrect log level")
            assert error(await other.set("level", Variant("i", 5))) == (
                invalid,
                "Error setting property “level”: Expected type “u” but got “i”",
            )
            assert error(await owner.set("owner", Variant("u", 0))) == (invalid, "Property “owner” is not writable")
            assert error(await owner.set("nope", Variant("u", 0))) == (invalid, "No such property “nope”")
            denied = error(await other.set("label", Variant("s", "third")))
            assert denied == (DBUS_ERROR + "AccessDenied", "Access denied")
            assert error(await owner.set("fixed", Variant("u", 0))) == (
                DBUS_ERROR + "NotSupported",
                "Setting fixed is not supported yet",
            )
            assert (ours.thing.label, ours.thing.level, ours.thing.fixed) == ("second", 5, 7)

    run(test())


async def _introspect(user: object, path: str, to: str = NAME) -> ET.Element:
    reply = await user.call("Introspect", interface="org.freedesktop.DBus.Introspectable", path=path, to=to)  # type: ignore[attr-defined]
    assert reply.message_type is MessageType.METHOD_RETURN, reply.body
    return ET.fromstring(reply.body[0])


def test_every_node_can_be_introspected(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus, ALICE) as owner:
            ours.dispatcher.export("/net/example/things", THING, Thing())
            ours.dispatcher.export("/net/example/things/two", THING, Thing())
            seen: list[str] = []

            async def walk(path: str) -> None:
                node = await _introspect(owner, path)
                if any(interface.get("name") == NAME for interface in node.findall("interface")):
                    seen.append(path)
                for child in node.findall("node"):
                    await walk(f"{path.rstrip('/')}/{child.get('name')}")

            await walk("/")
            assert seen == ["/net/example/things", PATH, "/net/example/things/two"]
            nowhere = await owner.call("Introspect", interface="org.freedesktop.DBus.Introspectable", path="/net/exam")
            assert error(nowhere)[0] == DBUS_ERROR + "UnknownMethod"

    run(test())


def test_introspection_shows_what_the_caller_may_use(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus, BOB) as other, client(bus) as root:
            shared = Thing(Acl(ALICE, {BOB}))
            ours.dispatcher.export("/net/example/things/two", THING, shared)
            ours.dispatcher.export("/net/example/other/one", THING, Thing())
            assert [node.get("name") for node in await _introspect(other, "/net/example")] == ["things"]
            assert [node.get("name") for node in await _introspect(root, "/net/example")] == ["things", "other"]
            assert [node.get("name") for node in await _introspect(other, "/net/example/things")] == ["two"]
            shared.acl = Acl(ALICE)
            assert list(await _introspect(other, "/")) == []
            ours.dispatcher.withdraw("/net/example/other/one")
            assert [node.get("name") for node in await _introspect(root, "/net/example")] == ["things"]

    run(test())


def test_ping_and_machine_id_on_any_path(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus), client(bus) as root:
            peer = "org.freedesktop.DBus.Peer"
            for path in ("/", PATH, "/nowhere/at/all"):
                assert (await root.call("Ping", interface=peer, path=path)).message_type is MessageType.METHOD_RETURN
                machine = await root.call("GetMachineId", interface=peer, path=path)
                assert len(machine.body[0]) == 32
            assert error(await root.call("Nope", interface=peer))[0] == DBUS_ERROR + "UnknownMethod"

    run(test())


def test_the_account_of_the_services_may_read(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus, SERVICE) as account:
            assert (await account.get("label")).body[0].value == "first"
            denied = await account.set("label", Variant("s", "x"))
            assert error(denied)[0] == DBUS_ERROR + "AccessDenied"
            assert ours.thing.label == "first"

    run(test())


def test_an_object_of_one_name_is_not_seen_at_another(bus: PrivateBus) -> None:
    async def test() -> None:
        async with service(bus) as ours, client(bus) as root:
            await ours.connection.request_names(["net.example.Other"])
            ours.dispatcher.export("/net/example/other", THING, Thing(), bus_name="net.example.Other")
            for to, seen in ((NAME, False), ("net.example.Other", True), (ours.connection.unique_name or "", True)):
                reply = await root.call("Echo", "s", "x", path="/net/example/other", to=to)
                assert (reply.message_type is MessageType.METHOD_RETURN) == seen
                node = await _introspect(root, "/net/example", to=to)
                assert ("other" in {child.get("name") for child in node.findall("node")}) == seen

    run(test())
