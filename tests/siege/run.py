"""`make siege`: in the laboratory, `python -m openvpn3_sessionmgr.tests.siege.run`.

    python -m openvpn3_sessionmgr.tests.siege.run [--seed N] [--minutes N] [--bus NAME] [--without ACT…]

Ends with status 1, and the last acts of the attackers, if alice noticed anything or anything stayed.  The service's log
is in .cache/siege/service.log then.
"""

import argparse
import secrets
import sys
from pathlib import Path

from ..lab.lab import Lab
from .siege import Plan, Siege

FOUND = Path(__file__).resolve().parents[2] / ".cache" / "siege"
BUSES = ("dbus-daemon", "dbus-broker")
_WARM_UP = 60.0  # seconds
_ROUND = 60.0
_CONNECTIONS = 300


def main() -> int:
    """Run what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(description="Attack the service, and see whether alice notices.")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of all attackers (by chance)")
    parser.add_argument("--minutes", type=float, default=60, help="of attack (%(default)s)")
    parser.add_argument("--bus", choices=BUSES, default=BUSES[0], help="(%(default)s)")
    parser.add_argument("--without", nargs="*", default=[], help="acts and kinds of profiles, by their names (none)")
    options = parser.parse_args()
    plan = Plan(
        seed=options.seed,
        seconds=options.minutes * 60,
        warm_up=min(_WARM_UP, options.minutes * 30),
        a_round=_ROUND,
        connections=_CONNECTIONS,
        without=tuple(options.without),
    )
    print(f"seed {plan.seed}, {options.minutes:g} minutes, {options.bus}", flush=True)
    with Lab() as lab:
        lab.bus_program = options.bus
        siege = Siege(lab, plan, lambda text: print(text, flush=True))
        wrong = siege.run()
        for text in wrong:
            print(text, flush=True)
        FOUND.mkdir(parents=True, exist_ok=True)
        (FOUND / "service.log").write_text(siege.field.service.log + "\n")
    print(f"seed {plan.seed}: " + (f"{len(wrong)} findings" if wrong else "alice noticed nothing, and nothing is left"))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
