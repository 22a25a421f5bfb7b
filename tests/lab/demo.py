"""The main job, step by step, with each command and what it says: `make demo`.

A real OpenVPN server on one machine (a network namespace); on the other a private system bus, the service, and two
ordinary users.  A step that fails ends it with a reason.  It runs inside the lab's surroundings, so that nothing is
left behind, however it ends.
"""

import json
import os
import pwd
import re
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from ...policy.limits import SESSION_UIDS
from .connection import SESSIONS, SESSIONS_PATH, BusError
from .lab import Lab
from .network import BEHIND_ADDRESS, SERVER_ADDRESS, Namespace
from .openvpn import PORT, TUNNEL_ADDRESS, TUNNEL_ADDRESS6
from .processes import LabError, Process, wait_gone

_IDLE_EXIT = 0.1  # minutes
_DATA = 256 * 1024  # bytes sent each way
_NAME = "office"
_CAPABILITIES = {5: "kill", 6: "setgid", 7: "setuid", 8: "setpcap", 12: "net_admin", 21: "sys_admin"}


class StepFailed(Exception):
    """What a step showed is not what it should."""


class Screen:
    """What the demo prints: colours on a terminal, plain text elsewhere."""

    def __init__(self) -> None:
        self._coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self._step = 0

    def _paint(self, style: str, text: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._coloured else text

    def heading(self, text: str) -> None:
        """The next step."""
        self._step += 1
        print("\n" + self._paint("1;36", f"{self._step}. {text}"), flush=True)

    def command(self, who: str, argv: Sequence[str]) -> None:
        """A command as somebody would type it."""
        sign = "#" if who.startswith("root") else "$"
        print(self._paint("2", f"   {who} {sign} ") + self._paint("1", shlex.join(argv)), flush=True)

    def output(self, text: str) -> None:
        """What it said."""
        for line in text.rstrip("\n").splitlines():
            print(f"     {line}", flush=True)

    def good(self, text: str) -> None:
        """Something that was checked."""
        print("   " + self._paint("32", "✔ " + text), flush=True)

    def bad(self, text: str) -> None:
        """Why it ends here."""
        print("\n" + self._paint("1;31", "The demo failed: ") + text, file=sys.stderr, flush=True)


class Demo:
    """The steps, in order."""

    def __init__(self, lab: Lab, screen: Screen) -> None:
        self._lab = lab
        self._screen = screen
        self._log: Process | None = None  # of the bus, and so of the service it starts
        self._service = 0

    def run(self) -> None:
        """All steps.  Raises StepFailed or LabError."""
        for step in (
            self._machines,
            self._server,
            self._bus,
            self._import,
            self._start,
            self._traffic,
            self._look,
            self._stranger,
            self._processes,
            self._inspect,
            self._pause_and_resume,
            self._restart,
            self._disconnect,
            self._idle_exit,
            self._return,
        ):
            step()

    def show_log(self) -> None:
        """The end of the service's log, for the one who looks for the cause of a failure."""
        if self._log is not None:
            self._screen.output("\n".join(self._log.lines[-25:]))

    def _ovpnctl(self, *arguments: str, user: str = "alice") -> str:
        """Show and run ovpnctl; its output.  A status other than 0 fails the step."""
        self._screen.command(user, ["ovpnctl", *arguments])
        done = self._lab.ovpnctl(user, *arguments)
        self._screen.output(done.stderr + done.stdout)
        if done.returncode:
            raise StepFailed(f"ovpnctl {arguments[0]} ended with status {done.returncode}")
        return done.stdout

    def _ip(self, machine: Namespace, *arguments: str) -> None:
        self._screen.command(f"root@{machine.name}", ["ip", *arguments])
        self._screen.output(machine.run(["ip", *arguments]).stdout)

    def _check(self, right: bool, text: str) -> None:
        if not right:
            raise StepFailed(f"this is not so: {text}")
        self._screen.good(text)

    def _machines(self) -> None:
        self._screen.heading("Two machines and a cable")
        for machine in (self._lab.server_side, self._lab.client_side):
            self._ip(machine, "-brief", "address", "show", "dev", "cable")

    def _server(self) -> None:
        self._screen.heading("A real OpenVPN server on one of them")
        server = self._lab.server()
        version = self._lab.server_side.run(["openvpn", "--version"]).stdout.split()[1]
        self._check(server.process.running(), f"openvpn {version} listens on {SERVER_ADDRESS}, udp port {PORT}")

    def _bus(self) -> None:
        self._screen.heading("A system bus on the other, which starts our service when it is called")
        uids = f"{SESSION_UIDS[0]}-{SESSION_UIDS[-1]}"  # as of an installed service, for who compares
        options = ["--log-level=4", f"--idle-exit={_IDLE_EXIT}", f"--session-uids={uids}"]
        self._log = self._lab.start_bus(options).process
        self._alice = self._lab.connection("alice")
        self._alice.get(SESSIONS_PATH, "version")
        started = self._log.wait_line("runs as user")
        self._screen.output(started)
        self._service = self._pid_of_service()
        self._check(_uid(self._service) != 0, "the service has given up root")

    def _pid_of_service(self) -> int:
        bus = ("/org/freedesktop/DBus", "org.freedesktop.DBus")
        pid: int = self._lab.watcher.call(*bus, "GetConnectionUnixProcessID", "s", SESSIONS, to=bus[1])
        return pid

    def _import(self) -> None:
        self._screen.heading("An ordinary user imports a configuration profile")
        file = self._lab.file(f"{_NAME}.ovpn", self._lab.profile())
        self._ovpnctl("config-import", "--config", str(file), "--name", _NAME)
        self._check(_NAME in self._ovpnctl("configs-list"), "the profile is listed")

    def _start(self) -> None:
        self._screen.heading("… and connects")
        before = time.monotonic()
        self._ovpnctl("session-start", "--config", _NAME)
        took = time.monotonic() - before
        self._screen.good(f"connected, in {took:.2f} s with the start of the command itself")
        device = self._device()
        self._ip(self._lab.client_side, "-brief", "address", "show", "dev", device)
        self._ip(self._lab.client_side, "route", "show", "dev", device)

    def _device(self) -> str:
        [device] = self._lab.client_side.devices() - {"cable"}
        return device

    def _exchange(self, address: str, protocol: str) -> None:
        sent = secrets.token_bytes(_DATA)
        back = self._lab.echo(address, sent, protocol=protocol)
        self._check(back == sent, f"{_DATA // 1024} KiB to {address} by {protocol.upper()} and back, the same")

    def _traffic(self) -> None:
        self._screen.heading("Data through the tunnel and back, by an ordinary program")
        marker = b"SECRET-" + secrets.token_hex(8).encode()
        client = self._lab.client_side
        with client.capture() as cable, client.capture(self._device()) as tunnel:
            for address in (TUNNEL_ADDRESS, TUNNEL_ADDRESS6, BEHIND_ADDRESS):
                for protocol in ("tcp", "udp"):
                    self._exchange(address, protocol)
            self._lab.echo(TUNNEL_ADDRESS, marker)
            self._check(tunnel.saw(marker), f"the text {marker.decode()} went through the tunnel's device")
            self._check(not cable.saw(marker), f"and is in none of {len(cable.frames())} frames on the cable")

    def _look(self) -> None:
        self._screen.heading("What the session says of itself")
        self._ovpnctl("sessions-list")
        # The engine reports its counters once a second: keep it busy until it has.
        [path] = self._alice.session(SESSIONS_PATH, "FetchAvailableSessions")
        until = time.monotonic() + 5
        while not _moved(self._alice.get(path, "statistics")) and time.monotonic() < until:
            self._lab.echo(TUNNEL_ADDRESS, b"more")
        said = self._ovpnctl("session-stats", "--config", _NAME)
        counted = {name: int(value) for name, value in re.findall(r"(\w+)\.+ *(\d+)", said)}
        self._check(_moved(counted), f"the counters have seen more than {_DATA // 1024} KiB each way")

    def _stranger(self) -> None:
        self._screen.heading("Another user does not see it")
        listed = json.loads(self._ovpnctl("sessions-list", "--json", user="bob"))
        self._check(listed == {}, "bob has no session to see")

    def _processes(self) -> None:
        self._screen.heading("Who runs as whom")
        self._screen.output(f"{'USER':<10}{'PID':>5}  {'CAPABILITIES':<34} PROCESS")
        rows = _tree(self._service)
        for depth, pid in rows:
            row = f"{_user(pid):<10}{pid:>5}  {_capabilities(pid):<34} {'  ' * depth}{_title(pid)}"
            self._screen.output(row if len(row) <= 140 else row[:139] + "…")
        engines = [pid for _, pid in rows if _title(pid).startswith("openvpn --")]
        self._check(len(engines) == 1, "one engine for one session")
        alone = [pid for _, pid in rows if _uid(pid) == _uid(engines[0])]
        self._check(len(alone) == 2, "the session's worker and engine have a user id of their own")
        self._check(all(_capabilities(pid) == "-" for pid in alone), "and no capability")

    def _inspect(self) -> None:
        self._screen.heading("… and what confines the session, in its own words and the kernel's")
        said = self._ovpnctl("inspect", _NAME, user="root")
        layers = re.findall(r"^(\w+) +yes ", said, re.MULTILINE)
        self._check(bool(layers), f"{len(layers)} layers of the sandbox are in force")

    def _pause_and_resume(self) -> None:
        self._screen.heading("Pause and resume")
        self._ovpnctl("session-manage", "--config", _NAME, "--pause", "--timeout", "20")
        self._check(not _answers(self._lab), "nothing passes while it is paused")
        self._ovpnctl("session-manage", "--config", _NAME, "--resume", "--timeout", "20")
        self._exchange(TUNNEL_ADDRESS, "tcp")

    def _restart(self) -> None:
        self._screen.heading("Restart")
        self._ovpnctl("session-manage", "--config", _NAME, "--restart", "--timeout", "20")
        self._exchange(TUNNEL_ADDRESS, "tcp")

    def _disconnect(self) -> None:
        self._screen.heading("Disconnect")
        self._ovpnctl("session-manage", "--config", _NAME, "--disconnect")
        self._ovpnctl("sessions-list")
        self._check(self._lab.client_side.devices() == {"cable"}, "its device, addresses and routes are gone")

    def _idle_exit(self) -> None:
        self._screen.heading(f"With nothing to do for {_IDLE_EXIT * 60:g} seconds, the service ends")
        helpers = [pid for _, pid in _tree(self._service)]
        self._lab.watcher.wait_no_owner(SESSIONS, _IDLE_EXIT * 60 + 20)
        self._check(all(wait_gone(pid, 10) for pid in helpers), "it has ended, and its helpers with it")

    def _return(self) -> None:
        self._screen.heading("Called again, it is back, and has forgotten nothing")
        self._check(_NAME in self._ovpnctl("configs-list"), "the profile is still there")
        self._ovpnctl("config-remove", "--config", _NAME, "--force")
        service = self._pid_of_service()
        os.kill(service, signal.SIGTERM)
        self._check(wait_gone(service, 10), "asked to end, it ends")


def _moved(counters: Mapping[str, int]) -> bool:
    names = ("BYTES_IN", "BYTES_OUT", "TUN_BYTES_IN", "TUN_BYTES_OUT")
    return all(counters.get(name, 0) > _DATA for name in names)


def _answers(lab: Lab) -> bool:
    """Whether an echo comes back within a moment."""
    try:
        return lab.echo(TUNNEL_ADDRESS, b"anybody there?", deadline=1) != b""
    except (LabError, subprocess.TimeoutExpired):
        return False


def _status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def _uid(pid: int) -> int:
    return int(_status(pid)["Uid"].split()[0])


def _user(pid: int) -> str:
    uid = _uid(pid)
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)  # a session's own, without an account


