"""docs/api.md: every member of every interface, from the tables."""

from collections.abc import Iterable

from ..supervisor.bus.configuration_api import CONFIGURATION, PROFILE
from ..supervisor.bus.configuration_api import ROOT_PATH as CONFIGURATION_PATH
from ..supervisor.bus.failures_api import FAILURES, FAILURES_PATH
from ..supervisor.bus.inspection_api import INSPECTION
from ..supervisor.bus.interface import Argument, Interface, Method, Property, Signal
from ..supervisor.bus.kill_switch_api import KILL_SWITCH
from ..supervisor.bus.log_api import FORWARDED, LOG, PROXIES_PATH, PROXY
from ..supervisor.bus.log_api import ROOT_PATH as LOG_PATH
from ..supervisor.bus.manager_api import MANAGER
from ..supervisor.bus.manager_api import ROOT_PATH as MANAGER_PATH
from ..supervisor.bus.namespace_api import NAMESPACE
from ..supervisor.bus.session_api import SESSION
from ..supervisor.bus.settings_api import PROFILE_SETTINGS
from ..supervisor.bus.status_api import STATUS
from ..supervisor.bus.stub_api import DEVICE, DEVICES_PATH, STUBS

_OBJECTS = (
    (MANAGER, MANAGER_PATH),
    (SESSION, f"{MANAGER_PATH}/…"),
    (INSPECTION, f"{MANAGER_PATH}/…"),
    (STATUS, f"{MANAGER_PATH}/…"),
    (NAMESPACE, f"{MANAGER_PATH}/…"),
    (FAILURES, f"{FAILURES_PATH}/UID"),
    (PROFILE_SETTINGS, MANAGER_PATH),
    (KILL_SWITCH, MANAGER_PATH),
    (CONFIGURATION, CONFIGURATION_PATH),
    (PROFILE, f"{CONFIGURATION_PATH}/…"),
    (LOG, LOG_PATH),
    (PROXY, f"{PROXIES_PATH}/…"),
    (FORWARDED, f"{MANAGER_PATH}/…"),
    *STUBS.items(),
    (DEVICE, f"{DEVICES_PATH}/…"),
)

_INTRODUCTION = """\
<!-- Generated from the interface tables; do not edit. -->
# D-Bus interface

The interface of OpenVPN 3 Linux, which existing front-ends use, and five of our own: `….inspect`, `….status` and
`….namespace` on sessions, `….failures` on those that have failed, `….settings` for what only this session manager knows
of profiles.
Types are
D-Bus signatures.  *Who* is who may call or read; everybody else gets `Access denied`.  Members marked **not yet** are
declared, and answered with `org.freedesktop.DBus.Error.NotSupported`.

Every object has `org.freedesktop.DBus.Properties`, `.Introspectable` and `.Peer` besides.  `GetAll` leaves out what
the caller may not read.  When a property has been set, `PropertiesChanged` names it without its value, since the
signal reaches everybody.
"""


def api_document() -> str:
    """The text of docs/api.md."""
    return "\n".join([_INTRODUCTION, *(_object(interface, path) for interface, path in _OBJECTS)])


def _object(interface: Interface, path: str) -> str:
    parts = [f"## {interface.title}\n\nInterface `{interface.name}`, path `{path}`\n"]
    parts += _table("Methods", ("Call", "Who", "What it does"), map(_method, interface.methods))
    parts += _table(
        "Properties", ("Property", "Who reads", "Who sets", "What it is"), map(_property, interface.properties)
    )
    parts += _table("Signals", ("Signal", "To whom, and when"), map(_signal, interface.signals))
    return "\n".join(parts)


def _table(title: str, heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [_row(row) for row in rows]
    if not lines:
        return []
    return [f"### {title}\n", _row(heads), _row(("---",) * len(heads)), *lines, ""]


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"


def _method(row: Method) -> tuple[str, ...]:
    results = f" → {_arguments(row.results)}" if row.results else ""
    return f"`{row.name}({_arguments(row.arguments)}){results}`", row.who.value, _marked(row.doc, row.supported)


def _property(row: Property) -> tuple[str, ...]:
    sets = "" if row.writable_by is None else _marked(row.writable_by.value, row.supported and row.settable)
    return f"`{row.name}: {row.signature}`", row.who.value, sets, _marked(row.doc, row.supported)


def _signal(row: Signal) -> tuple[str, ...]:
    return f"`{row.name}({_arguments(row.arguments)})`", _marked(row.doc, row.supported)


def _arguments(arguments: Iterable[Argument]) -> str:
    return ", ".join(f"{argument.name}: {argument.signature}" for argument in arguments)


def _marked(text: str, supported: bool) -> str:
    return text if supported else f"**not yet** {text}"
