"""What the kernel makes of descriptors that are sent to a socket which wants none."""

import functools
import socket

_SO_PASSRIGHTS = 83  # asm-generic/socket.h, since Linux 6.16


@functools.cache
def kernel_refuses_descriptors() -> bool:
    """Whether it refuses them at the sender; an older one delivers them, and the receiver has to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
        try:
            one.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
        except OSError:
            return False
    return True
