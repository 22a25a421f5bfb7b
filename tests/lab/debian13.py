"""Run the tests in a Debian 13 tree with that release's own libraries.

The tree is made once by mmdebstrap, kept under .cache/ by its list of packages, and only read afterwards.  When the
archive cannot be reached, that is said and counted as one skipped item.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from . import enter
from .surroundings import CACHE, OtherRoot, SurroundingsError

SUITE = "trixie"
PACKAGES = (
    "dbus", "iproute2", "man-db", "mount", "openvpn", "procps", "python3-click", "python3-cryptography",
    "python3-dbus-fast", "python3-hypothesis", "python3-msgspec", "python3-pip", "python3-prctl", "python3-psutil",
    "python3-pyroute2", "python3-pytest", "python3-rich", "python3-seccomp", "python3-setuptools", "python3-venv",
    "util-linux",
)  # fmt: skip
PROJECT_AT = Path("/src/openvpn3-sessionmgr")
_UNREACHABLE = (
    "Could not resolve", "Temporary failure", "Could not connect", "Unable to connect", "Connection failed",
    "Connection timed out", "Network is unreachable", "Could not wait for server", "Cannot initiate the connection",
)  # fmt: skip
_INSTALL_AND_TEST = """
set -e
python3 -m venv --system-site-packages /opt/venv
/opt/venv/bin/pip install --quiet --no-index --no-deps --no-build-isolation --editable .
exec /opt/venv/bin/python -m pytest "$@"
"""


class Unreachable(Exception):
    """The archive does not answer."""


def _run(command: list[str], what: str) -> None:
    """Run a command that needs the archive.  Raises Unreachable or SurroundingsError."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode == 0:
        return
    if any(sign in done.stdout for sign in _UNREACHABLE):
        raise Unreachable
    raise SurroundingsError(f"{what} failed:\n{done.stdout[-3000:]}")


def tree(name: str = "debian13", packages: Sequence[str] = PACKAGES, hook: str = "") -> Path:
    """A Debian 13 tree with these packages, made if need be; `hook` is run by a shell then, with the tree as $1.

    Raises Unreachable, or SurroundingsError when it cannot be made.
    """
    key = hashlib.sha256(" ".join((SUITE, *packages, *([hook] if hook else []))).encode()).hexdigest()[:12]
    wanted = CACHE / f"{name}-{key}"
    if wanted.exists():
        return wanted
    if shutil.which("mmdebstrap") is None:
        _run(["apt-get", "install", "--yes", "--no-install-recommends", "mmdebstrap"], "apt-get install mmdebstrap")
    for stale in CACHE.glob(f"{name}-*"):
        shutil.rmtree(stale)
    print(f"Making a Debian 13 tree in {wanted} (once, about half a minute) …", flush=True)
    # The name tells an unfinished tree from a finished one.
    growing = CACHE / f"{name}-{key}.part"
    hooks = [f"--customize-hook={hook}"] if hook else []
    command = ["mmdebstrap", "--variant=apt", f"--include={','.join(packages)}", *hooks, SUITE, str(growing)]
    try:
        _run(command, "mmdebstrap")
        growing.rename(wanted)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return wanted


def not_run(what: str) -> int:
    """Say that the archive does not answer, and count it as one skipped item; the exit status for that."""
    reason = f"{what}: cannot run here: the package archive cannot be reached"
    print(reason)
    if report := os.environ.get("OPENVPN3_SESSIONMGR_SKIPPED"):
        with Path(report).open("a") as file:
            file.write(f"{reason}\n")
    return 0


def environment() -> dict[str, str]:
    """The environment of what is run in a tree."""
    variables = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(PROJECT_AT / ".importroot"),
    }
    if report := os.environ.get("OPENVPN3_SESSIONMGR_SKIPPED"):
        variables["OPENVPN3_SESSIONMGR_SKIPPED"] = str(PROJECT_AT / CACHE.name / Path(report).name)
    return variables


def main() -> int:
    """Run pytest with the command line's arguments in the tree; its exit status."""
    if os.geteuid() != 0:
        print("The Debian 13 tests need root.", file=sys.stderr)
        return 1
    CACHE.mkdir(exist_ok=True)
    try:
        there = OtherRoot(tree(), PROJECT_AT)
    except Unreachable:
        return not_run("Debian 13 tests")
    except SurroundingsError as error:
        print(f"The Debian 13 tree cannot be made: {error}", file=sys.stderr)
        return 1
    command = ["sh", "-c", _INSTALL_AND_TEST, "sh", *sys.argv[1:]]
    return enter.run(command, other_root=there, directory=PROJECT_AT, environment=environment())


if __name__ == "__main__":
    sys.exit(main())
