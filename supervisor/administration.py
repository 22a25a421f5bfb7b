"""What the administrator changes in the files while the service runs: read again when asked to (SIGHUP)."""

import asyncio
import os
import signal

from ..kernel.signals import open_signalfd, take_signals
from ..policy.configuration.option import Option
from ..policy.configuration.options import Options, differing
from ..policy.rights import REFUSE, Right
from .errors import SystemFailure
from .idle import IdleTimer
from .logging.log import Log
from .network.apply import Network
from .rights import Rights
from .services.profile_store import ProfileStore
from .sessions.manager import SessionManager
from .start.options import CommandLine, WrongConfiguration, options


class Administration:
    """The options in force, and how others take their place; what is wrong leaves them as they are."""

    def __init__(
        self,
        in_force: Options,
        command_line: CommandLine,
        log: Log,
        *,
        rights: Rights,
        sessions: SessionManager,
        profiles: ProfileStore | None,
        network: Network,
        idle: IdleTimer,
    ) -> None:
        """Without `profiles` another service has them."""
        self._started_with = self._in_force = in_force
        self._command_line = command_line
        self._log = log
        self._rights = rights
        self._sessions = sessions
        self._profiles = profiles
        self._network = network
        self._idle = idle
        self._signal = -1  # a descriptor
        self._asked = False
        self._reading: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Be asked from now on.  Needs a running loop, and threads that all block SIGHUP.  Raises OSError."""
        self._signal = open_signalfd({signal.SIGHUP})
        asyncio.get_running_loop().add_reader(self._signal, self._reload_soon)

    def stop(self) -> None:
        """Be asked no more; does nothing when not started."""
        if self._signal >= 0:
            asyncio.get_running_loop().remove_reader(self._signal)
            os.close(self._signal)
            self._signal = -1

    def _reload_soon(self) -> None:
        """Read the files again, once more if that is under way."""
        take_signals(self._signal)
        self._asked = True
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        while self._asked:
            self._asked = False
            try:
                chosen = await asyncio.to_thread(options, self._command_line)
            except WrongConfiguration as error:
                self._log.error(f"{error}. The service goes on with what it had")
                continue
            try:
                await self._take(chosen)
            except SystemFailure as error:
                self._log.error(f"The kernel does not take what has changed in the configuration: {error}")
            self._tell(self._in_force, chosen)
            self._in_force = chosen

    async def _take(self, chosen: Options) -> None:
        """Have these count as far as they may change now (policy/configuration/table.py: `live`).

        Raises SystemFailure.
        """
        if chosen.log_level != self._in_force.log_level:  # else what was chosen over the bus stays
            self._log.level = chosen.log_level
        self._rights.replace(chosen.rights)
        full_titles = chosen.process_titles == "full"
        self._sessions.change(chosen.quotas, connect_deadline=chosen.connect_timeout, full_titles=full_titles)
        if self._profiles is not None:
            self._profiles.quotas = chosen.quotas
        self._idle.seconds = chosen.idle_exit
        self._idle.restart()
        await self._network.change(chosen)

    def _tell(self, before: Options, chosen: Options) -> None:
        taken = [option.name for option in differing(before, chosen) if option.live]
        said = f"what has changed: {', '.join(taken)}" if taken else "nothing that counts at once has changed"
        self._log.info(f"The configuration has been read again; {said}")
        if later := [option.name for option in differing(self._started_with, chosen) if self._waits(option, chosen)]:
            self._log.warn(
                f"Changed, and not taken before the service starts anew: {', '.join(later)} (it ends by itself some "
                "time after the last session; systemctl restart openvpn3-sessionmgr starts it now, and sessions go on)"
            )

    def _waits(self, option: Option, chosen: Options) -> bool:
        """Whether a change is taken only when the service starts: what it has been made with as root."""
        if option.name == Right.DNS:
            return self._started_with.dns == (REFUSE,) != chosen.dns  # nothing has been started that could set them
        return not option.live
