"""A Debian machine on which packages are installed as an administrator does, and what is on it."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

from ..lab.bus import Bus
from ..lab.lab import Lab
from ..lab.network import Namespace
from ..lab.packages import BUILT, RIVAL

_SOCKET = Path("/run/dbus/system_bus_socket")
JOURNAL = Path("/run/systemd/journal/socket")
# What the package manager, the account database, other packages' modules and openvpn3-client may leave.
_OTHERS = re.compile(
    r"^/(proc|sys|dev|run|src|tmp|root)/|^/var/(lib/dpkg|lib/apt|log|cache)/|"
    r"^/etc/(passwd|group|shadow|gshadow)-?$|^/etc/\.pwd\.lock$|"
    r"^/(etc|var/lib)/openvpn3/|^/usr/lib/python3(\.\d+)?/(?!.*openvpn3).*__pycache__"
)


class SystemBus(Bus):
    """The system bus as Debian sets it up: its own configuration, its set-uid helper, installed files only."""

    def __init__(self, namespace: Namespace, directory: Path) -> None:
        super().__init__(namespace, directory)
        self.address = f"unix:path={_SOCKET}"

    def start(self) -> None:
        """Start the daemon; it accepts connections when this returns."""
        _SOCKET.parent.mkdir(exist_ok=True)
        argv = ["dbus-daemon", "--system", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1"]
        self._process = self._namespace.start("dbus-daemon", argv)
        self._process.wait_line("^unix:path=")


class Machine(Lab):
    """The lab with Debian's own accounts, and the system bus on the client's side."""

    journal: socket.socket

    def start_bus(self, activation: object = None, through: object = ()) -> Bus:
        """Start the system bus."""
        assert activation is None
        made = SystemBus(self.client_side, self._place("bus"))
        self._parts.callback(made.stop)
        made.start()
        self.__dict__["bus"] = made
        return made

    def logged(self) -> list[str]:
        """What went to the journal since the last call."""
        lines: list[str] = []
        while True:
            try:
                entry = self.journal.recv(65536).decode()
            except BlockingIOError:
                return lines
            lines += [line.removeprefix("MESSAGE=") for line in entry.splitlines() if line.startswith("MESSAGE=")]


def run(*command: str) -> str:
    """Run a command that must succeed; what it printed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"
    return done.stdout


def packages() -> dict[str, Path]:
    """The packages that were built: name and file."""
    return {file.name.partition("_")[0]: file for file in sorted(BUILT.glob("*.deb"))}


def is_installed(name: str) -> bool:
    """Whether anything of a package is there."""
    return subprocess.run(["dpkg-query", "--status", name], capture_output=True, check=False).returncode == 0


def rival(directory: Path, version: str = "") -> Path:
    """The file of openvpn3-client; of a later version of it, if given, made in `directory`."""
    [file] = RIVAL.glob("*.deb")
    if not version:
        return file
    content = directory / "content"
    shutil.rmtree(content, ignore_errors=True)
    run("dpkg-deb", "--raw-extract", str(file), str(content))
    control = content / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    later = directory / "later.deb"
    run("dpkg-deb", "--build", "-Znone", str(content), str(later))
    return later


def files() -> set[str]:
    """All files and directories of the machine but what every installation changes."""
    found = set()
    for directory, names, here in os.walk("/"):
        names[:] = [name for name in names if not _OTHERS.search(f"{directory.rstrip('/')}/{name}/")]
        paths = (f"{directory.rstrip('/')}/{name}" for name in (*names, *here))
        found |= {path for path in paths if not _OTHERS.search(path)}
    return found
