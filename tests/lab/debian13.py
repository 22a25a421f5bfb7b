"""Run the tests in a Debian 13 tree with that release's own libraries."""

import os
import sys
from pathlib import Path

from . import enter, parts, skips
from .debian_tree import DebianTree, Unreachable, note_unreachable
from .surroundings import CACHE, OtherRoot, SurroundingsError

SUITE = "trixie"
PACKAGES = (
    "dbus", "dbus-broker", "gcc", "iproute2", "libc6-dev", "man-db", "mount", "opensc", "openssl", "openvpn",
    "polkitd", "procps", "python3-click", "python3-cryptography", "python3-dbus-fast", "python3-dbusmock",
    "python3-hypothesis", "python3-msgspec", "python3-pip", "python3-prctl", "python3-psutil", "python3-pytest",
    "python3-rich", "python3-seccomp", "python3-setuptools", "python3-venv", "softhsm2", "util-linux",
)  # fmt: skip
PROJECT_AT = Path("/src/openvpn3-sessionmgr")
_DOWNLOAD = f"cd {parts.IN_TREE} && apt-get download {' '.join(parts.PACKAGES)}"
_DOWNLOAD_PARTS = f'mkdir "$1{parts.IN_TREE}" && chroot "$1" sh -c "{_DOWNLOAD}"'
_INSTALL_AND_TEST = """
set -e
python3 -m venv --system-site-packages /opt/venv
/opt/venv/bin/pip install --quiet --no-index --no-deps --no-build-isolation --editable .
exec /opt/venv/bin/python -m pytest "$@"
"""


def environment() -> dict[str, str]:
    """The environment of what is run in a tree."""
    variables = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(PROJECT_AT / "src"),
    }
    if report := os.environ.get(skips.VARIABLE):
        variables[skips.VARIABLE] = str(PROJECT_AT / CACHE.name / Path(report).name)
    return variables


def main() -> int:
    """Run pytest with the command line's arguments in the tree; its exit status."""
    if os.geteuid() != 0:
        print("The Debian 13 tests need root.", file=sys.stderr)
        return 1
    try:
        there = OtherRoot(DebianTree("debian13", SUITE, PACKAGES, _DOWNLOAD_PARTS).make(), PROJECT_AT)
    except Unreachable:
        note_unreachable("Debian 13 tests")
        return 0
    except SurroundingsError as error:
        print(f"The Debian 13 tree cannot be made: {error}", file=sys.stderr)
        return 1
    command = ["sh", "-c", _INSTALL_AND_TEST, "sh", *sys.argv[1:]]
    return enter.run(command, other_root=there, directory=PROJECT_AT, environment=environment())


if __name__ == "__main__":
    sys.exit(main())
