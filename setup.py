"""The links of src, which a source distribution cannot hold; everything else about the build is in pyproject.toml."""

from pathlib import Path

from setuptools import setup

_HERE = Path(__file__).resolve().parent
for name in ("policy", "kernel", "ipc", "supervisor", "worker", "ctl", "tests", "bench", "packaging"):
    link = _HERE / "src" / "openvpn3_sessionmgr" / name
    if not link.exists():
        link.symlink_to(Path("..", "..", name))

setup()
