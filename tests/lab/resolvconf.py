"""resolvconf(8) in the lab, as its Debian packages install it: openresolv's, or Debian's own."""

import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import Literal, Self

from . import kernel, parts
from .private_etc import ETC, OF_RESOLV_CONF, PrivateEtc

PROGRAM = Path("/sbin/resolvconf")
_RUNTIME = Path("/run/resolvconf")
_PLACES = (("sbin", Path("/usr/sbin")), ("lib", Path("/usr/lib")))  # of a system whose /sbin and /lib are links


class Resolvconf:
    """resolvconf, which makes resolv.conf and has the name server of an interface eth0.  A context manager."""

    def __init__(self, package: Literal["openresolv", "resolvconf"], directory: Path, server: str) -> None:
        self._package = package
        self._directory = directory
        self._server = server
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        files = parts.unpacked(self._package)
        with contextlib.ExitStack() as undo:
            undo.enter_context(PrivateEtc(self._directory / "etc"))
            shutil.copytree(files / "etc", ETC, dirs_exist_ok=True)
            for name, place in _PLACES:
                ours = [str(one) for one in (files / "usr" / name, files / name) if one.exists()]
                kernel.mount("overlay", place, "overlay", options=f"lowerdir={':'.join(ours)}:{place}")
                undo.callback(kernel.unmount, place)
            undo.callback(shutil.rmtree, _RUNTIME, True)
            if self._package == "resolvconf":
                (_RUNTIME / "interface").mkdir(parents=True)
                (_RUNTIME / "enable-updates").touch()
                OF_RESOLV_CONF.unlink()
                OF_RESOLV_CONF.symlink_to(_RUNTIME / "resolv.conf")
            subprocess.run([PROGRAM, "-a", "eth0.dhcp"], input=f"nameserver {self._server}\n".encode(), check=True)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()
