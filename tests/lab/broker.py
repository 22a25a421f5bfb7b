"""dbus-broker as a system bus: `broker.py CONFIGURATION SOCKET`, in a lab's surroundings.

dbus-broker-launch wants what systemd gives it: a listening socket, the journal's socket, and a bus on which a user's
service manager would be.  Here these are a socket, one whose reader throws all away, and a dbus-daemon with nobody on
it.
"""

import fcntl
import os
import socket
import subprocess
import sys
from pathlib import Path

_MANAGERS_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
"""
_READER = """
import socket, sys
lines = socket.socket(fileno=int(sys.argv[1]))
while True:
    lines.recv(65536)
"""
_ENDS_WITH_THIS = ("setpriv", "--pdeathsig=KILL")
_FIRST_PASSED = 3  # sd_listen_fds(3)


def main(configuration: str, address: str) -> None:
    """Become dbus-broker-launch."""
    directory = Path(configuration).parent
    journal = Path("/run/systemd/journal/socket")
    journal.unlink(missing_ok=True)
    journal.parent.mkdir(parents=True, exist_ok=True)
    lines = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    lines.bind(str(journal))
    # Kept open in the launcher, which takes the lowest ones for what it is passed.
    fcntl.fcntl(lines, fcntl.F_DUPFD, 10)
    # Read, since the bus waits while a line that it logs is not taken.
    subprocess.Popen([*_ENDS_WITH_THIS, sys.executable, "-c", _READER, str(lines.fileno())], pass_fds=[lines.fileno()])
    managers = directory / "bus.managers.conf"
    managers.write_text(_MANAGERS_BUS.format(socket=directory / "bus"))
    command = [
        *_ENDS_WITH_THIS,
        "dbus-daemon",
        f"--config-file={managers}",
        "--nofork",
        "--nopidfile",
        "--nosyslog",
    ]
    with subprocess.Popen(
        [*command, "--print-address=1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as stand_in:
        assert stand_in.stdout is not None
        stand_in.stdout.readline()
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listening.bind(address)
        Path(address).chmod(0o666)
        listening.listen(socket.SOMAXCONN)
        print("unix:path=", address, sep="", flush=True)
        if listening.fileno() == _FIRST_PASSED:
            os.set_inheritable(_FIRST_PASSED, True)
        else:
            os.dup2(listening.fileno(), _FIRST_PASSED)
        os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()), XDG_RUNTIME_DIR=str(directory))
        launcher = "dbus-broker-launch"
        os.execvp(launcher, [launcher, f"--config-file={configuration}", "--scope=user"])


if __name__ == "__main__":
    main(*sys.argv[1:])
