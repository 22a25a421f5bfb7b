"""Introspection XML, as GDBus writes it."""

from collections.abc import Iterable
from functools import cache

from .interface import Argument, Interface, Method, Property, Signal

_DOCTYPE = """<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"
                      "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">
"""

_STANDARD_INTERFACES = """\
  <interface name="org.freedesktop.DBus.Properties">
    <method name="Get">
      <arg type="s" name="interface_name" direction="in"/>
      <arg type="s" name="property_name" direction="in"/>
      <arg type="v" name="value" direction="out"/>
    </method>
    <method name="GetAll">
      <arg type="s" name="interface_name" direction="in"/>
      <arg type="a{sv}" name="properties" direction="out"/>
    </method>
    <method name="Set">
      <arg type="s" name="interface_name" direction="in"/>
      <arg type="s" name="property_name" direction="in"/>
      <arg type="v" name="value" direction="in"/>
    </method>
    <signal name="PropertiesChanged">
      <arg type="s" name="interface_name"/>
      <arg type="a{sv}" name="changed_properties"/>
      <arg type="as" name="invalidated_properties"/>
    </signal>
  </interface>
  <interface name="org.freedesktop.DBus.Introspectable">
    <method name="Introspect">
      <arg type="s" name="xml_data" direction="out"/>
    </method>
  </interface>
  <interface name="org.freedesktop.DBus.Peer">
    <method name="Ping"/>
    <method name="GetMachineId">
      <arg type="s" name="machine_uuid" direction="out"/>
    </method>
  </interface>
"""


def node_xml(interface: Interface | None, children: Iterable[str], extensions: Iterable[Interface] = ()) -> str:
    """The XML of an object with these interfaces, or of a node between objects (None), and its child nodes."""
    parts = [_DOCTYPE, "<node>\n"]
    if interface:
        parts += [_STANDARD_INTERFACES, _interface(interface), *map(_interface, extensions)]
    # An element of an object path has no character that XML would want escaped.
    parts += [f'  <node name="{child}"/>\n' for child in children]
    parts.append("</node>\n")
    return "".join(parts)


@cache
def _interface(interface: Interface) -> str:
    rows = [_method(row) for row in interface.methods]
    rows += [_signal(row) for row in interface.signals]
    rows += [_property(row) for row in interface.properties]
    return f'  <interface name="{interface.name}">\n{"".join(rows)}  </interface>\n'


def _method(row: Method) -> str:
    arguments = _arguments(row.arguments, ' direction="in"') + _arguments(row.results, ' direction="out"')
    return _element("method", row.name, arguments)


def _signal(row: Signal) -> str:
    return _element("signal", row.name, _arguments(row.arguments, ""))


def _property(row: Property) -> str:
    access = "readwrite" if row.writable_by else "read"
    return f'    <property type="{row.signature}" name="{row.name}" access="{access}"/>\n'


def _element(kind: str, name: str, content: str) -> str:
    if not content:
        return f'    <{kind} name="{name}"/>\n'
    return f'    <{kind} name="{name}">\n{content}    </{kind}>\n'


def _arguments(arguments: Iterable[Argument], direction: str) -> str:
    return "".join(f'      <arg type="{arg.signature}" name="{arg.name}"{direction}/>\n' for arg in arguments)
