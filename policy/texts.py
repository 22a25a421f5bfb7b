"""Where the texts are that seccomp filters know by their address.

A filter cannot read memory, but it sees addresses.  The spawner writes these texts into a read-only page at a fixed
address (worker/kernel.py), which nothing can take the place of: below the floor no filter lets anything be mapped,
so a process has there what the spawner wrote; and a program that was executed, nothing.
"""

import sys

FLOOR = 1 << (32 if sys.maxsize > 1 << 32 else 30)  # a 32-bit machine has no filters, but texts
AT = FLOOR >> 1
SIZE = 4096
_ROOM = SIZE // 4
ENGINE, PRIVATE, TMPFS = (AT + number * _ROOM for number in range(3))
