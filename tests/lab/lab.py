"""`Lab`: everything that is tried, put up when asked for and taken down in reverse order."""

import contextlib
import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from . import connection, engine27, enter, service
from .auth_server import AuthServer, Judge
from .bus import Bus
from .connection import BusClient
from .logind import Logind
from .network import SERVER_ADDRESS, Namespace, join
from .openvpn import OpenVpn, Server, client_profile
from .pki import Authority, Identity, Pki
from .processes import LabError, Process, describe, helper, pids, until_gone
from .resolved import Resolved
from .service import Service, service_command
from .surroundings import ACCOUNTS, RESOLV_CONF
from .systemd import Systemd
from .tokens import Tokens

ECHO_PORT = 7000
PROXY_PORT = 3128
SOCKS_PORT = 1080
_LEAVING = 6.0  # seconds that processes may take to end after the one that is responsible for them


class Lab:
    """Two machines, `client_side` and `server_side`, their papers, and whatever is put on them.

    A context manager.  Leaving it takes everything down and raises LabError if anything was left behind by what
    ran in it: a process (within `patience` seconds), a network device, a mount.  Its bus is `bus_program`: dbus-daemon
    or dbus-broker.
    """

    bus_program = "dbus-daemon"

    def __init__(self, pki: Pki | None = None, *, patience: float = _LEAVING) -> None:
        if not enter.inside():
            raise LabError(
                "the lab's surroundings are missing: as root, run `make`'s targets, pytest, or a command by enter.py"
            )
        self.pki = pki or Pki()
        self._left: list[str] = []
        self.before_services: list[Callable[[], None]] = []  # what is to be done before a service is started by hand
        self.started: list[Service] = []  # services that were
        self.resolver: Resolved | None = None
        self._before_bus: list[Callable[[Bus], None]] = []  # what is to be done with a bus before it starts
        self._patience = patience
        self._numbers = itertools.count(1)
        self._parts = contextlib.ExitStack()
        self._ground = contextlib.ExitStack()

    def __enter__(self) -> Self:
        connection.prepare()
        self._processes = pids()
        with contextlib.ExitStack() as ground:
            self.directory = Path(ground.enter_context(tempfile.TemporaryDirectory(prefix="lab-")))
            self.directory.chmod(0o755)
            self.server_side = _closing(ground, Namespace("server"))
            self.client_side = _closing(ground, Namespace("client"))
            join(self.client_side, self.server_side)
            self._ground = ground.pop_all()
        self._devices = self._all_devices()
        self._mounts = _mounts()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._parts.close()
        finally:
            if kind is None:
                self._note_leftovers()
            for pid in pids() - self._processes:
                os.kill(pid, signal.SIGKILL)  # so that one failure does not become the next test's
            self._ground.close()
        if self._left and kind is None:
            raise LabError("left behind: " + "; ".join(self._left))

    def _all_devices(self) -> set[str]:
        sides = (self.client_side, self.server_side)
        return {f"{device} of the {side.name}" for side in sides for device in side.devices()}

    def _note_leftovers(self) -> None:
        for pid in until_gone(lambda: pids() - self._processes, self._patience):
            self._left.append(f"process {describe(pid)}")
        self._left += [f"device {one}" for one in self._all_devices() - self._devices]
        self._left += [f"mount {place}" for number, place in _mounts().items() if number not in self._mounts]

    def _place(self, kind: str) -> Path:
        """A directory name not used yet."""
        return self.directory / f"{kind}{next(self._numbers)}"

    # --- versions of OpenVPN ---

    @functools.cached_property
    def openvpn27(self) -> str:
        """The path of OpenVPN 2.7, for an engine or a server; where it is not to be had, the test is skipped."""
        engine27.show()
        self._parts.callback(engine27.hide)
        return str(engine27.PROGRAM)

    def _engine_options(self) -> list[str]:
        return [f"--openvpn={self.openvpn27}"] if engine27.as_engine() else []

    def _server_options(self) -> dict[str, str]:
        return {"program": self.openvpn27} if engine27.as_server() else {}

    # --- the world behind the VPN ---

    def server(self, *, authority: Authority | None = None, identity: Identity | None = None, **options: Any) -> Server:
        """Start an OpenVPN server; `options` are those of `openvpn.Server`."""
        papers = (authority or self.pki.authority, identity or self.pki.server)
        options = {**self._server_options(), **options}
        made = Server(self.server_side, self._place("server"), *papers, **options)
        self._parts.callback(made.stop)
        made.start()
        return made

    def auth_server(self, judge: Judge, **options: Any) -> AuthServer:
        """Start an OpenVPN server that lets in whom `judge` does; `options` are those of `openvpn.Server`."""
        papers = (self.pki.authority, self.pki.server)
        options = {**self._server_options(), **options}
        made = AuthServer(self.server_side, self._place("server"), *papers, judge=judge, **options)
        self._parts.callback(made.stop)
        made.start()
        return made

    def proxy(self, scheme: str, address: str = SERVER_ADDRESS, **passwords: str) -> Process:
        """Start an HTTP proxy at `address`, PROXY_PORT, for users with these passwords.

        `scheme` is Basic or Digest.  Each request is a line "NAME: connected" or "NAME: refused" of the process.
        """
        behaviour = json.dumps({"scheme": scheme, "users": passwords})
        program = helper("auth_proxy.py", address, str(PROXY_PORT), behaviour)
        made = self.server_side.start(f"{scheme} proxy", program)
        self._parts.callback(made.stop)
        made.wait_line("^ready$")
        return made

    def socks_proxy(self, address: str = SERVER_ADDRESS) -> Process:
        """Start a SOCKS proxy at `address`, SOCKS_PORT, for everybody.

        Each request is a line "connect HOST" or "associate" of the process.
        """
        made = self.server_side.start("SOCKS proxy", helper("socks_proxy.py", address, str(SOCKS_PORT)))
        self._parts.callback(made.stop)
        made.wait_line("^ready$")
        return made

    @functools.cached_property
    def echo_service(self) -> Process:
        """The echo service, on each address of the server's machine, at ECHO_PORT."""
        made = self.server_side.start("echo", helper("echo.py", "serve", str(ECHO_PORT)))
        self._parts.callback(made.stop)
        made.wait_line("^ready$")
        return made

    def echo(
        self, address: str, data: bytes, *, protocol: str = "tcp", user: str = "alice", deadline: float = 30.0
    ) -> bytes:
        """Send `data` from the client's machine, as `user`, to the echo service at `address`; what came back.

        LabError when nothing does.
        """
        assert self.echo_service
        done = subprocess.run(
            self.client_side.command(helper("echo.py", "send", protocol, address, str(ECHO_PORT)), user),
            input=data,
            capture_output=True,
            timeout=deadline,
            check=False,
        )
        if done.returncode:
            raise LabError(done.stderr.decode("utf-8", "replace").strip())
        return done.stdout

    def dns(
        self,
        records: Mapping[str, Sequence[str]] | None = None,
        *,
        delay: float = 0.0,
        dead: bool = False,
        address: str = SERVER_ADDRESS,
        port: int = 53,
        only: bool = True,
    ) -> Process:
        """Start a name server at `address` of the server's machine and make it the only one in resolv.conf.

        Without `only` that file stays as it is.  Each name that it is asked for is a line "asked NAME" of the process.
        """
        behaviour = json.dumps({"records": records or {}, "delay": delay, "dead": dead})
        made = self.server_side.start(f"name server {address}", helper("dns_server.py", address, str(port), behaviour))
        self._parts.callback(made.stop)
        made.wait_line("^ready$")
        if not only:
            return made
        self._parts.callback(RESOLV_CONF.write_text, RESOLV_CONF.read_text())
        RESOLV_CONF.write_text(f"nameserver {address}\n")
        return made

    # --- the client's machine ---

    def resolved(self, *, on_bus: bool = True, **options: bool) -> Resolved:
        """systemd-resolved with polkit, as what this machine looks names up with; before anything uses the bus.

        `options` are those of resolved.Resolved; without `on_bus` it is not started yet.
        """
        made = Resolved(self.client_side, self._place("resolved"), **options)
        self._parts.enter_context(made)
        self.resolver = made
        self._before_bus.append(made.join)
        made.environment = self.bus.environment()
        if on_bus:
            made.start()
            try:
                self.watcher.wait_owner("org.freedesktop.resolve1")
            except LabError as error:
                raise LabError(f"{error}; it says:\n{made.process.text}") from None
        return made

    def logind(self, *, inhibit: bool = True) -> Logind:
        """A stand-in for logind, which is not started yet; before anything uses the bus.  `inhibit` is Logind's."""
        made = Logind(self.client_side, self._place("logind"), inhibit=inhibit)
        self._before_bus.append(made.join)
        self._parts.callback(made.stop)
        return made

    def systemd(self, restart: str) -> Systemd:
        """A stand-in for systemd, which is not started yet; before anything uses the bus.  `restart` is Systemd's."""
        made = Systemd(self.client_side, self._place("systemd"), restart)
        self._before_bus.append(made.join)
        self._parts.callback(made.stop)
        return made

    @functools.cached_property
    def tokens(self) -> Tokens:
        """PKCS#11 tokens, none at first."""
        made = Tokens(self._place("tokens"))
        self._parts.callback(made.close)
        return made

    def profile(
        self,
        *,
        authority: Authority | None = None,
        identity: Identity | None = None,
        certified: bool = True,
        **options: Any,
    ) -> str:
        """A profile that fits `server()`; `options` are those of `openvpn.client_profile`.

        Without `certified` it has no certificate and no key.
        """
        trusted = authority or self.pki.authority
        shown = (identity or self.pki.client) if certified else None
        return client_profile(trusted.certificate, shown, **options)

    def file(self, name: str, text: str, user: str = "alice") -> Path:
        """A file of a user's own, mode 0600, in a directory of their own."""
        account = ACCOUNTS[user]
        path = self._place(f"{user}-") / name
        path.parent.mkdir(mode=0o755)
        path.write_text(text)
        path.chmod(0o600)
        for one in (path.parent, path):
            shutil.chown(one, account.uid, account.uid)
        return path

    def plain_openvpn(self, profile: str, **deadline: float) -> OpenVpn:
        """Start plain openvpn with a profile, as root; it is connected when this returns."""
        made = OpenVpn("plain openvpn", self.client_side, self._place("client"), profile)
        self._parts.callback(made.stop)
        made.start(**deadline)
        return made

    @functools.cached_property
    def bus(self) -> Bus:
        """The private system bus, started when first asked for."""
        return self.start_bus()

    def start_bus(self, activation: Sequence[str] | None = None, through: Sequence[str] = ()) -> Bus:
        """Start the bus; with `activation`, these options are those of a service that the bus starts by itself.

        It starts it by the command `through`, if given.
        """
        if "bus" in self.__dict__:
            raise LabError("the bus runs already: ask for activation before anything that uses it")
        made = Bus(self.client_side, self._place("bus"), self.bus_program)
        if activation is not None:
            # It ends soon after the bus does: nobody else would end it.
            options = ("--bus-wait=0.1", *self._engine_options(), *activation)
            made.activatable(service.NAMES, [*through, *service_command(self.service_directory, *options)])
        for prepare in self._before_bus:
            prepare(made)
        self._parts.callback(made.stop)
        made.start()
        self.__dict__["bus"] = made
        return made

    def before_bus(self, prepare: Callable[[Bus], None]) -> None:
        """Have this done with the bus before it is started; before anything uses it."""
        self._before_bus.append(prepare)

    def startable(self, name: str, argv: Sequence[str]) -> None:
        """Have the bus start another service when `name` is called, by anybody; before anything uses the bus."""

        def prepare(bus: Bus) -> None:
            bus.let_own(name)
            bus.activatable([name], argv)

        self._before_bus.append(prepare)

    def restart_bus(self) -> None:
        """Start the bus again, which has ended or is killed now; all connections have to be made anew."""
        self.__dict__.pop("watcher", None)
        self.bus.process.signal(signal.SIGKILL)
        self.bus.stop()
        self.bus.start()

    @functools.cached_property
    def service_directory(self) -> Path:
        """Where the service keeps its files: `state` and `runtime` in it."""
        place = self._place("service")
        place.mkdir()
        return place

    def supervisor(
        self,
        *options: str,
        idle_exit: float = 0,
        log_level: int = 6,
        wait: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> Service:
        """Start the service; it owns its names when this returns (at once with `wait=False`)."""
        options = (*self._engine_options(), *options)
        argv = service_command(self.service_directory, *options, idle_exit=idle_exit, log_level=log_level)
        argv = ["/usr/bin/env", *(f"{name}={value}" for name, value in (environment or {}).items()), *argv]
        for prepare in self.before_services:
            prepare()
        made = Service(self.client_side, self.bus, argv, self.watcher)
        self.started.append(made)
        self._parts.callback(self._end, made)
        if wait:
            made.wait_ready()
        return made

    def _end(self, made: Service) -> None:
        if made.process.running() and (status := made.stop()):
            self._left.append(f"the service ended with status {status}; its last lines:\n{made.log[-2000:]}")

    @functools.cached_property
    def watcher(self) -> BusClient:
        """Root's connection, for what is about the bus itself."""
        return self.connection("root")

    def connection(self, user: str) -> BusClient:
        """A new connection of a user to the bus."""
        made = BusClient(user, self.bus.environment())
        self._parts.callback(made.close)
        return made

    def as_user(
        self, user: str, argv: Sequence[str], *, stdin: str = "", deadline: float = 60.0
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command on the client's machine to its end; its status, output and errors, whatever they are."""
        environment = self.bus.environment()
        return self.client_side.run(argv, user, stdin=stdin, deadline=deadline, environment=environment)

    def ovpnctl(self, user: str, *arguments: str, deadline: float = 60.0) -> "subprocess.CompletedProcess[str]":
        """Run `ovpnctl` as a user."""
        return self.as_user(user, [service.OVPNCTL, *arguments], deadline=deadline)

    def start_as_user(self, user: str, argv: Sequence[str]) -> Process:
        """Start a command on the client's machine; it is stopped with the lab."""
        made = self.client_side.start(Path(argv[0]).name, argv, user, self.bus.environment())
        self._parts.callback(made.stop)
        return made


def _closing(stack: contextlib.ExitStack, namespace: Namespace) -> Namespace:
    stack.callback(namespace.close)
    return namespace


def _mounts() -> dict[str, str]:
    """All mounts: number and place.  The number, since a directory that is renamed moves the mounts in it."""
    rows = (line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return {row[0]: row[4] for row in rows}
