"""OpenVPN 3 Linux itself in the lab: its services on the private bus, its clients as users of the client's machine.

Its programs run in a throw-away layer over their own Debian tree, in the lab's client namespace, with the lab's
accounts.  Nothing of theirs outlives the lab.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import kernel
from .bus import POLICIES, Bus
from .connection import BusError
from .incumbent_tree import Release
from .lab import Lab
from .network import Namespace
from .pki import Pki
from .processes import DEADLINE, Process, clean_environment, describe, pids, until_gone
from .surroundings import ACCOUNTS, SCRATCH, SERVICE

_PROGRAMS = Path("/usr/libexec/openvpn3-linux")
_PREFIX = "net.openvpn.v3"
_CONFIGURATION_OPTIONS = ("--state-dir=/var/lib/openvpn3/configs",)
_ENDING = 5.0


class ForeignRoot:
    """A Debian tree with OpenVPN 3 Linux, ready to run programs in.  A context manager.

    `directory` is a place for its layer; `shared` is shown inside at its own path.
    """

    def __init__(self, release: Release, namespace: Namespace, directory: Path, shared: Path) -> None:
        self.release = release
        self.path = directory / "root"
        self._namespace = namespace
        self._directory = directory
        self._shared = shared

    def __enter__(self) -> "ForeignRoot":
        upper, work = self._directory / "upper", self._directory / "work"
        for directory in (self._directory, upper, work, self.path):
            directory.mkdir(mode=0o755)
        options = f"lowerdir={self.release.tree},upperdir={upper},workdir={work}"
        kernel.mount("overlay", self.path, "overlay", options=options)
        try:
            self._furnish()
        except BaseException:
            kernel.unmount(self.path)
            raise
        return self

    def _furnish(self) -> None:
        for directory in (Path("/proc"), Path("/dev")):
            kernel.bind(directory, self.inside(directory))
        shown = self.inside(self._shared)
        shown.mkdir(parents=True)
        # Without what is mounted below, which is this very root.
        kernel.mount(str(self._shared), shown, flags=kernel.MS_BIND)
        self.inside(SCRATCH).chmod(0o1777)
        for file in (Path("/etc/passwd"), Path("/etc/group")):
            shutil.copyfile(file, self.inside(file))
        self.inside(Path("/etc/machine-id")).write_text("0123456789abcdef0123456789abcdef\n")
        self.inside(Path("/etc/resolv.conf")).write_text("")
        for owned in (self.inside(Path("/var/lib/openvpn3")), *self.inside(Path("/var/lib/openvpn3")).rglob("*")):
            shutil.chown(owned, SERVICE.uid, SERVICE.uid)

    def __exit__(self, *_: object) -> None:
        """End what still runs in it, and take it away."""
        for pid in self._residents():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        left = until_gone(self._residents, _ENDING)
        kernel.unmount(self.path)
        if left:
            raise RuntimeError(f"cannot be killed: {[describe(pid) for pid in left]}")

    def _residents(self) -> set[int]:
        found = set[int]()
        for pid in pids():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/root").samefile(self.path):
                    found.add(pid)
        return found

    def inside(self, path: Path) -> Path:
        """A path inside, as seen from outside."""
        return self.path / path.relative_to("/")

    def command(self, argv: Sequence[str], user: str = "root") -> list[str]:
        """The command that runs `argv` inside as `user`, on the client's machine."""
        account = ACCOUNTS[user]
        become = ["chroot", f"--userspec={account.uid}:{account.uid}", "--groups=", str(self.path)]
        return self._namespace.command([*become, *argv])

    def start(self, name: str, argv: Sequence[str], user: str, environment: Mapping[str, str]) -> Process:
        """Start a program inside."""
        return Process(name, self.command(argv, user), {**environment, "HOME": ACCOUNTS[user].home})


class IncumbentBus(Bus):
    """The bus with OpenVPN 3 Linux's own policies; those of this project take their place where there are both."""

    def __init__(self, namespace: Namespace, directory: Path, release: Release, *, ours: bool) -> None:
        super().__init__(namespace, directory)
        policies = directory / "policies"
        policies.mkdir()
        for file in (release.tree / "usr/share/dbus-1/system.d").glob(f"{_PREFIX}*.conf"):
            shutil.copyfile(file, policies / file.name)
        if ours:
            for file in POLICIES.glob("*.conf"):
                shutil.copyfile(file, policies / file.name)
        self.follow_only(policies)


