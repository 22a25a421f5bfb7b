"""Debian trees with OpenVPN 3 Linux in them: `python -m openvpn3_sessionmgr.tests.lab.incumbent_tree` makes them."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .debian_tree import DebianTree, Unreachable, note_unreachable
from .surroundings import SurroundingsError

# dbus and GObject introspection for Python are what openvpn2 and the Python module need; procps shows who runs.
_PACKAGES = ("dbus", "openvpn3-client", "procps", "python3-dbus", "python3-gi")


@dataclass(frozen=True)
class Release:
    """A release of OpenVPN 3 Linux, and the Debian release that carries it."""

    version: int
    suite: str
    apt_options: tuple[str, ...] = ()

    @property
    def source(self) -> DebianTree:
        """What its tree is made from."""
        return DebianTree(f"openvpn3-{self.version}", self.suite, _PACKAGES, apt_options=self.apt_options)

    @property
    def tree(self) -> Path:
        """Where its tree is, or will be."""
        return self.source.path


# A release in the making is frozen in some archives, and its index then counts as expired.
V27 = Release(27, "forky", ('Acquire::Check-Valid-Until "false"',))
V24 = Release(24, "trixie")
RELEASES = (V27, V24)


def main() -> int:
    """Make all trees; 1 when one cannot be made for another reason than an archive out of reach."""
    if os.geteuid() != 0:
        print("Making a Debian tree needs root.", file=sys.stderr)
        return 1
    for release in RELEASES:
        try:
            release.source.make()
        except Unreachable:
            note_unreachable(f"OpenVPN 3 Linux {release.version}")
        except SurroundingsError as error:
            print(f"The tree of OpenVPN 3 Linux {release.version} cannot be made: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
