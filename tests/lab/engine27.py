"""OpenVPN 2.7, beside whichever the machine has: `python -m openvpn3_sessionmgr.tests.lab.engine27` fetches it.

It is Debian's of a later release, and brings its libraries and their loader: they are shown in /usr/lib64, where the
loader of the machine's programs stays as it is, and where the service looks for an engine's libraries.
"""

import os
import platform
import sys
from pathlib import Path

from . import kernel, skips
from .debian_tree import DebianTree, Unreachable, note_unreachable
from .incumbent_tree import V27
from .surroundings import SurroundingsError

_SHOWN = Path("/usr/lib64")
_PLACE = _SHOWN / "openvpn-2.7"
_LOADER = _SHOWN / "ld-openvpn-2.7.so.2"  # a name by which worker/sandbox/template.py knows a loader
PROGRAM = _PLACE / "openvpn"
DNS_UPDOWN = _PLACE / "dns-updown"  # what it sets name servers with by itself

_VERSION = "2.7"

# Old style of the search path: it is to hold for the libraries' own libraries, too.
_ARRANGE = f"""
set -e
cd "$1"
mkdir .{_PLACE}
cp -a usr/lib/*-linux-gnu/*.so* .{_PLACE}
cp -L .{_SHOWN}/ld-linux-*.so.* .{_LOADER}
cp usr/sbin/openvpn usr/libexec/openvpn/dns-updown .{_PLACE}
patchelf --set-interpreter {_LOADER} --force-rpath --set-rpath {_PLACE} .{PROGRAM}
"""
_TREE = DebianTree("openvpn-2.7", V27.suite, ("openvpn",), _ARRANGE, V27.apt_options, "extract")


def as_engine() -> bool:
    """Whether this run of tests is to have it as the engine of the service."""
    return os.environ.get("ENGINE_UNDER_TEST") == _VERSION


def as_server() -> bool:
    """Whether this run of tests is to have it as VPN server."""
    return os.environ.get("SERVER_UNDER_TEST") == _VERSION


def show() -> None:
    """Have it at PROGRAM until `hide`; where it is not to be had, the test is skipped."""
    if not _TREE.path.exists():
        import pytest  # not where the tree is made

        pytest.skip(f"{skips.CANNOT_RUN}OpenVPN 2.7 could not be downloaded")
    kernel.bind(_TREE.path / _SHOWN.relative_to("/"), _SHOWN)


def hide() -> None:
    """Have the machine's own libraries there again."""
    kernel.unmount(_SHOWN)


def main() -> int:
    """Fetch it; 1 when that fails for another reason than an archive out of reach."""
    if os.geteuid() != 0 or platform.machine() != "x86_64":
        note_unreachable("OpenVPN 2.7")
        return 0
    try:
        _TREE.make()
    except Unreachable:
        note_unreachable("OpenVPN 2.7")
    except SurroundingsError as error:
        print(f"OpenVPN 2.7 cannot be fetched: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
