"""A stand-in for systemd-logind: dbusmock's."""

import itertools
from pathlib import Path

from .bus import Bus
from .connection import BusClient
from .network import Namespace
from .processes import Process
from .surroundings import Account

NAME = "org.freedesktop.login1"
_PATH = "/org/freedesktop/login1"
_MOCK = "org.freedesktop.DBus.Mock"
_POLICY = f"""\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <policy user="root">
    <allow own="{NAME}"/>
    <allow send_destination="{NAME}"/>
  </policy>
  <policy context="default">
    <allow send_destination="{NAME}" send_interface="{NAME}.Manager" send_member="ListSessions"/>
    <allow send_destination="{NAME}" send_interface="org.freedesktop.DBus.Properties" send_member="Get"/>
    {{}}
  </policy>
</busconfig>
"""
_INHIBIT = f'<allow send_destination="{NAME}" send_interface="{NAME}.Manager" send_member="Inhibit"/>'


class Logind:
    """Logind as far as others learn from it that the machine sleeps, and who is active on a seat.

    Without `inhibit` nobody else than root may have it wait.
    """

    def __init__(self, namespace: Namespace, directory: Path, *, inhibit: bool = True) -> None:
        self._inhibit = inhibit
        self._namespace = namespace
        self._directory = directory
        self._process: Process | None = None
        self._numbers = itertools.count(1)

    def join(self, bus: Bus) -> None:
        """Have a bus, which has not started yet, let it own its name."""
        self._directory.mkdir()
        policy = self._directory / f"{NAME}.conf"
        policy.write_text(_POLICY.format(_INHIBIT if self._inhibit else ""))
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

    def freeze(self) -> None:
        """From now on it answers nobody."""
        assert self._process is not None
        self._process.freeze()

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.thaw()

    def log_in(self, root: BusClient, user: Account, *, remote: bool = False, active: bool = True) -> str:
        """A session of a user begins on a seat, which is another machine's if it is `remote`; its path."""
        name = f"c{next(self._numbers)}"
        arguments = (name, "seat0", user.uid, user.name, active)
        made: str = root.call(_PATH, _MOCK, "AddSession", "ssusb", *arguments, to=NAME)
        self._update(root, made, "Remote", remote)
        return made

    def switch(self, root: BusClient, session: str, *, active: bool) -> None:
        """Another session is in front, or this one again."""
        self._update(root, session, "Active", active)

    def _update(self, root: BusClient, session: str, name: str, value: bool) -> None:
        root.call(session, _MOCK, "UpdateProperties", "sa{sv}", f"{NAME}.Session", {name: ["b", value]}, to=NAME)

    def inhibitors(self, root: BusClient) -> list[list[object]]:
        """What it waits for: of each what, who, why, how, user id and process id."""
        found: list[list[object]] = root.call(_PATH, f"{NAME}.Manager", "ListInhibitors", to=NAME)
        return found

    def sleep(self, root: BusClient) -> None:
        """Tell that the machine is about to sleep, and then that it has slept."""
        self.begin_sleep(root)
        self.wake(root)

    def begin_sleep(self, root: BusClient) -> None:
        """Tell that the machine is about to sleep."""
        self._tell(root, sleeps=True)

    def wake(self, root: BusClient) -> None:
        """Tell that it has slept."""
        self._tell(root, sleeps=False)

    def _tell(self, root: BusClient, *, sleeps: bool) -> None:
        manager = f"{NAME}.Manager"
        root.call(_PATH, _MOCK, "EmitSignal", "sssav", manager, "PrepareForSleep", "b", [["b", sleeps]], to=NAME)
