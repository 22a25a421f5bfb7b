"""The files for a D-Bus daemon: who may own the service's names and call what, and how the service is started."""

from collections.abc import Iterable

from ..policy.access import Who
from ..supervisor.bus.interface import Interface
from ..supervisor.bus.log_api import FORWARDED, LOG
from ..supervisor.bus.manager_api import MANAGER
from ..supervisor.start.allocator import ENVIRONMENT

ACCOUNT = "_openvpn"
PROGRAM = "/usr/bin/openvpn3-service-sessionmgr"
UNIT = "openvpn3-sessionmgr.service"

_HEADER = """<?xml version="1.0"?>
<!-- Generated from the interface tables; do not edit. -->
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
"""

_STANDARD_CALLS = (
    ("org.freedesktop.DBus.Introspectable", "Introspect"),
    ("org.freedesktop.DBus.Properties", "Get"),
    ("org.freedesktop.DBus.Properties", "GetAll"),
    ("org.freedesktop.DBus.Properties", "Set"),
    ("org.freedesktop.DBus.Peer", "Ping"),
    ("org.freedesktop.DBus.Peer", "GetMachineId"),
)


# How much of what we sent its receivers have not read (supervisor/bus/budget.py); a system bus tells it to root only.
_STATISTICS = (
    '<allow send_destination="org.freedesktop.DBus" send_type="method_call" '
    'send_interface="org.freedesktop.DBus.Debug.Stats" send_member="GetConnectionStats"/>',
)

_FORWARDED = FORWARDED.name


def _forwards(account: str) -> list[tuple[str, list[str]]]:
    """Who may receive the signals of forwarded logs.

    Only the account, unless the log service sends them: so nobody else can send clients signals that look like those
    of LogForward.
    """
    from_log_service = [
        f'<allow receive_sender="{LOG.name}" receive_interface="{_FORWARDED}" receive_type="signal" '
        f'receive_member="{row.name}"/>'
        for row in FORWARDED.signals
    ]
    return [
        ('context="default"', [f'<deny receive_interface="{_FORWARDED}" receive_type="signal"/>']),
        (f'user="{account}"', [f'<allow receive_interface="{_FORWARDED}" receive_type="signal"/>']),
        ('context="mandatory"', from_log_service),
    ]


def policy_file(interfaces: Iterable[Interface], account: str = ACCOUNT) -> str:
    """The policy for the service whose objects have `interfaces`; the first has the name of the service.

    Only `account` may own the name.  Everybody may call the declared members; the service itself decides who is
    answered, except that those for root or the account are kept from others here already.
    """
    interfaces = tuple(interfaces)
    methods = {(interface.name, row.name): row for interface in interfaces for row in interface.methods}
    name = interfaces[0].name
    standard = [_allow(name, *call) for call in _STANDARD_CALLS]
    allowed: dict[Who, list[str]] = {Who.ROOT: [], Who.SERVICE: [], Who.ANYBODY: standard}
    for (interface, _), row in methods.items():
        allowed.get(row.who, standard).append(_allow(name, interface, row.name))
    policies = [
        (
            f'user="{account}"',
            [f'<allow own="{name}"/>', *(_STATISTICS if name == MANAGER.name else ()), *allowed[Who.SERVICE]],
        ),
        ('context="default"', standard),
        ('user="root"', allowed[Who.ROOT]),
        *(_forwards(account) if LOG in interfaces else ()),
    ]
    return "".join([_HEADER, *(_policy(of, rules) for of, rules in policies if rules), "</busconfig>\n"])


def activation_file(name: str, program: str = PROGRAM) -> str:
    """The file by which a D-Bus daemon starts `program` when somebody calls `name`.

    It is started as root, and becomes the unprivileged account itself.  Where systemd runs, the daemon has that start
    the unit instead.
    """
    # As in the unit.
    command = " ".join(["/usr/bin/env", *(f"{variable}={value}" for variable, value in ENVIRONMENT.items()), program])
    return f"[D-BUS Service]\nName={name}\nExec={command}\nUser=root\nSystemdService={UNIT}\n"


def _policy(of: str, rules: list[str]) -> str:
    lines = "".join(f"    {rule}\n" for rule in rules)
    return f"  <policy {of}>\n{lines}  </policy>\n"


def _allow(destination: str, interface: str, member: str) -> str:
    return (
        f'<allow send_destination="{destination}" send_type="method_call" '
        f'send_interface="{interface}" send_member="{member}"/>'
    )
