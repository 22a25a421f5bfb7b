"""A stand-in for systemd-logind: dbusmock's."""

from pathlib import Path

from .bus import Bus
from .connection import BusClient
from .network import Namespace
from .processes import Process

NAME = "org.freedesktop.login1"
_PATH = "/org/freedesktop/login1"
_POLICY = f"""\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <policy user="root">
    <allow own="{NAME}"/>
    <allow send_destination="{NAME}"/>
  </policy>
</busconfig>
"""


class Logind:
    """Logind as far as others learn from it that the machine sleeps."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        self._namespace = namespace
        self._directory = directory
        self._process: Process | None = None

    def join(self, bus: Bus) -> None:
        """Have a bus, which has not started yet, let it own its name."""
        self._directory.mkdir()
        policy = self._directory / f"{NAME}.conf"
        policy.write_text(_POLICY)
        bus.admit(policy)

    def start(self, bus: Bus, watcher: BusClient) -> None:
        """Start it; it owns its name when this returns."""
        # The system's Python, for which it is installed.
        argv = ["/usr/bin/python3", "-m", "dbusmock", "--system", "--template", "logind"]
        self._process = self._namespace.start("logind", argv, environment=bus.environment())
        watcher.wait_owner(NAME)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def sleep(self, root: BusClient) -> None:
        """Tell that the machine is about to sleep, and then that it has slept."""
        for begins in (True, False):
            mock, manager = "org.freedesktop.DBus.Mock", f"{NAME}.Manager"
            root.call(_PATH, mock, "EmitSignal", "sssav", manager, "PrepareForSleep", "b", [["b", begins]], to=NAME)
