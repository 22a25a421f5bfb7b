"""What a service that was killed has left: while one runs, it has taken that over."""

from collections.abc import Iterable, Iterator

from ...policy.redirect import PRIORITIES
from . import kernel_lists
from .finding import Finding, Machine, ok, unknown, warning
from .network import is_ours

_TO_DO = "`sudo ovpnctl cleanup`; sessions whose workers still run go on with the next start of the service instead."


def leftovers(machine: Machine) -> Iterable[Finding]:
    """Devices, rules, tables and records, where no service runs."""
    if machine.bus.running:
        yield ok("The service runs, and has what there is")
        return
    found, hidden = [], []
    for what, there in _KINDS.items():
        try:
            found += [f"{what} {one}" for one in there(machine)]
        except PermissionError:
            hidden.append(what)
        except OSError as error:
            yield unknown(f"Whether a {what} is left is not known: {error.strerror or error}")
    if found:
        shown = ", ".join(found[:_SHOWN]) + (f" and {len(found) - _SHOWN} more" if found[_SHOWN:] else "")
        yield warning(f"No service runs, and this is left of one: {shown}", _TO_DO)
    if hidden:
        yield unknown(f"Whether a {' or '.join(hidden)} is left is told to root only")
    if not found and not hidden:
        yield ok("Nothing is left of an earlier service")


def _devices(machine: Machine) -> Iterator[str]:
    uids = machine.options.session_uids
    yield from (device.name for device in kernel_lists.tun_devices() if device.owner in uids)


def _rules(machine: Machine) -> Iterator[str]:
    first = machine.options.redirect_rules
    ours = range(first, first + PRIORITIES)
    yield from (f"{rule.priority} (IPv{rule.version})" for rule in kernel_lists.rules() if rule.priority in ours)


def _tables(_: Machine) -> Iterator[str]:
    yield from filter(is_ours, kernel_lists.tables())


def _records(machine: Machine) -> Iterator[str]:
    directory = machine.options.runtime_dir / "sessions"
    try:
        yield from (str(file) for file in directory.iterdir() if file.suffix in (".session", ".socket"))
    except FileNotFoundError:
        return


_KINDS = {"device": _devices, "routing rule": _rules, "table of nf_tables": _tables, "record": _records}
_SHOWN = 8
