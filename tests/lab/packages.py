"""Build the Debian packages in a Debian 13 tree and try them in a fresh one: `make packages`.

The tree has what building takes, and what the packages depend on; it is kept and used like that of `debian13`.  What
was built is left in .cache/packages/.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from . import debian13, enter
from .debian13 import PROJECT_AT
from .debian_tree import DebianTree, Unreachable, note_unreachable
from .surroundings import CACHE, PROJECT, OtherRoot, SurroundingsError

BUILT = CACHE / "packages"
# The package that has some of the same files, kept inside to be installed beside ours.
RIVAL = Path("/var/cache/rival")

_BUILDING = ("debhelper", "dh-python", "dpkg-dev", "lintian", "pybuild-plugin-pyproject", "python3-all")
_TRYING = ("dbus", "passwd", "systemd-standalone-sysusers")
# Without dbus-broker, which wants systemd's own sysusers.
_PACKAGES = tuple(sorted({*debian13.PACKAGES, *_BUILDING, *_TRYING} - {"dbus-broker"}))
_FETCH_RIVAL = f'mkdir "$1{RIVAL}" && chroot "$1" sh -c "cd {RIVAL} && apt-get download openvpn3-client"'
_BUILD = """
set -e
mkdir /src/build
cp -a "$0" /src/build/source
cd /src/build/source
# -d: without the compiler that every build is said to need.
DEB_BUILD_OPTIONS=nocheck dpkg-buildpackage --build=binary --no-sign -d >../log 2>&1 || { cat ../log; exit 1; }
cd ..
said=$(lintian --allow-root --info --display-info ./*.changes 2>&1) || test -n "$said"
test -z "$said" || { echo "$said"; exit 1; }
cp ./*.deb "$1"
"""


def export(directory: Path) -> None:
    """Copy the project's files to `directory`, as a source of Debian packages.  Raises SurroundingsError."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={PROJECT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise SurroundingsError(f"git cannot tell what belongs to the project: {listed.stderr.strip()}")
    for name in filter(None, listed.stdout.split("\0")):
        source, target = PROJECT / name, directory / name
        if source.exists() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    shutil.copytree(directory / "packaging" / "deb", directory / "debian")


def main() -> int:
    """Build, and run pytest with the command line's arguments, or else all tests of the packages; its exit status."""
    if os.geteuid() != 0:
        print("Building and trying the packages needs root.", file=sys.stderr)
        return 1
    try:
        tree = DebianTree("packages-tree", debian13.SUITE, _PACKAGES, _FETCH_RIVAL).make()
        there = OtherRoot(tree, PROJECT_AT)
        shutil.rmtree(BUILT, ignore_errors=True)
        BUILT.mkdir()
        source = Path(tempfile.mkdtemp(prefix="source-", dir=CACHE))
        try:
            export(source)
            built = PROJECT_AT / BUILT.relative_to(PROJECT)
            at = PROJECT_AT / source.relative_to(PROJECT)
            status = _run(there, ["sh", "-c", _BUILD, str(at), str(built)])
        finally:
            shutil.rmtree(source)
    except Unreachable:
        note_unreachable("Packages")
        return 0
    except SurroundingsError as error:
        print(f"The packages cannot be built: {error}", file=sys.stderr)
        return 1
    if status:
        print("The packages could not be built, or are not as they should be.", file=sys.stderr)
        return status
    print(
        f"Built in {BUILT.relative_to(PROJECT)}: {', '.join(sorted(deb.name for deb in BUILT.iterdir()))}", flush=True
    )
    return _run(
        there,
        ["python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", *(sys.argv[1:] or ["tests/packages/installed.py"])],
    )


def _run(there: OtherRoot, command: list[str]) -> int:
    """In child processes, since entering the lab's surroundings cannot be undone."""
    child = os.fork()
    if child == 0:
        os._exit(enter.run(command, other_root=there, directory=PROJECT_AT, environment=debian13.environment()))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