class IncumbentLab(Lab):
    """A lab with a release's programs: `foreign` runs its clients, `start_services` its services.

    Without `start_services`, this project's service can run beside them (`ours=True`), as on a system that has both.
    """

    def __init__(self, release: Release, pki: Pki | None = None, *, ours: bool = False) -> None:
        super().__init__(pki)
        self.release = release
        self._ours = ours

    def start_bus(self, activation: Sequence[str] | None = None, through: Sequence[str] = ()) -> Bus:
        """Start the bus with the release's policies."""
        assert activation is None, "services are started by hand here"
        made = IncumbentBus(self.client_side, self._place("bus"), self.release, ours=self._ours)
        self._parts.callback(made.stop)
        made.start()
        self.__dict__["bus"] = made
        return made

    @functools.cached_property
    def foreign(self) -> ForeignRoot:
        """The release's root."""
        made = ForeignRoot(self.release, self.client_side, self._place("incumbent"), self.directory)
        self._parts.enter_context(made)
        # Where programs look that were started without an environment.
        usual = made.inside(Path("/run/dbus/system_bus_socket"))
        usual.parent.mkdir(parents=True, exist_ok=True)
        usual.symlink_to(self.bus.address.removeprefix("unix:path="))
        return made

    def start_configuration(self) -> None:
        """Start the release's configuration service alone, beside this project's session manager and log."""
        made = self._service("configuration", *_CONFIGURATION_OPTIONS)
        self.services = {"configuration": made}
        self.watcher.wait_owner(f"{_PREFIX}.configuration")
        self._wait_served(f"{_PREFIX}.configuration", until=time.monotonic() + DEADLINE)

    def configuration_on_demand(self) -> None:
        """Have the bus start the release's configuration service when it is called."""
        argv = [str(_PROGRAMS / "openvpn3-service-configmgr"), "--idle-exit=0", *_CONFIGURATION_OPTIONS]
        # The daemon has mounts of its own, and does not see the release's root.
        seeing = ["nsenter", f"--target={os.getpid()}", "--mount"]
        self.bus.activatable([f"{_PREFIX}.configuration"], [*seeing, *self.foreign.command(argv, SERVICE.name)])
        self.watcher.call("/org/freedesktop/DBus", "org.freedesktop.DBus", "ReloadConfig", to="org.freedesktop.DBus")

    def start_services(self) -> float:
        """Start all services of the release; seconds until every one of them owned its name."""
        began = time.monotonic()
        self.services = {
            name: self._service(name, *options)
            for name, options in {
                "log": ("--log-file=/dev/stdout", "--log-level=6"),
                "configuration": _CONFIGURATION_OPTIONS,
                "netcfg": ("--resolv-conf=/etc/resolv.conf", "--state-dir=/var/lib/openvpn3"),
                "backends": (),
                "sessions": (),
            }.items()
        }
        for name in self.services:
            self.watcher.wait_owner(f"{_PREFIX}.{name}")
            self._wait_served(f"{_PREFIX}.{name}", until=began + DEADLINE)
        return time.monotonic() - began

    def start_service_again(self, name: str) -> None:
        """Start one that has ended."""
        self.services[name] = self._service(name)
        self.watcher.wait_owner(f"{_PREFIX}.{name}")

    def _wait_served(self, name: str, until: float) -> None:
        """Ask until the root object is there: some of the services take their name first, and nothing tells when."""
        while True:
            try:
                self.watcher.get("/" + name.replace(".", "/"), "version")
            except BusError:
                if time.monotonic() > until:
                    raise
            else:
                return

    def _service(self, name: str, *options: str) -> Process:
        program = {"configuration": "configmgr", "backends": "backendstart", "sessions": "sessionmgr"}.get(name, name)
        argv = [str(_PROGRAMS / f"openvpn3-service-{program}"), "--idle-exit=0", *options]
        # netcfg alone starts as root, and keeps what it needs of it.
        user = "root" if name == "netcfg" else SERVICE.name
        made = self.foreign.start(name, argv, user, self.bus.environment())
        self._parts.callback(made.stop)
        return made

    def foreign_user(
        self, user: str, argv: Sequence[str], *, stdin: str = "", deadline: float = 60.0
    ) -> "subprocess.CompletedProcess[str]":
        """Run a program of the release as a user to its end; its status, output and errors, whatever they are."""
        return subprocess.run(
            self.foreign.command(argv, user),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=deadline,
            env={**clean_environment(**self.bus.environment()), "HOME": "/tmp"},
            check=False,
        )
