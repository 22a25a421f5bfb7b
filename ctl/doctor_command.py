"""doctor: whether sessions can work on this machine, and what to do where they cannot."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .exits import CommandError, CommandExit, sanitize
from .run import on_bus, print_json, put

if TYPE_CHECKING:
    from .doctor.bus_facts import BusFacts
    from .doctor.finding import Machine

_VERSION = 1  # of what --json prints; it grows when a member is renamed, removed or gets another meaning
_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red", "unknown": "cyan"}


@click.command("doctor", short_help="Say what is wrong with this machine for sessions, and what to do.")
@click.option(
    "--config-dir", type=click.Path(path_type=Path), metavar="DIR", help="The service's, if not the usual one."
)
@click.option("--json", "as_json", is_flag=True, help="Print an object.")
@click.option("-q", "--quiet", is_flag=True, help="Leave out what is ok.")
def doctor(config_dir: Path | None, as_json: bool, quiet: bool) -> None:
    """Say what is wrong with this machine for sessions, and what to do.

    It looks at the kernel, the engine, the account, configuration files, directories, the bus and what it permits,
    who owns the service's names, the sandbox, name servers, routing and firewall rules of others, the clock, and
    what an earlier service has left.  Nothing is changed, but that the bus starts the service, as with each command.

    Each finding is ok, warning (something may not work), fault (something does not), or unknown: then it says who may
    see it; root sees most.  The exit status is 0 without a fault, else 13.

    \b
    --json prints version (1; members may be added to it), faults,
    warnings (numbers), and findings, a list of objects:
      check (its name), about (what it looks at), verdict, what,
      to_do (null where it is ok).
    """
    from .doctor.table import examine

    found = list(examine(_machine(config_dir)))
    count = Counter(finding.verdict.value for _, finding in found)
    shown = [(check, finding) for check, finding in found if finding.verdict != "ok" or not quiet]
    if as_json:
        findings = [
            {
                "check": check.name,
                "about": check.what,
                "verdict": finding.verdict.value,
                "what": sanitize(finding.what),
                "to_do": sanitize(finding.to_do) or None,
            }
            for check, finding in shown
        ]
        print_json({"version": _VERSION, "faults": count["fault"], "warnings": count["warning"], "findings": findings})
    else:
        for check, finding in shown:
            verdict = click.style(f"{finding.verdict:<8}", fg=_COLOURS[finding.verdict])
            put(f"{verdict} {check.name}: {sanitize(finding.what)}")
            if finding.to_do:
                put(f"         {sanitize(finding.to_do)}")
        if not quiet:
            put(", ".join(f"{count[name]} {name}" for name in _COLOURS if count[name]))
    if count["fault"]:
        sys.exit(CommandExit.FAULTS)


def _machine(config_dir: Path | None) -> "Machine":
    from ..policy.configuration.files import read
    from ..policy.configuration.options import combined
    from ..policy.configuration.table import DIRECTORY
    from .doctor.finding import Machine

    files = read(config_dir or Path(DIRECTORY))
    return Machine(files, combined({}, files.settings), os.geteuid() == 0, _bus_facts())


def _bus_facts() -> "BusFacts":
    from .doctor.bus_facts import BusFacts, gather

    try:
        return on_bus(lambda bus: gather(bus, root=os.geteuid() == 0))
    except CommandError as error:
        return BusFacts(unreachable=error)
