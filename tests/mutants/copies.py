"""Copies of the tree, each with a virtual environment of its own, so that every program of it runs from there.

A variable of the environment would not reach the programs that are started isolated (`python -I`), nor the service's
as the bus starts it.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_LEFT_OUT = (".git", ".cache", ".venv", ".*_cache", ".hypothesis", "build", "dist", "*.egg-info")
_DEVELOPERS_TOOLS = ("mypy", "mypyc", "*__mypyc.*", "ruff", "ruff-*", "pip", "setuptools", "pkg_resources")
_ENTER = "openvpn3_sessionmgr.tests.lab.enter"


class Copy:
    """A copy of a tree below `directory`, for programs of the virtual environment that this process runs in."""

    def __init__(self, tree: Path, directory: Path) -> None:
        self.root = directory
        self.python = directory / ".venv/bin/python"
        self.scratch = directory / "scratch"  # inside, since the lab may show nothing that is beside it
        self._clock = 0
        shutil.copytree(tree, directory, symlinks=True, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        directory.chmod(0o755)
        self.scratch.mkdir()
        environment = Path(sys.prefix)
        assert sys.prefix != sys.base_prefix, "this needs a virtual environment, of which it makes copies"
        ignored = shutil.ignore_patterns(*_DEVELOPERS_TOOLS)
        shutil.copytree(environment, directory / ".venv", symlinks=True, ignore=ignored, copy_function=_link)
        for script in (directory / ".venv/bin").iterdir():
            if not script.is_symlink() and script.is_file() and script.read_bytes()[:2] == b"#!":
                _replace_in(script, str(environment), str(directory / ".venv"))
        for listed in (directory / ".venv").rglob("*.pth"):
            _replace_in(listed, str(tree), str(directory))

    def write(self, file: str, text: str) -> None:
        """Replace a program's text, so that nobody takes what was compiled of the last one for it."""
        path = self.root / file
        path.write_text(text)
        # Python compares time, in seconds, and size of a program with those that a compiled one was made of.
        self._clock += 1
        os.utime(path, (self._clock, self._clock))

    def pytest(
        self, arguments: Sequence[str], variables: Mapping[str, str], output: Path, deadline: float | None
    ) -> int | None:
        """Run pytest in the lab's surroundings, or just so where this is not root; its exit status.

        None when it did not end within `deadline` seconds, and was made to, with all that it started.
        """
        run = [str(self.python), "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        if os.geteuid() == 0 and (self.root / "tests/lab/enter.py").exists():
            run = [str(self.python), "-m", _ENTER, *run]
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment.update(variables)
        with (
            output.open("wb") as file,
            subprocess.Popen(
                run,
                cwd=self.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                return process.wait(deadline)
            except subprocess.TimeoutExpired:
                return None
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _replace_in(file: Path, old: str, new: str) -> None:
    content = file.read_bytes()
    if old.encode() in content:
        mode = file.stat().st_mode
        file.unlink()  # it is a link: the original is to stay
        file.write_bytes(content.replace(old.encode(), new.encode()))
        file.chmod(mode)
