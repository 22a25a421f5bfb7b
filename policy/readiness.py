"""Services of OpenVPN 3 Linux own their name before their objects are there.

The call that starts one is answered that there is no such object, and nothing on the bus tells when there is: so the
root object is asked for its version until it answers, as its own clients do.  Everything is there by then.
"""

from collections.abc import Iterator

from .limits import MAX_READY_PAUSE, READY_PAUSE

NO_OBJECT = "org.freedesktop.DBus.Error.UnknownMethod"  # the error of a call to an object that is not there


def pauses() -> Iterator[float]:
    """The seconds to wait between one question and the next, without end."""
    pause = READY_PAUSE
    while True:
        yield pause
        pause = min(2 * pause, MAX_READY_PAUSE)
