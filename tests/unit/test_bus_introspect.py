"""The introspection XML says what the tables say."""

import xml.etree.ElementTree as ET

import pytest
from dbus_fast import PropertyAccess
from dbus_fast.introspection import Node

from ...supervisor.bus.configuration_api import CONFIGURATION, PROFILE
from ...supervisor.bus.inspection_api import INSPECTION
from ...supervisor.bus.interface import Interface
from ...supervisor.bus.introspect import node_xml
from ...supervisor.bus.manager_api import MANAGER
from ...supervisor.bus.session_api import SESSION
from ...supervisor.bus.status_api import STATUS

ALL = pytest.mark.parametrize(
    "interface", [MANAGER, SESSION, INSPECTION, STATUS, CONFIGURATION, PROFILE], ids=lambda interface: interface.title
)


@ALL
def test_members_types_and_argument_names(interface: Interface) -> None:
    # Read by dbus-fast's own parser, which checks signatures and names as well.
    node = Node.parse(node_xml(interface, []))
    (ours,) = (found for found in node.interfaces if found.name == interface.name)
    assert {
        method.name: (
            [(argument.name, argument.signature) for argument in method.in_args],
            [(argument.name, argument.signature) for argument in method.out_args],
        )
        for method in ours.methods
    } == {
        row.name: (
            [(argument.name, argument.signature) for argument in row.arguments],
            [(argument.name, argument.signature) for argument in row.results],
        )
        for row in interface.methods
    }
    assert {signal.name: [(arg.name, arg.signature) for arg in signal.args] for signal in ours.signals} == {
        row.name: [(arg.name, arg.signature) for arg in row.arguments] for row in interface.signals
    }
    assert {found.name: (found.signature, found.access) for found in ours.properties} == {
        row.name: (row.signature, PropertyAccess.READWRITE if row.writable_by else PropertyAccess.READ)
        for row in interface.properties
    }


def test_the_standard_interfaces() -> None:
    names = [found.name for found in Node.parse(node_xml(MANAGER, [])).interfaces]
    assert names[:3] == [
        "org.freedesktop.DBus.Properties",
        "org.freedesktop.DBus.Introspectable",
        "org.freedesktop.DBus.Peer",
    ]


def test_extensions_follow_the_objects_own_interface() -> None:
    names = [found.name for found in Node.parse(node_xml(SESSION, [], [INSPECTION])).interfaces]
    assert names[3:] == [SESSION.name, INSPECTION.name]


def test_child_nodes() -> None:
    node = ET.fromstring(node_xml(MANAGER, ["one", "two"]))
    assert [child.get("name") for child in node.findall("node")] == ["one", "two"]


def test_a_node_between_objects() -> None:
    node = ET.fromstring(node_xml(None, ["v3"]))
    assert [child.tag for child in node] == ["node"]
