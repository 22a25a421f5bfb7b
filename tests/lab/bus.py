"""A private message bus of type `system`, with this project's policy and activation files: dbus-daemon or dbus-broker.

Without a `<servicehelper>` the daemon starts an activated service itself, as the user it runs as; ours runs as root
like the helper of a real system bus, and the service changes to its own user anyway.  The helper clears the
environment but for the bus that starts it, so the activation command here does the same.
"""

import contextlib
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import psutil

from .network import Namespace
from .processes import Process, clean_environment, helper
from .surroundings import PROJECT

POLICIES = PROJECT / "policy" / "dbus"

# The rules of an ordinary system bus: own nothing and call nobody, except where a service's policy file says so.
_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <auth>EXTERNAL</auth>
  <listen>unix:path={socket}</listen>
  <servicedir>{services}</servicedir>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"
          send_member="UpdateActivationEnvironment"/>
    <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Debug.Stats"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <includedir>{policies}</includedir>
  <includedir>{others}</includedir>
</busconfig>
"""


class Bus:
    """The daemon, in a namespace; its output is also that of the services it started.

    `program` is dbus-daemon, or dbus-broker, which activates nothing here.
    """

    def __init__(self, namespace: Namespace, directory: Path, program: str = "dbus-daemon") -> None:
        directory.mkdir()
        self._program = program
        self._namespace = namespace
        self._directory = directory
        self._services = directory / "services"
        self._services.mkdir()
        self._others = directory / "others"  # policy files of other services
        self._others.mkdir()
        self.address = f"unix:path={directory / 'socket'}"
        self._configuration = directory / "bus.conf"
        self._configuration.write_text(
            _CONFIGURATION.format(
                socket=directory / "socket", services=self._services, policies=POLICIES, others=self._others
            )
        )
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        """The daemon's process."""
        assert self._process is not None
        return self._process

    def start(self) -> None:
        """Start the daemon, perhaps again; it accepts connections when this returns."""
        (self._directory / "socket").unlink(missing_ok=True)
        if self._program == "dbus-broker":
            argv = helper("broker.py", str(self._configuration), self.address.removeprefix("unix:path="))
        else:
            options = ("--nofork", "--nopidfile", "--nosyslog", "--print-address=1")
            argv = ["dbus-daemon", f"--config-file={self._configuration}", *options]
        self._process = self._namespace.start(self._program, argv)
        self._process.wait_line("^unix:path=")

    def admit(self, policy: Path) -> None:
        """Have the daemon follow the policy file of another service; before `start`."""
        shutil.copy(policy, self._others)

    def follow_only(self, policies: Path) -> None:
        """Have the daemon follow the policy files of a directory in place of this project's; before `start`."""
        self._configuration.write_text(self._configuration.read_text().replace(str(POLICIES), str(policies)))

    def let_own(self, name: str) -> None:
        """Have anybody own a name, and be called by anybody; before `start`."""
        rules = f'<allow own="{name}"/><allow send_destination="{name}"/>'
        text = f'<busconfig><policy context="default">{rules}</policy></busconfig>\n'
        (self._others / f"{name}.conf").write_text(text)

    def activatable(self, names: Sequence[str], argv: Sequence[str]) -> None:
        """Have the daemon run `argv` when one of `names` is called; once it has started, it
        has to reload its configuration for that."""
        cleared = clean_environment(DBUS_SYSTEM_BUS_ADDRESS=self.address, DBUS_STARTER_BUS_TYPE="system")
        command = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in cleared.items()), *argv]
        for name in names:
            (self._services / f"{name}.service").write_text(
                f"[D-BUS Service]\nName={name}\nUser=root\nExec={shlex.join(command)}\n"
            )

    def environment(self) -> dict[str, str]:
        """The environment of a program that is to use this bus as the system bus."""
        return clean_environment(DBUS_SYSTEM_BUS_ADDRESS=self.address)

    def stop(self) -> None:
        """End the daemon, and so every connection."""
        if self._process is not None:
            # Of dbus-broker-launch, whose broker may outlive it.
            children = psutil.Process(self._process.pid).children() if self._process.running() else []
            self._process.stop()
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
