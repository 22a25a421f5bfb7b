"""Our policy files, enforced by a real dbus-daemon of type `system`."""

from collections.abc import Iterator
from typing import Any

import pytest
from dbus_fast import Message, MessageType, Variant

from ....packaging.policy_files import policy_file
from ....policy.access import Who
from ....supervisor.bus.configuration_api import CONFIGURATION, PROFILE
from ....supervisor.bus.interface import Interface
from ....supervisor.bus.kill_switch_api import KILL_SWITCH
from ....supervisor.bus.log_api import FORWARDED, LOG, PROXY
from ....supervisor.bus.manager_api import MANAGER
from ....supervisor.bus.namespace_api import NAMESPACE
from ....supervisor.bus.session_api import SESSION
from ....supervisor.bus.settings_api import PROFILE_SETTINGS
from ....supervisor.bus.stub_api import BACKENDS
from ...support.bus_fixture import ALICE, BOB, PROPERTIES, SERVICE, Client, PrivateBus, client, error, private_bus, run

_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
_SYSTEM = """<policy context="default"><allow user="*"/><deny own="*"/><deny send_type="method_call"/>
<allow send_type="signal"/><allow send_requested_reply="true" send_type="method_return"/>
<allow send_requested_reply="true" send_type="error"/><allow receive_type="method_call"/>
<allow receive_type="method_return"/><allow receive_type="error"/><allow receive_type="signal"/>
<allow send_destination="org.freedesktop.DBus"/></policy>
"""
_VALUES = {"s": "x", "o": "/", "u": 1, "b": True, "h": 0, "v": Variant("s", "x")}
_SERVICES = (
    (MANAGER, SESSION, PROFILE_SETTINGS, KILL_SWITCH, NAMESPACE),
    (CONFIGURATION, PROFILE),
    (LOG, PROXY),
    (BACKENDS,),
)


def _rules(*interfaces: Interface) -> str:
    text = policy_file(interfaces)
    return text[text.index("<busconfig>") + len("<busconfig>") : text.index("</busconfig>")]


@pytest.fixture(scope="module")
def system_bus() -> Iterator[PrivateBus]:
    with private_bus("system", _SYSTEM + "".join(_rules(*one) for one in _SERVICES)) as bus:
        yield bus


async def _own(user: Client, name: str) -> bool:
    reply = await user.bus_call("RequestName", "su", name, 4)
    return reply.message_type is MessageType.METHOD_RETURN and reply.body == [1]


@pytest.mark.parametrize("name", [one[0].name for one in _SERVICES])
def test_only_the_account_may_own_the_names(system_bus: PrivateBus, name: str) -> None:
    async def test() -> None:
        for uid, allowed in ((0, False), (ALICE, False), (SERVICE, True)):
            async with client(system_bus, uid) as user:
                assert await _own(user, name) == allowed

    run(test())


@pytest.mark.parametrize("interfaces", _SERVICES)
def test_declared_members_and_no_others_get_through(system_bus: PrivateBus, interfaces: tuple[Interface, ...]) -> None:
    name = interfaces[0].name

    async def test() -> None:
        async with client(system_bus, SERVICE) as owner, client(system_bus, ALICE) as alice, client(system_bus) as root:
            assert await _own(owner, name)

            async def passes(user: Client, interface: str, member: str, signature: str = "") -> bool:
                # The owner answers whatever arrives with an error of dbus-fast's, as it serves nothing.
                body = [_VALUES[letter] for letter in signature]
                reply = await user.call(member, signature, *body, interface=interface, path="/x", to=name)
                return reply.message_type is not MessageType.ERROR or error(reply)[0] != _DENIED

            for interface in interfaces:
                for row in interface.methods:
                    for_all = row.who not in (Who.ROOT, Who.SERVICE)
                    assert await passes(alice, interface.name, row.name, row.signature) == for_all, row.name
                    assert await passes(root, interface.name, row.name, row.signature) == (
                        row.who is not Who.SERVICE
                    ), row.name
                    if row.who is Who.SERVICE:
                        assert await passes(owner, interface.name, row.name, row.signature), row.name
            assert not await passes(alice, name, "Undeclared")
            assert not await passes(root, name, "Undeclared")
            assert not await passes(alice, "org.example.Other", "NewTunnel", "o")
            for member, signature in (("Get", "ss"), ("GetAll", "s"), ("Set", "ssv")):
                assert await passes(alice, PROPERTIES, member, signature)
            assert await passes(alice, "org.freedesktop.DBus.Peer", "Ping")
            assert await passes(alice, "org.freedesktop.DBus.Introspectable", "Introspect")

    run(test())


async def _forward(sender: Client, member: str, to: Client) -> None:
    """Send what looks like a forwarded line or status, and wait until the bus has dealt with it."""
    body: list[Any] = [7, 4, sender.name]
    signal = Message(to.name, "/x", FORWARDED.name, member, MessageType.SIGNAL, signature="uus", body=body)
    await sender.bus.send(signal)
    await sender.bus_call("GetId")


def test_forwarded_logs_come_from_the_log_service_only(system_bus: PrivateBus) -> None:
    async def test() -> None:
        async with (
            client(system_bus, SERVICE) as service,
            client(system_bus, SERVICE) as other,
            client(system_bus, ALICE) as alice,
        ):
            assert await _own(service, LOG.name)
            async with client(system_bus, BOB) as forger:
                for member in ("Log", "StatusChange", "AttentionRequired"):
                    for to in (alice, other):
                        await _forward(forger, member, to)
                        await _forward(service, member, to)
                await alice.bus_call("GetId")
                await other.bus_call("GetId")
                seen = [alice.signals.get_nowait() for _ in range(alice.signals.qsize())]
                assert [(one.member, one.sender) for one in seen] == [
                    ("Log", service.name),
                    ("StatusChange", service.name),
                ]
                # The account hears everybody: the processes behind the original's sessions report to it that way.
                assert other.signals.qsize() == 6

    run(test())
