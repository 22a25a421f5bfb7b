"""Debian trees with OpenVPN 3 Linux in them, made once: `python -m openvpn3_sessionmgr.tests.lab.incumbent_tree`.

They are kept under .cache/ by their list of packages, and only read afterwards.  Making one needs the package archive,
so it is done before a run enters the lab; when the archive cannot be reached, that is said and counted as one
skipped item for each tree.
"""

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from . import debian13
from .surroundings import CACHE, SurroundingsError

# dbus and GObject introspection for Python are what openvpn2 and the Python module need; procps shows who runs.
_PACKAGES = ("dbus", "openvpn3-client", "procps", "python3-dbus", "python3-gi")


@dataclass(frozen=True)
class Release:
    """A release of OpenVPN 3 Linux, and the Debian release that carries it."""

    version: int
    suite: str
    # A release in the making is frozen in some archives, and its index then counts as expired.
    options: tuple[str, ...] = ()

    @property
    def tree(self) -> Path:
        """Where its tree is, or will be."""
        key = hashlib.sha256(" ".join((self.suite, *_PACKAGES)).encode()).hexdigest()[:12]
        return CACHE / f"openvpn3-{self.version}-{key}"


V27 = Release(27, "forky", ('--aptopt=Acquire::Check-Valid-Until "false"',))
V24 = Release(24, "trixie")
RELEASES = (V27, V24)


def make(release: Release) -> None:
    """Make the release's tree if need be.  Raises debian13.Unreachable, or SurroundingsError when it cannot be made."""
    if release.tree.exists():
        return
    CACHE.mkdir(exist_ok=True)
    if shutil.which("mmdebstrap") is None:
        debian13._run(
            ["apt-get", "install", "--yes", "--no-install-recommends", "mmdebstrap"], "apt-get install mmdebstrap"
        )
    for stale in CACHE.glob(f"openvpn3-{release.version}-*"):
        shutil.rmtree(stale)
    print(
        f"Making a tree with OpenVPN 3 Linux {release.version} in {release.tree} (once, about a minute) …", flush=True
    )
    # The name tells an unfinished tree from a finished one.
    growing = release.tree.with_suffix(".part")
    debian13._run(
        [
            "mmdebstrap", "--quiet", "--variant=apt", f"--include={','.join(_PACKAGES)}", *release.options,
            release.suite, str(growing),
        ],
        "mmdebstrap",
    )  # fmt: skip
    growing.rename(release.tree)


def main() -> int:
    """Make all trees; 1 when one cannot be made for another reason than an archive out of reach."""
    if os.geteuid() != 0:
        print("Making a Debian tree needs root.", file=sys.stderr)
        return 1
    for release in RELEASES:
        try:
            make(release)
        except debian13.Unreachable:
            reason = f"OpenVPN 3 Linux {release.version}: cannot run here: the package archive cannot be reached"
            print(reason)
            if report := os.environ.get("OPENVPN3_SESSIONMGR_SKIPPED"):
                with Path(report).open("a") as file:
                    file.write(f"{reason}\n")
        except SurroundingsError as error:
            print(f"The tree of OpenVPN 3 Linux {release.version} cannot be made: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
