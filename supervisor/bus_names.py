"""The names of the service on the bus: those that make it the only one, and those that others may have."""

from collections.abc import Callable, Mapping, Sequence

from ..policy.exit_status import ExitStatus
from .bus import log_api, manager_api
from .bus.connection import BusConnection, BusRefused
from .errors import StartError
from .logging.log import Log
from .start.options import PROGRAM


class BusNames:
    """All of them, owned or not."""

    def __init__(
        self,
        connection: BusConnection,
        log: Log,
        required: Sequence[str],
        more: Sequence[str],
        owned: Callable[[Mapping[str, bool]], None],
    ) -> None:
        """`required` begins with the one that instances compete for; `more` may belong to other services.

        `owned` is called with which of `more` are this service's, when that is known.
        """
        self._connection = connection
        self._log = log
        self._required = required
        self._more = more
        self._owned = owned

    async def claim(self) -> None:
        """Own them at the start.  Raises StartError if one that is required cannot be had, BusLost."""
        try:
            taken = await self.own()
        except BusRefused as error:
            raise StartError(
                f"The bus does not let this service own its names: {error}. Is the policy file for "
                f"{manager_api.BUS_NAME} installed, and has the bus read it?",
                ExitStatus.CANNOT_START,
            ) from error
        if taken == manager_api.BUS_NAME:
            raise StartError(f"{PROGRAM} is running on this bus already", ExitStatus.ALREADY_RUNNING)
        if taken:
            raise StartError(
                f"Another service owns {taken}; to use its profiles, start with --configuration external",
                ExitStatus.ALREADY_RUNNING,
            )

    async def own(self) -> str:
        """Own them; returns the first required one that has another owner, or "".  Raises BusRefused, BusLost.

        One after the other: dbus-daemon starts two instances when two names are called at once, and whatever it
        delivers to the one that ends is lost.  Only the owner of the first name asks for the others, so the other
        instance never owns any.
        """
        for name in self._required:
            if not (await self._connection.request_names([name]))[name]:
                return name
        await self._own_more()
        return ""

    async def _own_more(self) -> None:
        try:
            owned = await self._connection.request_names(self._more)
        except BusRefused as error:
            self._log.warn(f"The bus does not let this service own all of {', '.join(self._more)}: {error}")
            return
        self._owned(owned)
        if not owned[log_api.BUS_NAME]:
            self._log.warn(
                f"Another service owns {log_api.BUS_NAME}: clients do not receive the signals of LogForward. Stop that "
                "service, then restart this one"
            )

    async def release(self) -> None:
        """Own none any more; calls sent to them before have arrived when this returns.  Raises BusLost."""
        # The first one last: its owner may request the others.
        await self._connection.release_names([*self._more, *reversed(self._required)])
