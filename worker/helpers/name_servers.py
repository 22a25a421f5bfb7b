"""Sets name servers where it takes the user id 0: in /etc/resolv.conf, or by resolvconf(8).

It has no capability, so all that it can write are files of root's.  A file that is a link is written through it, and in
place: those who have it open or bound see the change, and nobody finds it empty.
"""

import errno
import os
import re
import stat
import subprocess
from pathlib import Path

from ...ipc import helpers
from ...ipc.channel import Channel, ChannelClosed
from ...policy.dns import problem
from ...policy.exit_status import ExitStatus
from ...policy.limits import DNS_DEADLINE, MAX_RESOLV_CONF
from .resolv_conf import with_servers, without_servers

RESOLV_CONF = "/etc/resolv.conf"
_RESOLVCONF = "/sbin/resolvconf"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_DEVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_MAX_SERVERS = 3  # that resolv.conf(5) has any effect of

_Wanted = tuple[list[str], tuple[str, ...]] | None  # name servers and domains; None: what was there before


class _Replaced(Exception):
    """Somebody has put another file in the place of resolv.conf: Landlock's rule is for the one that was there."""


def serve(supervisor: Channel, kind: helpers.NameSetter, *, anew: bool) -> None:
    """Do what the supervisor asks until it closes its end; `anew` in the place of a process that died."""
    setter = _NameSetter(kind)
    try:
        if anew:
            supervisor.send(helpers.encode(helpers.ServesAnew()))
        while True:
            packet = supervisor.receive()
            packet.close()
            request = helpers.decode_to_name_setter(packet.data)
            supervisor.send(helpers.encode(helpers.NamesDone(request.number, setter.done(request))))
    except ChannelClosed:
        return
    except _Replaced:
        # Its keeper forks another, which is asked again, and gets a rule for the new file.
        os._exit(ExitStatus.CONFINEMENT)


class _NameSetter:
    def __init__(self, kind: helpers.NameSetter) -> None:
        self._kind = kind
        self._file = _identity()  # that Landlock's rule is for

    def done(self, request: helpers.ToNameSetter) -> str:
        """Do one request; why it could not be done, or ""."""
        if not _DEVICE.fullmatch(request.device):
            return "this is no device"
        wanted: _Wanted = None
        if isinstance(request, helpers.SetNames):
            if reason := problem(request.settings):
                return reason
            servers = [server.address for server in request.settings.servers][:_MAX_SERVERS]
            wanted = servers, request.settings.search
        try:
            if self._kind == "file":
                self._rewrite(wanted)
            else:
                _run_resolvconf(self._kind, request.device, wanted)
        except subprocess.TimeoutExpired:
            return f"resolvconf takes longer than {DNS_DEADLINE:g} s"
        except OSError as error:
            return f"{error.filename or RESOLV_CONF}: {error.strerror}"
        return ""

    def _rewrite(self, wanted: _Wanted) -> None:
        """Write resolv.conf in place, with one system call.  Raises OSError, _Replaced."""
        try:
            file = os.open(RESOLV_CONF, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        except PermissionError:
            if _identity() != self._file:
                raise _Replaced from None
            raise
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_RESOLV_CONF:
                raise OSError(errno.EFBIG, "this is no file of the usual kind and size", RESOLV_CONF)
            # As bytes of any kind: what is not ours is not touched.
            before = os.pread(file, MAX_RESOLV_CONF, 0).decode("latin-1")
            after = without_servers(before) if wanted is None else with_servers(before, *wanted)
            if after != before:
                data = after.encode("latin-1")
                # As long as before, and cut then: who reads it meanwhile never sees less than all of it.
                os.pwrite(file, data.ljust(len(before), b"\n"), 0)
                os.ftruncate(file, len(data))
        finally:
            os.close(file)


def _identity() -> tuple[int, int]:
    """Which file resolv.conf is; (0, 0) if there is none."""
    try:
        status = Path(RESOLV_CONF).stat()
    except OSError:
        return 0, 0
    return status.st_dev, status.st_ino


def _run_resolvconf(kind: helpers.NameSetter, device: str, wanted: _Wanted) -> None:
    """Have resolvconf add or delete the part of a device.  Raises OSError, TimeoutExpired."""
    part = f"{device}.openvpn3"
    if wanted is None:
        options, text = ["-d", part], ""
    else:
        servers, search = wanted
        # Of openresolv: as the only one there is.
        options = [*(("-x", "-m", "0") if kind == "openresolv" else ()), "-a", part]
        text = "".join(f"nameserver {server}\n" for server in servers)
        text += f"search {' '.join(search)}\n" if search else ""
    if wanted is None and kind == "openresolv":
        options = ["-f", *options]  # no error if there is none
    done = subprocess.run(
        [_RESOLVCONF, *options],
        input=text.encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_ENVIRONMENT,
        timeout=DNS_DEADLINE,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-200:] or f"status {done.returncode}"
        raise OSError(errno.EIO, said, _RESOLVCONF)
