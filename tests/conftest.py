"""For all tests: the lab's surroundings, and skips that nobody overlooks.

A test may only be skipped because this machine cannot run it, and says so through `cannot_run_here`
(support/skipping.py); any other skip fails the run.
"""

import importlib
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from openvpn3_sessionmgr.tests.lab import enter, skips
from openvpn3_sessionmgr.tests.lab.pki import Pki
from openvpn3_sessionmgr.tests.lab.surroundings import IMPORT_ROOT

_PACKAGE = "openvpn3_sessionmgr"
_PROJECT = Path(__file__).resolve().parents[1]
_UNIT = _PROJECT / "tests" / "unit"

# What tests share explains its failed assertions like the tests.
pytest.register_assert_rewrite(
    *(
        f"{_PACKAGE}.tests.{directory}"
        for directory in ("support", "hostile", "contract", "frontends", "network", "packages")
    )
)

_skipped: list[str] = []


def pytest_configure(config: pytest.Config) -> None:
    """Move the whole run into the lab's surroundings, unless only unit tests are asked for."""
    chosen = [Path(argument.split("::", 1)[0]).resolve() for argument in config.args]
    if enter.inside() or all(path.is_relative_to(_UNIT) for path in chosen):
        return
    if os.geteuid() != 0:
        raise pytest.UsageError("the integration tests need root; without it there is `pytest tests/unit`")
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()
    environment = {**os.environ, "PYTHONPATH": str(IMPORT_ROOT)}
    run = [sys.executable, "-m", "pytest", *config.invocation_params.args]
    os.execve(sys.executable, [sys.executable, "-m", enter.__name__, *run], environment)


class PackagedModule(pytest.Module):
    """A file of tests under its name in the package, where its relative imports find the project.

    (Files named conftest.py are imported by pytest itself, by other names: they import nothing relative, and nobody
    imports them.)
    """

    def _getobj(self) -> ModuleType:
        within = self.path.relative_to(_PROJECT).with_suffix("")
        return importlib.import_module(".".join((_PACKAGE, *within.parts)))


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    """Import each file of tests by that name; pytest would name it after its path from here."""
    module: pytest.Module = PackagedModule.from_parent(parent, path=module_path)
    return module


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note each skipped test."""
    if report.skipped and not hasattr(report, "wasxfail"):
        _note(report.nodeid, report.longrepr)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Note each skipped file."""
    if report.skipped:
        _note(report.nodeid, report.longrepr)


def _note(where: str, why: object) -> None:
    reason = why[2] if isinstance(why, tuple) else str(why)
    _skipped.append(f"{where}: {reason.removeprefix('Skipped: ')}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Report the skipped ones, and fail if one had no good reason."""
    skips.note(_skipped)
    if any(f": {skips.CANNOT_RUN}" not in line for line in _skipped) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: "pytest.TerminalReporter") -> None:
    """Say which skips made the run fail."""
    for line in _skipped:
        if f": {skips.CANNOT_RUN}" not in line:
            terminalreporter.write_line(f"FAILED: skipped without need: {line}", red=True)


@pytest.fixture(scope="session")
def pki() -> Pki:
    """Certificates, made once a run."""
    return Pki()
