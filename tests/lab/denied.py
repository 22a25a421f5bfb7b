"""Which system calls of the service's processes are denied: the lab's services under strace, and what it wrote.

    python -m openvpn3_sessionmgr.tests.lab.denied TEST…

runs pytest on the tests with each service traced, and lists the calls that failed with EPERM, ENOSYS or EACCES in
processes that have a filter or Landlock, but for those that are tried on purpose.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import count
from pathlib import Path

_DIRECTORY = "OPENVPN3_SESSIONMGR_TRACES"
_numbers = count(1)

_LINE = re.compile(r"^(\d+) +(?:\S+ )?(\w+)\((.*)\) += -1 (EPERM|ENOSYS|EACCES)\b")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += -1 (EPERM|ENOSYS|EACCES)\b")

# What is tried to see that it is forbidden, or asked to see whether it is there.
_ON_PURPOSE = (
    'memfd_create("forbidden"',
    "setresuid(0, 0, 0)",
    '/forbidden", 0777)',
    'openat(AT_FDCWD, "/dev/zero", O_WRONLY',
    "prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET",
    # Modules of PKCS#11 providers, which go on without: SoftHSM opens for writing first what it may only read; OpenSC
    # has a cache where it may; GLib asks how its threads are scheduled, and the C library takes clone(2).
    '/generation", O_RDWR|O_CREAT',
    '/token.object", O_RDWR|O_CREAT',
    'mkdir("/.cache"',
    "sched_getattr(",
    "clone3({flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD",
)


def tracer() -> list[str]:
    """What to put before a service's command: nothing, or strace if this run is to find denied calls."""
    directory = os.environ.get(_DIRECTORY)
    if not directory:
        return []
    file = Path(directory) / f"{os.getpid()}.{next(_numbers)}"
    # As a process apart, so that the service is the child of whoever starts it; only calls that fail.
    return ["strace", "--daemonize=grandchild", "--follow-forks", "--failed-only", "--quiet=all", f"--output={file}"]


def found(directory: Path) -> Counter[str]:
    """The denied calls in strace's files, each with the service's process that made it, and how often."""
    calls: Counter[str] = Counter()
    for file in sorted(directory.iterdir()):
        for line in file.read_text(errors="replace").splitlines():
            match = _LINE.match(line) or _RESUMED.match(line)
            if match and not any(one in line for one in _ON_PURPOSE):
                calls[f"{match[2]}({match[3]}) = {match[4]}"] += 1
    return calls


def main() -> int:
    """Run the tests of the command line; their exit status, or 1 if a call was denied."""
    with tempfile.TemporaryDirectory(prefix="denied-") as directory:
        Path(directory).chmod(0o755)
        environment = {**os.environ, _DIRECTORY: directory}
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", *sys.argv[1:]], env=environment, check=False)
        calls = found(Path(directory))
        number = len(list(Path(directory).iterdir()))
    for call, times in calls.most_common():
        print(f"{times:5} {call}")
    print(f"{number} services were traced, {len(calls)} kinds of calls denied")
    return done.returncode or bool(calls)


if __name__ == "__main__":
    sys.exit(main())
