"""Somebody's connection to the lab's bus, driven from the test's own process."""

import json
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import forkserver
from typing import Any, TypeVar

from . import dbus_client
from .processes import DEADLINE, LabError
from .surroundings import ACCOUNTS

SESSIONS = "net.openvpn.v3.sessions"
FAILURES_OBJECTS = "net.openvpn.v3.failures"  # where the same service has its objects about failures
SESSIONS_PATH = "/net/openvpn/v3/sessions"
SETTINGS = f"{SESSIONS}.settings"
INSPECTION = f"{SESSIONS}.inspect"
CONFIGURATION = "net.openvpn.v3.configuration"
CONFIGURATION_PATH = "/net/openvpn/v3/configuration"
LOG = "net.openvpn.v3.log"
LOG_PATH = "/net/openvpn/v3/log"

# Importing a D-Bus library takes most of a connection's time, so all are forked from one process that has done it.
_forking = multiprocessing.get_context("forkserver")
_forking.set_forkserver_preload([dbus_client.__name__])

_T = TypeVar("_T")
_BUS = "org.freedesktop.DBus"
_BUS_PATH = "/org/freedesktop/DBus"
_PROPERTIES = "org.freedesktop.DBus.Properties"


def prepare() -> None:
    """Start the process that connections are forked from, which stays until this one ends."""
    forkserver.ensure_running()


