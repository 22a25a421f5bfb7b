"""What the bus says, as findings."""

import itertools
import shlex
from collections.abc import Iterable
from pathlib import Path

from ...policy.sandbox.layers import LAYERS, Layer
from ..services import CONFIGURATION, LOCK, SESSIONS
from .bus_facts import LOG
from .finding import Finding, Machine, fault, ok, unknown, warning

_POLICIES = (Path("/usr/share/dbus-1/system.d"), Path("/etc/dbus-1/system.d"))
_ORIGINAL = "openvpn3-linux/"  # in the paths of the original's programs
_RELOAD = "systemctl reload dbus, or dbus-send --system --dest=org.freedesktop.DBus / org.freedesktop.DBus.ReloadConfig"
_NO_BUS = "See `bus` above."


def bus(machine: Machine) -> Iterable[Finding]:
    """Whether there is a bus."""
    if error := machine.bus.unreachable:
        yield fault(error.message, error.hint or "systemctl status dbus")
    else:
        yield ok("The system bus answers")


def service(machine: Machine) -> Iterable[Finding]:
    """Whether the session manager runs, or could be started, and is this one."""
    facts = machine.bus
    if facts.unreachable:
        yield unknown("Whether the service can be started is not known without the bus", _NO_BUS)
    elif facts.not_started:
        hint = facts.not_started.hint or "`systemctl status openvpn3-sessionmgr` and the journal have the reason."
        yield fault(facts.not_started.message, hint)
    elif not facts.is_ours and f"{LOCK}.GetLock" in facts.denied and _ORIGINAL not in _program(machine, SESSIONS.name):
        yield unknown(
            f"The bus does not let us ask {_program(machine, SESSIONS.name)} who it is", "See `policy` below."
        )
    elif not facts.is_ours:
        yield fault(
            f"Another session manager is in force: {_program(machine, SESSIONS.name)} owns {SESSIONS.name}",
            "End its sessions (openvpn3 sessions-list), then that process; the next call starts this one.",
        )
    else:
        yield ok(f"The session manager runs: {_program(machine, SESSIONS.name)}")


def names(machine: Machine) -> Iterable[Finding]:
    """Who owns the other names."""
    facts = machine.bus
    if facts.unreachable or SESSIONS.name not in facts.owners:
        yield unknown("Nobody owns names that this service would", _NO_BUS)
        return
    if SESSIONS.name not in facts.activatable:
        yield warning(
            f"The bus starts nothing for {SESSIONS.name}: once the service has ended, nobody starts it",
            f"Install the package; if the activation file is there: {_RELOAD}",
        )
    manager = facts.owners[SESSIONS.name]
    log = facts.owners.get(LOG)
    if log is None:
        yield warning(f"Nobody owns {LOG}: clients get no log", "Restart the service.")
    elif log != manager:
        yield warning(
            f"{LOG} belongs to another program, {_program(machine, LOG)}: clients get no log of sessions",
            "End that process, then restart the service.",
        )
    else:
        yield ok(f"{LOG} is the session manager's")
    store = facts.owners.get(CONFIGURATION.name)
    if store == manager:
        yield ok(f"{CONFIGURATION.name} is the session manager's")
    elif store is not None:
        yield ok(f"{CONFIGURATION.name} belongs to {_program(machine, CONFIGURATION.name)}, whose profiles are used")
    elif CONFIGURATION.name in facts.activatable:
        yield ok(f"{CONFIGURATION.name} is started when it is called")
    else:
        yield fault(
            f"Nobody keeps profiles: {CONFIGURATION.name} has no owner, and the bus starts nothing for it",
            'Install openvpn3-sessionmgr-services, or openvpn3-client; configuration = "embedded" without both.',
        )


def policy(machine: Machine, places: Iterable[Path] = _POLICIES) -> Iterable[Finding]:
    """What the bus lets the service own, and others send."""
    facts = machine.bus
    if facts.unreachable:
        yield unknown("What the bus permits is not known without it", _NO_BUS)
        return
    files = [place / f"{SESSIONS.name}.conf" for place in places]
    there = next((file for file in files if file.exists()), None)
    to_do = (
        f"{there} is there, and the bus has not read it: {_RELOAD}"
        if there
        else (f"Install the policy files into /usr/share/dbus-1/system.d, then: {_RELOAD}")
    )
    if facts.denied:
        yield fault(f"The bus lets nobody call {', '.join(facts.denied)}", to_do)
    elif SESSIONS.name in facts.owners:
        yield ok("The bus lets users call the service")
    else:
        yield unknown("What the bus lets users call is seen while the service runs", "See `service` above.")
    if facts.may_own == "yes":
        yield ok("The bus lets the service's account own its names")
    elif facts.may_own != "unknown":
        yield fault(f"The bus does not let the service's account own its names: {facts.may_own}", to_do)
    elif SESSIONS.name not in facts.owners:
        yield unknown("Whether the bus lets the service's account own its names is not for this user to try")


def sandbox(machine: Machine) -> Iterable[Finding]:
    """The layers that confine the sessions that this user may use."""
    missing: dict[str, str] = {}
    for inspection in machine.bus.sessions.values():
        missing |= inspection.get("missing_layers", {})
    for name, why in missing.items():
        does = f" ({LAYERS[Layer(name)].does})" if name in set(Layer) else ""
        yield warning(f"Sessions are without the layer {name}{does}: {why}", _layer_hint(name))
    if SESSIONS.name not in machine.bus.owners:
        yield unknown("The layers of sessions are seen while the service runs", "See `service` above.")
    elif not machine.bus.sessions:
        yield ok("There is no session to look at; `kernel` above has what the layers need")
    elif not missing:
        yield ok(f"All layers confine the {len(machine.bus.sessions)} sessions that this user may use")


def _layer_hint(name: str) -> str:
    needs = f"It needs {LAYERS[Layer(name)].needs}. " if name in set(Layer) else ""
    return f"{needs}Then restart the service."


def notices(machine: Machine) -> Iterable[Finding]:
    """What the service says of sessions, lost helpers among it."""
    said = [
        [(name, str(text)) for text in inspection.get("notices", ())]
        for name, inspection in machine.bus.sessions.items()
    ]
    found = list(itertools.chain(*said))
    for name, text in found:
        yield warning(f"{name}: {text}", f"`ovpnctl status {shlex.quote(name)}` has more.")
    if not found:
        yield ok("No notice about a session")


def _program(machine: Machine, name: str) -> str:
    """Who owns a name, for a message."""
    pid = machine.bus.pids.get(name)
    if pid is None:
        return "an unknown process"
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return f"process {pid}"
    return f"process {pid} ({command[:80] or 'without a command line'})"
