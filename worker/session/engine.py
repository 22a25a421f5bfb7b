"""The engine: one `openvpn` process, without privileges, held on its management socket until it may connect."""

import errno
import os
import signal
import socket
from collections import deque

from ...kernel import by_address
from ...policy.exit_status import describe
from ...policy.sandbox import pinned_strings
from ..sandbox.confine import Confinement, confine_engine
from .management import ManagementConnection

_OUTPUT_LINES_KEPT = 20

# Seconds without any answer after which the engine turns to the next address; openvpn's own default is 120.
_CONNECT_TIMEOUT = "10"

# Bytes of the socket's buffer for what the server sends, over UDP only: over TCP it would end the kernel's own choice
# of a size (tcp(7)), and there is nothing to lose.  The kernel gives less where net.core.rmem_max is less.
_UDP_RECEIVE_BUFFER = "1048576"

# The whole environment of the engine; the names it would pick up (OPENSSL_CONF …) are absent on purpose.
_ENVIRONMENT = {"PATH": "/usr/sbin", "LC_ALL": "C"}


class Engine:
    """Starts, feeds and ends the process; others read what it says (`accept`, `output`)."""

    def __init__(self, confinement: Confinement) -> None:
        """Make ready what does not depend on the profile.  Raises OSError."""
        self._confinement = confinement
        self._socket = f"{confinement.private}/management"
        self.pid = 0
        self.pidfd = -1
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # What the engine resolves names with (hosts(5)): held open, since the worker opens no file later.
        self._hosts = _new_file(f"{confinement.private}/hosts", 0o600)
        self.output, self._output_of_engine = os.pipe()  # standard output and error of the process
        os.set_blocking(self.output, False)
        self.last_output: deque[str] = deque(maxlen=_OUTPUT_LINES_KEPT)
        self.proxy_sees_credentials = False  # in the request under way

    def start(self, config: str, device: str, verbosity: int, *, udp_only: bool) -> None:
        """Write the profile and start the process.  Raises OSError.

        `udp_only`: every server of the profile is reached over UDP.
        """
        profile = f"{self._confinement.private}/profile"
        with open(_new_file(profile, 0o400), "w", encoding="utf-8") as file:
            file.write(config)
        arguments = [
            "openvpn",
            # Before the profile, which may set its own.
            "--connect-timeout", _CONNECT_TIMEOUT,
            "--explicit-exit-notify", "1",  # over UDP a server that is not told keeps the session's address
            "--fast-io",  # over UDP it writes to the device without asking the kernel first whether it may
            *(("--rcvbuf", _UDP_RECEIVE_BUFFER) if udp_only else ()),
            "--config", profile,
            "--dev", device,
            "--dev-type", "tun",
            "--management", self._socket, "unix",
            "--management-client",
            "--management-hold",
            "--management-query-passwords",
            "--management-up-down",
            "--auth-retry", "interact",
            "--ifconfig-noexec",
            "--route-noexec",
            "--script-security", "0",
            "--disable-dco",
            "--resolv-retry", "0",  # a name without an address is the worker's to look up again
            "--tmp-dir", self._confinement.private,
            "--suppress-timestamps",
            "--verb", str(verbosity),
            "--setenv", "IV_SSO", "webauth,openurl,crtext",
        ]  # fmt: skip
        self.listener.bind(self._socket)
        self.listener.listen(1)
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            self._become_engine(null, arguments)
        self.pidfd = os.pidfd_open(self.pid)
        os.close(null)
        os.close(self._output_of_engine)

    def _become_engine(self, null: int, arguments: list[str]) -> None:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(null, 0)
            os.dup2(self._output_of_engine, 1)
            os.dup2(self._output_of_engine, 2)
            os.closerange(3, 64)
            confine_engine(self._confinement)
            by_address.execve(pinned_strings.ENGINE, arguments, _ENVIRONMENT)
        except OSError as error:
            os.write(2, f"cannot execute the engine: {error.strerror}\n".encode())
        finally:
            os._exit(127)

    def write_hosts(self, content: str) -> None:
        """Replace what the engine, which holds, resolves names with (hosts(5)).  Raises OSError."""
        data = content.encode()
        if os.pwrite(self._hosts, data, 0) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(self._hosts, len(data))

    def accept(self) -> ManagementConnection:
        """Take the engine's management connection, and no second one."""
        sock, _ = self.listener.accept()
        self.listener.close()
        os.unlink(self._socket)
        return ManagementConnection(sock)

    def read_output(self) -> tuple[list[str], bool]:
        """The lines that the process printed since, the last of which are kept, and whether this was the end."""
        lines: list[str] = []
        while True:
            try:
                data = os.read(self.output, 16384)
            except BlockingIOError:
                data = None
            if not data:
                self.last_output.extend(lines)
                return lines, data is not None
            lines += [line for line in data.decode(errors="replace").splitlines() if line.strip()]

    def signal(self, number: signal.Signals) -> None:
        """Send the process a signal; nothing if it has ended."""
        if self.pidfd >= 0:
            try:
                signal.pidfd_send_signal(self.pidfd, number)
            except ProcessLookupError:
                pass

    def stopped(self) -> str | None:
        """Whether the process has been stopped since ("SIGSTOP"), or goes on (""); None if neither."""
        if self.pidfd < 0:
            return None
        try:
            change = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
        except ChildProcessError:
            return None  # it has ended: what is left of it has neither state
        if change is None:
            return None
        return signal.Signals(change.si_status).name if change.si_code == os.CLD_STOPPED else ""

    def reap(self) -> str | None:
        """Collect the ended process; how it ended, in words, or None while it runs."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        os.close(self.pidfd)
        self.pidfd = -1
        self.read_output()
        return describe(status)


def _new_file(path: str, mode: int) -> int:
    """The descriptor of a file that did not exist, of this mode, to be written."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
