"""Sets name servers where it takes the user id 0: in /etc/resolv.conf, by resolvconf(8), or by resolvectl(1).

It has no capability, so all that it can write are files of root's.  A file that is a link is written through it, and in
place: those who have it open or bound see the change, and nobody finds it empty.
"""

import errno
import os
import re
import select
import socket
import stat
from collections.abc import Callable

from ...ipc import helpers
from ...ipc.channel import Channel, ChannelClosed
from ...policy.dns import DNSSEC_MODES, DnsSettings, NameSetter, problem, usable_in_file
from ...policy.limits import DNS_DEADLINE, MAX_RESOLV_CONF
from ...policy.resolv_conf import with_servers, without_servers
from .keeper import Keeper

RESOLV_CONF = "/etc/resolv.conf"
_RESOLVCONF = "/sbin/resolvconf"
_RESOLVECTL = "/usr/bin/resolvectl"
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
_DEVICE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_MAX_SAID = 200  # bytes of what a program said that failed


def serve(supervisor: Channel, keeper: Keeper, answer: Callable[[], None], *, anew: bool) -> None:
    """Have `answer` do what the supervisor asks until it closes its end; `anew` in the place of a process that died.

    Raises KeeperGone.
    """
    try:
        if anew:
            supervisor.send(helpers.encode(helpers.ServesAnew()))
        while True:
            keeper.wait_for(supervisor)
            if not supervisor.socket.recv(1, socket.MSG_PEEK):
                return
            answer()
    except ChannelClosed:
        return


def answer_one(supervisor: Channel, kind: NameSetter, bus: str) -> None:
    """Do one thing that the supervisor asks, if it still waits for that.  Raises ChannelClosed."""
    if not select.select([supervisor.fileno()], [], [], 0)[0]:
        return  # this process has been stopped, and another one has done it
    packet = supervisor.receive()
    packet.close()
    request = helpers.decode_to_name_setter(packet.data)
    setter = _NameSetter(kind, {"DBUS_SYSTEM_BUS_ADDRESS": bus} if bus else {})
    supervisor.send(helpers.encode(helpers.NamesDone(request.number, setter.done(request))))


class _NameSetter:
    def __init__(self, kind: NameSetter, environment: dict[str, str]) -> None:
        self._kind = kind
        self._environment = {**_ENVIRONMENT, **environment}

    def done(self, request: helpers.ToNameSetter) -> str:
        """Do one request; why it could not be done, or ""."""
        if not _DEVICE.fullmatch(request.device):
            return "this is no device"
        settings = request.settings if isinstance(request, helpers.SetNames) else None
        if settings and (reason := problem(settings)):
            return reason
        try:
            if self._kind == "file":
                self._rewrite(settings)
            elif self._kind == "resolvectl":
                self._call_resolvectl(request.device, settings)
            else:
                self._call_resolvconf(request.device, settings)
        except TimeoutError:
            return f"{self._kind} takes longer than {DNS_DEADLINE:g} s"
        except OSError as error:
            return f"{error.filename or RESOLV_CONF}: {error.strerror}"
        return ""

    def _rewrite(self, settings: DnsSettings | None) -> None:
        """Write resolv.conf in place.  Raises OSError."""
        file = os.open(RESOLV_CONF, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_RESOLV_CONF:
                raise OSError(errno.EFBIG, "this is no file of the usual kind and size", RESOLV_CONF)
            # As bytes of any kind: what is not ours is not touched.
            before = os.pread(file, MAX_RESOLV_CONF, 0).decode("latin-1")
            after = (
                with_servers(before, usable_in_file(settings), settings.search) if settings else without_servers(before)
            )
            if after != before:
                _replace(file, len(before), after.encode("latin-1"))
        finally:
            os.close(file)

    def _call_resolvconf(self, device: str, settings: DnsSettings | None) -> None:
        """Have resolvconf add or delete the part of a device.  Raises OSError (TimeoutError: it takes too long)."""
        options, text = ["-d"], ""
        if settings is not None:
            options = ["-a"]
            text = "".join(f"nameserver {server}\n" for server in usable_in_file(settings))
            text += f"search {' '.join(settings.search)}\n" if settings.search else ""
        if self._kind == "openresolv":
            # As the only one there is; or without an error if there is none.
            options = ["-x", "-m", "0", *options] if settings is not None else ["-f", *options]
        self._call(_RESOLVCONF, *options, f"{device}.openvpn3", stdin=text)

    def _call_resolvectl(self, device: str, settings: DnsSettings | None) -> None:
        """Have resolvectl set what a link has, or forget it.  Raises OSError (TimeoutError: it takes too long)."""
        if settings is None:
            self._call(_RESOLVECTL, "revert", device)
            return
        servers = [f"{server.text}#{server.sni}" if server.sni else server.text for server in settings.servers]
        domains = [*settings.search, *(f"~{domain}" for domain in settings.only_routed)]
        self._call(_RESOLVECTL, "dns", device, *servers)
        self._call(_RESOLVECTL, "domain", device, *(domains or [""]))
        self._call(_RESOLVECTL, "default-route", device, "yes" if settings.everything else "no")
        if settings.over_tls:
            self._call(_RESOLVECTL, "dnsovertls", device, "yes")
        if settings.dnssec:
            self._call(_RESOLVECTL, "dnssec", device, DNSSEC_MODES[settings.dnssec])

    def _call(self, *command: str, stdin: str = "") -> None:
        # Only here, since it comes with threading, which does something in each process that is forked.
        import subprocess

        # No pipe: what it starts in the background may hold that for ever.
        with os.fdopen(os.memfd_create("stderr"), "rb") as stderr:
            try:
                done = subprocess.run(
                    command,
                    input=stdin.encode(),
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                    env=self._environment,
                    timeout=DNS_DEADLINE,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise TimeoutError from None
            if done.returncode:
                stderr.seek(max(0, os.fstat(stderr.fileno()).st_size - _MAX_SAID))
                lines = stderr.read(_MAX_SAID).decode(errors="replace").split("\n")
                said = "; ".join(filter(None, map(str.strip, lines))) or f"status {done.returncode}"
                raise OSError(errno.EIO, said, command[0])


def _replace(file: int, size: int, data: bytes) -> None:
    """Write `data` in place of a file's `size` bytes: who reads it meanwhile never sees less than all of one of both.

    Raises OSError, and then nothing has changed.
    """
    more = len(data) - size
    if len(data) > MAX_RESOLV_CONF:
        raise OSError(errno.EFBIG, "with the name servers of a session, it would be too large", RESOLV_CONF)
    if more > 0:  # is there room?
        try:
            _write(file, b"\n" * more, size)
        except OSError:
            os.ftruncate(file, size)
            raise
    _write(file, data.ljust(size, b"\n"), 0)
    os.ftruncate(file, len(data))


def _write(file: int, data: bytes, offset: int) -> None:
    if os.pwrite(file, data, offset) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), RESOLV_CONF)