def _capabilities(pid: int) -> str:
    mask = int(_status(pid)["CapPrm"], 16)
    names = [_CAPABILITIES.get(bit, str(bit)) for bit in range(64) if mask >> bit & 1]
    return ",".join(names) or "-"


def _title(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()


def _tree(top: int) -> list[tuple[int, int]]:
    """A process and its descendants, each with its depth."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_status(int(entry.name))["PPid"]), []).append(int(entry.name))
            except FileNotFoundError:
                continue  # it ended meanwhile

    def below(pid: int, depth: int) -> list[tuple[int, int]]:
        found = [(depth, pid)]
        for child in sorted(children.get(pid, ())):
            found += below(child, depth + 1)
        return found

    return below(top, 0)


class Interrupted(BaseException):
    """Somebody wants it to end."""


def _interrupt(number: int, _frame: FrameType | None) -> None:
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)  # it is ending already
    raise Interrupted(signal.Signals(number))


def main() -> int:
    """Run the demo; the exit status."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, _interrupt)
    screen = Screen()
    began = time.monotonic()
    try:
        with Lab() as lab:
            demo = Demo(lab, screen)
            try:
                demo.run()
            except (StepFailed, LabError, BusError):
                demo.show_log()
                raise
    except (StepFailed, LabError, BusError) as error:
        screen.bad(str(error))
        return 1
    except Interrupted as interrupted:
        number: signal.Signals = interrupted.args[0]
        screen.bad(f"interrupted by {number.name}")
        return 128 + number
    screen.heading("Nothing is left behind")
    screen.good(f"no process, device, mount or file; the demo took {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
