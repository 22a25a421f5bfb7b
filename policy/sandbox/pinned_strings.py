"""Addresses of strings that seccomp filters compare by address.

A filter cannot read memory, but it sees addresses.  The spawner writes these strings into read-only memory at fixed
addresses (kernel/by_address.py), and nothing can replace them: filters do not let anything be mapped below FLOOR.  So a
process has there what the spawner wrote, and a program that was executed has nothing there.
"""

import sys

FLOOR = 1 << (32 if sys.maxsize > 1 << 32 else 30)  # a 32-bit machine has no filters, but strings
AT = FLOOR >> 1
SIZE = 1 << 20
_ROOM = 1024
ENGINE, PRIVATE, TMPFS, STAGE = (AT + number * _ROOM for number in range(4))

# The second half has the paths of PKCS#11 providers: only from one of these to another may a worker bind.
PATHS_SIZE = SIZE // 2
PATHS = AT + PATHS_SIZE
