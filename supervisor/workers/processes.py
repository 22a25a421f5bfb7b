"""All processes that this one starts, and what is done when one of them ends, is stopped or does not answer."""

import asyncio
import os
from collections.abc import Callable
from functools import partial

from ...policy.dbus_numbers import LogGroup
from ..logging.log import Log
from .helpers import Helpers, kill_serving
from .lookout import Lookout
from .names_client import NameSetterClient
from .proc import process_title
from .reap import Reaper
from .resolver_client import ResolverClient
from .spawner_client import SpawnerClient


class Processes:
    """The helpers, and who watches these and the workers."""

    def __init__(
        self,
        helpers: Helpers,
        log: Log,
        uid_is_free: Callable[[int], None],
        leaving: Callable[[], bool],
        unconfined: Callable[[], None],
        *,
        stopped_grace: float,
        look_interval: float,
    ) -> None:
        """`leaving` tells whether the service is about to end; `unconfined` is as in Reaper.

        Times in seconds, as in start/options.py.
        """
        self._helpers, self._log, self._leaving = helpers, log, leaving
        self.reaper = Reaper(stopped_grace, self._made_to_go_on, unconfined)
        self.lookout = Lookout(look_interval)
        replace_spawner = partial(self._replace, "spawner", helpers.serving_spawner)
        self.spawner = SpawnerClient(
            helpers.spawner,
            self.reaper,
            uid_is_free,
            self._spawner_ended,
            replace_spawner,
            helpers.serving_spawner,
        )
        self.lookout.add_helper(helpers.serving_spawner, self.spawner.found_busy)
        replace_resolver = partial(self._replace, "resolver", helpers.serving_resolver)
        self.resolver = ResolverClient(helpers.resolver, self._resolver_ended, replace_resolver)
        self.lookout.add_helper(helpers.serving_resolver, self.resolver.found_busy)
        self.name_setter = NameSetterClient(helpers.names, self._name_setter_ended)
        self.lacks: list[str] = []  # what cannot be done, since a helper and its keeper have ended
        self.on_lost: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin to watch.  Needs a running loop."""
        self.reaper.start()
        asyncio.get_running_loop().add_reader(self._helpers.stderr, self._log_stderr)
        self.spawner.start()
        self.resolver.start()
        self.name_setter.start()

    def close(self) -> None:
        """End the helpers, and watch no more."""
        self.spawner.close()
        self.resolver.close()
        self.name_setter.close()
        self.lookout.stop()
        self.reaper.stop()

    def _log_stderr(self) -> None:
        """Log what the helpers print, which they do only before they serve requests, or when they fail."""
        data = os.read(self._helpers.stderr, 65536)
        if not data:
            asyncio.get_running_loop().remove_reader(self._helpers.stderr)
        for line in data.decode(errors="replace").splitlines():
            self._log.error(line, group=LogGroup.BACKENDSTART)

    def _replace(self, name: str, serving: Callable[[], list[int]]) -> None:
        self._log.error(f"The {name} does not answer: it is killed, and replaced", group=LogGroup.BACKENDSTART)
        kill_serving(serving())

    def _made_to_go_on(self, pid: int, how: str) -> None:
        """A child that is no worker is stopped: most likely a keeper, which nobody replaces while it lives."""
        text = f"{process_title(pid)} (process {pid}) {how}: the service cannot do without it, and lets it go on"
        self._log.error(text, group=LogGroup.BACKENDSTART)

    def _spawner_ended(self) -> None:
        self._ended("spawner", "no session can be started")

    def _resolver_ended(self) -> None:
        self._ended("resolver", "no names can be looked up")

    def _name_setter_ended(self) -> None:
        if self._helpers.sets_names:
            self._ended("process that sets name servers", "they stay as they are")

    def _ended(self, name: str, outcome: str) -> None:
        """Both processes of a helper have ended."""
        if not self._leaving():
            text = f"The {name} and its keeper have ended: {outcome} until the service is restarted"
            self.lacks.append(text)
            self._log.crit(text, group=LogGroup.BACKENDSTART)
            self.on_lost()
