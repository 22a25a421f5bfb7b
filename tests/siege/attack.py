"""The program of one attacker: `attack ORDERS`, a file with an `Orders` in JSON, run as the user who attacks.

Prints each act and what came of it.
"""

import os
import sys
from pathlib import Path

import msgspec

from .acts import ACTS
from .attacker import Attacker, Orders

_NICE = 5  # the service is to be attacked, not the processor that it shares with us


def main() -> None:
    """Do what the orders say."""
    orders = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Orders)
    os.nice(_NICE)
    attacker = Attacker(orders)
    attacker.run(ACTS)
    print("over", flush=True)
    if attacker.random.random() < 0.5:
        os._exit(0)  # in the middle of whatever the connections are at
    for line in list(attacker.connections):
        attacker.drop(line)


if __name__ == "__main__":
    main()
