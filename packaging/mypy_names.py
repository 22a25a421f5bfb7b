"""Mypy plugin: a file given by its path has the name that the package gives it.

Mypy names such a file after its directories; but those are the packages of openvpn3_sessionmgr, and without that in
front its relative imports would lead out of the tree.  What mypy is to check it has listed before it loads plugins, and
hands to none of them; so the list's entries are looked up among the objects of this process.
"""

import gc
from pathlib import Path

from mypy.modulefinder import BuildSource
from mypy.plugin import Plugin

_PACKAGE = "openvpn3_sessionmgr"
_PROJECT = Path(__file__).resolve().parents[1]
_SHOWN = {entry.name for entry in (_PROJECT / "src" / _PACKAGE).iterdir() if entry.is_symlink()}


def plugin(version: str) -> type[Plugin]:
    """Name the files, and do nothing else."""
    for source in gc.get_objects():
        if isinstance(source, BuildSource) and source.path:
            path = Path(source.path).absolute()
            if path.is_relative_to(_PROJECT) and (within := path.relative_to(_PROJECT)).parts[0] in _SHOWN:
                source.module = ".".join((_PACKAGE, *within.with_suffix("").parts)).removesuffix(".__init__")
    return Plugin
