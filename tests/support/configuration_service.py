"""A configuration service without a session manager, for tests, and what they say to it."""

import json
import shutil
import sys
from typing import Any

from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, BusClient
from ..lab.lab import Lab
from ..lab.processes import Process
from ..lab.surroundings import SERVICE

PROGRAMS = [sys.executable, "-m", f"{__package__}.configuration_programs"]
PROFILE = "client\ndev tun\nremote vpn.example.org 1194\n<ca>\nnot looked at\n</ca>\n# größer, ohne Zeilenende"
CREATED, DESTROYED = 1, 2


class Configuration:
    """The configuration service in a process of its own, with its directories."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self.directory = lab.directory / "configuration"
        self.directory.mkdir()
        shutil.chown(self.directory, SERVICE.uid, SERVICE.uid)
        self.process = self.start()

    def start(self) -> Process:
        directories = [str(self.directory / name) for name in ("runtime", "state")]
        process = self._lab.start_as_user(SERVICE.name, [*PROGRAMS, "serve", *directories])
        process.wait_line("^ready$")
        return process

    def restart(self, lose_runtime: bool = False) -> None:
        """As after an idle exit or, losing the runtime directory, after a reboot."""
        self.process.stop()
        if lose_runtime:
            shutil.rmtree(self.directory / "runtime")
        self.process = self.start()

    def read(self, path: str, uid: int, *more: str) -> dict[str, Any]:
        """What the session manager gets of a profile for a user, when the service is not its own."""
        done = self._lab.as_user(SERVICE.name, [*PROGRAMS, "read", path, str(uid), *more])
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
        return found


def available(user: BusClient) -> list[str]:
    """The profiles that a user may use."""
    paths: list[str] = user.call(CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs")
    return paths
