"""An /etc of a test's own, in which files may be made and replaced."""

from pathlib import Path
from typing import Self

from . import kernel
from .surroundings import RESOLV_CONF, SHARED

ETC = Path("/etc")
OF_RESOLV_CONF = ETC / "resolv.conf"


class PrivateEtc:
    """A layer over /etc, for what is started while it is there.  A context manager.

    resolv.conf in it is an ordinary file with the text that the lab's has.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        upper, work = self._directory / "upper", self._directory / "work"
        for directory in (upper, work):
            directory.mkdir(parents=True)
        text = RESOLV_CONF.read_text()
        kernel.mount("overlay", ETC, "overlay", options=f"lowerdir={ETC},upperdir={upper},workdir={work}")
        for name in ("passwd", "group"):
            kernel.bind(SHARED / name, ETC / name)
        OF_RESOLV_CONF.unlink(missing_ok=True)
        OF_RESOLV_CONF.write_text(text)
        return self

    def link(self, target: str) -> None:
        """Make resolv.conf a link."""
        OF_RESOLV_CONF.unlink(missing_ok=True)
        OF_RESOLV_CONF.symlink_to(target)

    def __exit__(self, *_: object) -> None:
        for place in (ETC / "group", ETC / "passwd", ETC):
            kernel.unmount(place)
