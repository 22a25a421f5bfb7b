"""systemd-resolved and polkit in the lab: how the client's machine looks names up."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from . import kernel, parts
from .bus import Bus
from .network import Namespace
from .private_etc import PrivateEtc
from .processes import LabError, Process
from .surroundings import ACCOUNTS, PROJECT

_POLKITD = ("/usr/lib/polkit-1/polkitd", "--no-debug")
_POLKIT = Path("/usr/share/polkit-1")
_RULE = PROJECT / "policy" / "polkit" / "net.openvpn.v3.sessionmgr.rules"
_ACTIVATION = Path("/usr/share/dbus-1/system-services")
_RUNTIME = Path("/run/systemd/resolve")


class Resolved:
    """systemd-resolved in a namespace, asked by whatever reads resolv.conf there.  A context manager.

    Without `with_polkit` there is none; without `with_rule` polkit does not know this project.
    """

    def __init__(
        self, namespace: Namespace, directory: Path, *, with_polkit: bool = True, with_rule: bool = True
    ) -> None:
        self._namespace = namespace
        self._directory = directory
        self._with_polkit, self._with_rule = with_polkit, with_rule
        self._mounts: list[Path] = []
        self._etc = PrivateEtc(directory / "etc")
        self._process: Process | None = None
        self.environment: Mapping[str, str] = {}  # of the bus

    def __enter__(self) -> Self:
        self._package = parts.unpacked("systemd-resolved")
        [library] = parts.unpacked("libsystemd-shared").rglob("libsystemd-shared-*.so")
        self._libraries = str(library.parent)
        rules = self._directory / "rules"
        rules.mkdir(parents=True)
        if self._with_rule:
            (rules / _RULE.name).write_text(_RULE.read_text())
        if not self._with_polkit:
            nothing = self._directory / "nothing"
            nothing.mkdir()
            self._cover(nothing, _ACTIVATION)
            # What then has to do is found where it is installed.
            self._put_into(Path("/usr/bin"), self._package / "usr/bin")
            self._put_into(Path("/usr/lib"), next(parts.unpacked("libsystemd-shared").glob("usr/lib")))
        self._cover(rules, _POLKIT / "rules.d")
        self._cover(self._package / "usr/share/polkit-1/actions", _POLKIT / "actions")
        self._etc.__enter__()
        self._etc.link("../run/systemd/resolve/stub-resolv.conf")
        return self

    def _put_into(self, place: Path, files: Path) -> None:
        kernel.mount("overlay", place, "overlay", options=f"lowerdir={files}:{place}")
        self._mounts.append(place)

    def _cover(self, by: Path, place: Path) -> None:
        kernel.bind(by, place)
        self._mounts.append(place)

    def __exit__(self, *_: object) -> None:
        self.stop()
        for place in reversed(self._mounts):
            kernel.unmount(place)
        self._etc.__exit__()
        shutil.rmtree(_RUNTIME, ignore_errors=True)

    def join(self, bus: Bus) -> None:
        """Make a bus, which has not started yet, fit for it."""
        bus.admit(parts.program("systemd-resolved", "usr/share/dbus-1/system.d/org.freedesktop.resolve1.conf"))
        if self._with_polkit:
            bus.admit(Path("/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf"))
            bus.activatable(["org.freedesktop.PolicyKit1"], _POLKITD)

    def start(self) -> None:
        """Start it; it owns its name a moment later."""
        account = ACCOUNTS["systemd-resolve"]
        _RUNTIME.mkdir(parents=True, exist_ok=True)
        shutil.chown(_RUNTIME, account.uid, account.uid)
        program = parts.program("systemd-resolved", "usr/lib/systemd/systemd-resolved", "lib/systemd/systemd-resolved")
        self._process = self._namespace.start("systemd-resolved", [str(program)], environment=self._with_libraries())

    def _with_libraries(self) -> dict[str, str]:
        return {**self.environment, "LD_LIBRARY_PATH": self._libraries}

    @property
    def process(self) -> Process:
        """The running service."""
        assert self._process is not None
        return self._process

    @property
    def running(self) -> bool:
        """Whether it has been started."""
        return self._process is not None

    def stop(self) -> None:
        """End it; it can be started again, and knows then what it knew."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def ctl(self, *arguments: str) -> str:
        """What `resolvectl` prints, called by root.  LabError when it fails."""
        command = [str(self._package / "usr/bin/resolvectl"), "--no-pager", *arguments]
        done = self._namespace.run(command, environment=self._with_libraries())
        if done.returncode:
            raise LabError(f"resolvectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout
