"""A stand-in for systemd, as far as a service learns from it whether it is started again: dbusmock's."""

from pathlib import Path

from .bus import Bus
from .connection import BusClient
from .network import Namespace
from .processes import Process

NAME = "org.freedesktop.systemd1"
_PATH, _UNIT = "/org/freedesktop/systemd1", "/org/freedesktop/systemd1/unit/openvpn3_2dsessionmgr_2eservice"
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
    <allow send_destination="{NAME}" send_interface="{NAME}.Manager" send_member="GetUnitByPID"/>
    <allow send_destination="{NAME}" send_interface="org.freedesktop.DBus.Properties" send_member="Get"/>
  </policy>
</busconfig>
"""


class Systemd:
    """It has one unit, which every process is of, and which is restarted as `restart` says (systemd.service(5))."""

    def __init__(self, namespace: Namespace, directory: Path, restart: str) -> None:
        self._namespace = namespace
        self._directory = directory
        self._restart = restart
        self._process: Process | None = None

    def join(self, bus: Bus) -> None:
        """Have a bus, which has not started yet, let it own its name."""
        self._directory.mkdir()
        policy = self._directory / f"{NAME}.conf"
        policy.write_text(_POLICY)
        bus.admit(policy)

    def start(self, bus: Bus, root: BusClient) -> None:
        """Start it; it answers when this returns."""
        # The system's Python, for which it is installed.
        argv = ["/usr/bin/python3", "-m", "dbusmock", "--system", NAME, _PATH, f"{NAME}.Manager"]
        self._process = self._namespace.start("systemd", argv, environment=bus.environment())
        root.wait_owner(NAME)
        unit: tuple[object, ...] = (_UNIT, f"{NAME}.Service", {"Restart": ["s", self._restart]}, [])
        root.call(_PATH, _MOCK, "AddObject", "ssa{sv}a(ssss)", *unit, to=NAME)
        answer = (f"{NAME}.Manager", "GetUnitByPID", "u", "o", f"ret = dbus.ObjectPath('{_UNIT}')")
        root.call(_PATH, _MOCK, "AddMethod", "sssss", *answer, to=NAME)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.stop()
            self._process = None
