"""How soon what others have taken away is put back: later each time that they do it again."""

import asyncio

from ...policy.limits import MAX_ROUTING_PAUSE, ROUTING_QUIET

_FORGOTTEN = 60.0  # seconds without anything missing, after which that counts as over


class Contest:
    """With whoever takes something of ours away; to be used on the loop."""

    def __init__(self) -> None:
        self._pause = ROUTING_QUIET
        self._last = 0.0  # the loop's time when something was found missing

    def pause(self) -> float:
        """Seconds from a change until it is looked whether something is missing."""
        if not self.goes_on:
            self._pause = ROUTING_QUIET
        return self._pause

    @property
    def goes_on(self) -> bool:
        """Whether something was found missing in the last minute."""
        return bool(self._last) and asyncio.get_running_loop().time() - self._last <= _FORGOTTEN

    def missing(self) -> None:
        """Something was found missing."""
        self._last = asyncio.get_running_loop().time()
        self._pause = min(2 * self._pause, MAX_ROUTING_PAUSE)
