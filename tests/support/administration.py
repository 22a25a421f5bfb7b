"""The administrator's files of a service in the lab."""

import shutil
import signal
from pathlib import Path

from ..lab.lab import Lab
from ..lab.service import Service


def configure(directory: Path, text: str, **others: str) -> Path:
    """Write config.toml and files of config.d, in place of those that are there; the directory."""
    shutil.rmtree(directory, ignore_errors=True)
    (directory / "config.d").mkdir(parents=True)
    for path in (directory, directory / "config.d"):
        path.chmod(0o755)
    for name, content in {"config.toml": text, **{f"config.d/{one}.toml": has for one, has in others.items()}}.items():
        (directory / name).write_text(content)
        (directory / name).chmod(0o644)
    return directory


def chosen(lab: Lab, text: str, **others: str) -> Path:
    """The same where the lab's service looks."""
    return configure(lab.service_directory / "etc", text, **others)


def reloaded(service: Service, wanted: str = "The configuration has been read again") -> str:
    """Have the service read its files again; the line that says so."""
    since = len(service.process.lines)
    service.process.signal(signal.SIGHUP)
    return service.process.wait_line(wanted, since=since)
