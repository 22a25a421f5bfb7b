"""Programs that a developer's machine is better off without: unpacked for a run, not installed.

Their Debian packages are downloaded beforehand (`make test-setup`; in the Debian 13 tree, while it is made).
"""

import subprocess
from pathlib import Path

from . import skips
from .surroundings import CACHE, SHARED

# Installing systemd-resolved changes how a machine looks names up, and so do the others, of which one excludes another.
PACKAGES = ("systemd-resolved", "libsystemd-shared", "openresolv", "resolvconf")
IN_TREE = Path("/var/cache/parts")  # where a Debian tree has them
_HERE = CACHE / "parts"


def unpacked(package: str) -> Path:
    """The directory with a package's files; where it is not to be had, the test is skipped."""
    place = SHARED / "parts" / package
    if place.exists():
        return place
    found = sorted((IN_TREE if IN_TREE.exists() else _HERE).glob(f"{package}_*.deb"))
    if not found:
        import pytest  # not where a tree is made

        pytest.skip(f"{skips.CANNOT_RUN}the package {package} could not be downloaded")
    place.mkdir(parents=True)
    subprocess.run(["dpkg-deb", "--extract", str(found[0]), str(place)], check=True)
    return place


def program(package: str, *candidates: str) -> Path:
    """The first of these files that a package has: Debian has moved many from /lib to /usr/lib."""
    root = unpacked(package)
    return next(root / one for one in candidates if (root / one).exists())
