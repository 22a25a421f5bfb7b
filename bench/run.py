"""Measure the service: `make bench`, or inside the laboratory `python -m openvpn3_sessionmgr.bench.run [BENCH…]`.

Prints one table.  Ends with status 1 only if something could not be measured: a figure that misses what is wanted is
a result.
"""

import argparse
import compileall
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dbus_fast.__version__
from rich.console import Console

from ..tests.lab.pki import Pki
from ..tests.lab.processes import LabError
from ..tests.lab.surroundings import PROJECT
from . import original
from .benches import BENCHES, QUICK, QUICK_COUNTS, Counts
from .figures import Figure, table

_INSTALLED = ("policy", "kernel", "ipc", "supervisor", "worker", "ctl")
_WIDTH = 160  # columns of the table


def main() -> int:
    """Run the benches of the command line; the exit status."""
    options = _parse()
    given = Counts(
        options.runs,
        options.calls,
        options.pipelined,
        tuple(options.sessions),
        idle=tuple(options.idle),
        idle_seconds=options.idle_seconds,
    )
    counts = QUICK_COUNTS if options.quick else given
    for room in _INSTALLED:  # as in a package; the service could not write what it imports when it is no longer root
        compileall.compile_dir(PROJECT / room, quiet=2)
    pki = Pki()
    figures: list[Figure] = []
    failures: dict[str, str] = {}
    load_before = os.getloadavg()
    for name in options.bench or (QUICK if options.quick else _usual()):
        print(f"{name} …", file=sys.stderr, flush=True)
        try:
            figures += BENCHES[name](pki, counts)
        except LabError as error:
            failures[name] = str(error)
    about = _about() | {"load_before": load_before, "load_after": os.getloadavg()}
    console = Console(width=_WIDTH)
    if figures:
        console.print(table(figures, _line(about)))
    for name, text in failures.items():
        print(f"{name} could not be measured: {text}", file=sys.stderr)
    if options.json:
        content = {"about": about, "figures": [one.as_json() for one in figures], "failures": failures}
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return 1 if failures else 0


def _usual() -> list[str]:
    """All benches that can be run here; what cannot is said."""
    if original.there():
        return list(BENCHES)
    print("original: left out, there is no tree of OpenVPN 3 Linux; `make incumbent-trees` makes it", file=sys.stderr)
    return [name for name in BENCHES if name not in ("original", "beside")]


def _parse() -> argparse.Namespace:
    default = Counts()
    parser = argparse.ArgumentParser(description="Measure speed and memory on real sessions, beside their yardsticks.")
    parser.add_argument("bench", nargs="*", metavar="BENCH", help=f"which: {', '.join(BENCHES)} (all)")
    parser.add_argument(
        "--runs", type=int, default=default.runs, help="sessions, connections, cold starts (%(default)s)"
    )
    parser.add_argument("--calls", type=int, default=default.calls, help="calls one after the other (%(default)s)")
    parser.add_argument("--pipelined", type=int, default=default.pipelined, help="calls at once (%(default)s)")
    parser.add_argument(
        "--sessions", type=int, nargs="+", default=default.sessions, metavar="N",
        help="numbers of sessions at which memory is looked at (1 10 40)",
    )  # fmt: skip
    parser.add_argument(
        "--idle", type=int, nargs="+", default=default.idle, metavar="N",
        help="numbers of sessions without traffic (10 100)",
    )  # fmt: skip
    parser.add_argument(
        "--idle-seconds", type=float, default=default.idle_seconds, metavar="S",
        help="how long these are looked at (%(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--quick", action="store_true", help=f"few of everything, in a minute; unless named, of {', '.join(QUICK)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything, each sample too, to FILE")
    options = parser.parse_args()
    if unknown := [name for name in options.bench if name not in BENCHES]:
        parser.error(f"no such bench: {', '.join(unknown)}")
    return options


def _about() -> dict[str, Any]:
    """On what was measured."""
    version = subprocess.run(["openvpn", "--version"], capture_output=True, text=True, check=False).stdout
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "dbus_fast": dbus_fast.__version__.__version__,
        "openvpn": " ".join(version.split()[:2]),
    }


def _line(about: dict[str, Any]) -> str:
    before, after = (about[key][0] for key in ("load_before", "load_after"))
    return (
        f"{about['date']}: {about['cores']} cores, Linux {about['kernel']}, Python {about['python']}, "
        f"dbus-fast {about['dbus_fast']}, {about['openvpn']}; load {before:.1f} before, {after:.1f} after"
    )


if __name__ == "__main__":
    sys.exit(main())