class BusError(Exception):
    """A call was answered by an error: its D-Bus `name` and `text`."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


@dataclass(frozen=True)
class Signal:
    """A signal as it came from the bus."""

    member: str
    sender: str
    path: str
    interface: str
    arguments: list[Any]


class BusClient:
    """A user's connection.  All signals that reach it are kept in order, so that none can be missed."""

    def __init__(self, user: str, environment: Mapping[str, str]) -> None:
        self.user = user
        self._socket, theirs = socket.socketpair()
        self._lines = self._socket.makefile("r", encoding="utf-8")
        with theirs:
            self._process = _forking.Process(
                target=dbus_client.main, args=(theirs, ACCOUNTS[user].uid, dict(environment)), daemon=True
            )
            self._process.start()
        self._changed = threading.Condition()
        self._replies: dict[int, dict[str, Any]] = {}
        self._signals: list[Signal] = []
        self._ended = False
        self._interrupted = ""
        self._calls = 0
        self.unique_name = ""
        self._reader = threading.Thread(target=self._read, name=f"bus of {user}", daemon=True)
        self._reader.start()
        try:
            self._wait(lambda: self.unique_name or None, DEADLINE, f"connection of {user}")
        except BaseException:
            self._process.kill()
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Process id of what reads from the bus."""
        pid = self._process.pid
        assert pid is not None
        return pid

    def _read(self) -> None:
        for line in self._lines:
            said = json.loads(line)
            with self._changed:
                if "signal" in said:
                    self._signals.append(Signal(said.pop("signal"), **said))
                elif "ready" in said:
                    self.unique_name = said["ready"]
                else:
                    self._replies[said["id"]] = said
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _wait(self, look: Callable[[], _T | None], deadline: float, what: str) -> _T:
        """What `look` gives as soon as it gives something."""
        until = time.monotonic() + deadline
        with self._changed:
            while (found := look()) is None:
                if self._ended:
                    raise LabError(f"{what}: the connection of {self.user} has ended")
                if self._interrupted:
                    text, self._interrupted = self._interrupted, ""
                    raise LabError(f"{what}: {text}")
                if not self._changed.wait(max(until - time.monotonic(), 0)):
                    raise LabError(f"{what}: nothing within {deadline:g} s")
        return found

    def interrupt(self, text: str) -> None:
        """Make the present wait, or the next one that has to wait, end with LabError; for other threads."""
        with self._changed:
            self._interrupted = text
            self._changed.notify_all()

    def emit(self, path: str, interface: str, member: str, signature: str, *arguments: Any, to: str) -> None:
        """Send a signal to one connection."""
        self.finish_call(self.start_call(path, interface, member, signature, *arguments, to=to, signal=True))

    def start_call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *arguments: Any,
        to: str = "",
        signal: bool = False,
    ) -> int:
        """Send a call without waiting; `finish_call` takes the number and gives the answer."""
        self._calls += 1
        order = {
            "id": self._calls, "destination": to or _destination(path), "path": path, "interface": interface,
            "member": member, "signature": signature, "arguments": arguments, "signal": signal,
        }  # fmt: skip
        self._socket.sendall(json.dumps(order).encode() + b"\n")
        return self._calls

    def finish_call(self, number: int, deadline: float = DEADLINE) -> list[Any]:
        """The answer to a call: its values.  BusError for an error, LabError after `deadline` seconds."""
        said = self._wait(lambda: self._replies.pop(number, None), deadline, f"answer to call {number}")
        if "error" in said:
            raise BusError(said["error"], said["text"])
        values: list[Any] = said["reply"]
        return values

    def call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *arguments: Any,
        to: str = "",
        deadline: float = DEADLINE,
    ) -> Any:
        """Call a method; None, its one value, or the list of its values.

        `to` is the destination, by default the service whose object `path` is.  A variant argument is written as
        a pair of signature and value.  Raises BusError, or LabError after `deadline` seconds.
        """
        number = self.start_call(path, interface, member, signature, *arguments, to=to)
        values = self.finish_call(number, deadline)
        return values[0] if len(values) == 1 else values or None

    def session(self, path: str, member: str, signature: str = "", *arguments: Any) -> Any:
        """Call a method of the sessions interface."""
        return self.call(path, SESSIONS, member, signature, *arguments)

    def get(self, path: str, name: str, interface: str = "") -> Any:
        """Read a property."""
        return self.call(path, _PROPERTIES, "Get", "ss", interface or _destination(path), name)

    def get_all(self, path: str, interface: str = "") -> dict[str, Any]:
        """Read all properties."""
        values: dict[str, Any] = self.call(path, _PROPERTIES, "GetAll", "s", interface or _destination(path))
        return values

    def set(self, path: str, name: str, signature: str, value: Any, interface: str = "") -> None:
        """Write a property."""
        owner = interface or _destination(path)
        self.call(path, _PROPERTIES, "Set", "ssv", owner, name, [signature, value])

    def import_profile(self, name: str, text: str, *, single_use: bool = False, persistent: bool = False) -> str:
        """Give a profile to the configuration service; its path."""
        flags = (single_use, persistent)
        path: str = self.call(CONFIGURATION_PATH, CONFIGURATION, "Import", "ssbb", name, text, *flags)
        return path

    def set_setting(self, profile: str, name: str, value: bool | str) -> None:
        """Set a setting of a profile that only this project's session manager knows."""
        self.call(
            SESSIONS_PATH,
            SETTINGS,
            "SetSetting",
            "osv",
            profile,
            name,
            ["b" if isinstance(value, bool) else "s", value],
        )

    def settings(self, profile: str) -> dict[str, bool | str]:
        """These settings of a profile."""
        found: dict[str, bool | str] = self.call(SESSIONS_PATH, SETTINGS, "GetSettings", "o", profile)
        return found

    def new_tunnel(self, profile: str) -> str:
        """Make a session of an imported profile; its path."""
        path: str = self.session(SESSIONS_PATH, "NewTunnel", "o", profile)
        return path

    def signals(self, since: int = 0) -> list[Signal]:
        """All signals that came, from number `since` on."""
        with self._changed:
            return self._signals[since:]

    def wait_signal(
        self,
        wanted: Callable[[Signal], bool],
        deadline: float = DEADLINE,
        *,
        since: int = 0,
        what: str = "signal",
    ) -> Signal:
        """The first signal, from number `since` on, that `wanted` accepts; LabError after `deadline` seconds."""
        return self._wait(lambda: next((one for one in self._signals[since:] if wanted(one)), None), deadline, what)

    def statuses(self, path: str, since: int = 0) -> list[tuple[int, int, str]]:
        """All status changes of a session so far: (major, minor, text)."""
        return [tuple(one.arguments) for one in self.signals(since) if _is_status(one, path)]

    def wait_status(self, path: str, minor: int, deadline: float = DEADLINE, *, since: int = 0) -> tuple[int, int, str]:
        """Wait for a session's status change to `minor`, from signal number `since` on."""
        try:
            found = self.wait_signal(
                lambda one: _is_status(one, path) and one.arguments[1] == minor, deadline, since=since
            )
        except LabError:
            seen = [status[:2] for status in self.statuses(path, since)]
            raise LabError(f"no status {minor} of {path} within {deadline:g} s, but {seen}") from None
        return tuple(found.arguments)

    def owner_of(self, name: str) -> str | None:
        """Who owns a bus name now."""
        try:
            owner: str = self.call(_BUS_PATH, _BUS, "GetNameOwner", "s", name, to=_BUS)
        except BusError:
            return None
        return owner

    def wait_owner(self, name: str, deadline: float = DEADLINE) -> None:
        """Wait until somebody owns a bus name."""
        self._wait_owner_change(name, lambda owner: bool(owner), deadline)

    def wait_no_owner(self, name: str, deadline: float = DEADLINE) -> None:
        """Wait until nobody owns a bus name."""
        self._wait_owner_change(name, lambda owner: not owner, deadline)

    def _wait_owner_change(self, name: str, wanted: Callable[[str], bool], deadline: float) -> None:
        def change(one: Signal) -> bool:
            return one.member == "NameOwnerChanged" and one.arguments[0] == name and wanted(one.arguments[2])

        before = len(self.signals())  # counted before asking, so that no change falls between
        if not wanted(self.owner_of(name) or ""):
            self.wait_signal(change, deadline, since=before, what=f"owner of {name}")

    def close(self) -> None:
        """Leave the bus."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it had ended already, or was closed before
        self._process.join(DEADLINE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._reader.join()
        self._lines.close()
        self._socket.close()


def _destination(path: str) -> str:
    """The service, and the interface of the same name, whose object `path` is."""
    service = ".".join(path.split("/")[1:5])
    return SESSIONS if service == FAILURES_OBJECTS else service


def _is_status(one: Signal, path: str) -> bool:
    return one.member == "StatusChange" and one.path == path
