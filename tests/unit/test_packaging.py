"""What is installed beside the code: in step with it, and complete."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from ...ctl.exits import CommandExit
from ...packaging import generate, manual
from ...packaging.policy_files import ACCOUNT, PROGRAM, UNIT
from ...policy.configuration.options import default
from ...policy.configuration.table import DIRECTORY as CONFIGURATION
from ...policy.configuration.table import KEYS
from ...policy.exit_status import ExitStatus
from ...policy.sandbox.confinement import OPTIONAL_CAPABILITIES, START_CAPABILITIES
from ...supervisor.bus.manager_api import BUS_NAME
from ...supervisor.network.tun import DEVICE
from ...supervisor.sessions.autoconnect import MARKER
from ...supervisor.start.allocator import ENVIRONMENT
from ...supervisor.start.options import make_parser
from ..support.skipping import cannot_run_here

ROOT = Path(__file__).resolve().parents[2]
DEB = ROOT / "packaging" / "deb"
SESSION_UNIT = ROOT / "policy" / "systemd" / "openvpn3-sessionmgr-session@.service"
SPEC = ROOT / "packaging" / "rpm" / "openvpn3-sessionmgr.spec"


def unit_settings(key: str) -> list[str]:
    """All values of a key in the unit, in order."""
    text = (ROOT / "policy" / "systemd" / UNIT).read_text()
    return [word for values in re.findall(rf"(?m)^{key}=(.*)$", text) for word in values.split()]


def test_the_manual_pages_are_up_to_date() -> None:
    assert generate.main(["--check"], generated=manual.PAGES) == 0


@pytest.mark.parametrize("page", [page for page, _ in manual.PAGES])
def test_the_manual_pages_are_right_to_man(page: str) -> None:
    command = ["man", "--warnings", "--local-file", str(ROOT / page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    assert "ovpnctl" in done.stdout


def test_arguments_that_may_be_left_out_are_in_brackets() -> None:
    page = manual.ovpnctl_manual()
    assert "ovpnctl why\\fR [OPTIONS] [NAME]\n" in page and "ovpnctl check\\fR [OPTIONS] FILE\n" in page


def test_the_manual_has_every_option_and_exit_status() -> None:
    page = manual.service_manual().replace("\\", "")
    for action in make_parser()._actions:
        assert all(f"fB{name}fR" in page for name in action.option_strings)
    assert manual.STATUSES.keys() == set(ExitStatus)


def test_the_unit_saves_the_service_a_second_start() -> None:
    assert sorted(unit_settings("Environment")) == sorted(f"{name}={value}" for name, value in ENVIRONMENT.items())


def test_the_unit_grants_what_starting_takes_and_no_more() -> None:
    granted = [name.removeprefix("CAP_").lower() for name in unit_settings("CapabilityBoundingSet")]
    assert sorted(granted) == sorted({**START_CAPABILITIES, **OPTIONAL_CAPABILITIES})


def test_the_unit_starts_the_service_as_root_and_its_directories_are_the_accounts() -> None:
    """With User= and no "!", systemd takes CAP_SETUID away; without User=, it makes the directories for root."""
    assert unit_settings("ExecStart") == [f"!{PROGRAM}"]
    assert unit_settings("User") == [ACCOUNT]
    assert unit_settings("BusName") == [BUS_NAME]
    places = (("/run", "RuntimeDirectory", "runtime-dir"), ("/var/lib", "StateDirectory", "state-dir"))
    for where, key, option in places:
        assert unit_settings(f"{key}Mode") == ["0700"]
        assert [f"{where}/{name}" for name in unit_settings(key)] == [str(default(KEYS[option]))]
    assert unit_settings("RuntimeDirectoryPreserve") == ["yes"]
    assert unit_settings("ReadWritePaths") == ["-/etc", "-/run/resolvconf", "-/run/NetworkManager"]
    # ProtectSystem=strict alone does not do it for the first; the second is in what is writable.
    assert unit_settings("ReadOnlyPaths") == ["/run", f"-{CONFIGURATION}"]


@pytest.mark.parametrize("kind", ["program", "link", "none"])
def test_the_unit_makes_the_directory_of_resolvconf(kind: str, tmp_path: Path) -> None:
    """openresolv makes it when it is first used, and in the unit's sandbox it may not."""
    text = (ROOT / "policy" / "systemd" / UNIT).read_text()
    [script] = re.findall(r"(?m)^ExecStartPre=-\+/bin/sh -c '(.*)'$", text)
    program, runtime = tmp_path / "resolvconf", tmp_path / "run"
    if kind == "program":
        program.touch(mode=0o755)
    elif kind == "link":
        program.symlink_to("/bin/true")
    script = script.replace("/sbin/resolvconf", str(program)).replace("/run/resolvconf", str(runtime))
    subprocess.run(["/bin/sh", "-c", f"umask 077; {script}"], check=True)
    assert runtime.exists() == (kind == "program")
    assert not runtime.exists() or runtime.stat().st_mode & 0o777 == 0o755


def test_the_unit_lets_the_service_make_its_tun_node() -> None:
    assert unit_settings("DeviceAllow") == [f"/dev/char/{os.major(DEVICE)}:{os.minor(DEVICE)}", "rwm"]


@pytest.mark.parametrize("name", ["session@", "autoconnect", "sessions", "restarted"])
def test_systemd_understands_the_other_units(name: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        cannot_run_here("there is no systemd-analyze")
    unit = tmp_path / f"openvpn3-sessionmgr-{name}.service"
    text = (ROOT / "policy" / "systemd" / unit.name).read_text()
    unit.write_text(re.sub(r"(?m)^Documentation=.*\n", "", text).replace("/usr/bin/ovpnctl", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_of_a_session_is_not_restarted_in_vain() -> None:
    [statuses] = re.findall(r"(?m)^RestartPreventExitStatus=(.*)$", SESSION_UNIT.read_text())
    vain = {CommandExit.USAGE, CommandExit.REFUSED, CommandExit.AUTHENTICATION_FAILED}
    assert {int(status) for status in statuses.split()} == vain


def test_it_is_started_at_boot_by_the_file_that_it_keeps() -> None:
    text = (ROOT / "policy" / "systemd" / "openvpn3-sessionmgr-autoconnect.service").read_text()
    assert f"\nConditionPathExists={default(KEYS['state-dir'])}/{MARKER}\n" in text


def test_no_restart_after_what_a_restart_cannot_cure() -> None:
    incurable = {ExitStatus.USAGE, ExitStatus.ALREADY_RUNNING, ExitStatus.CANNOT_START, ExitStatus.CONFIGURATION}
    assert {int(status) for status in unit_settings("RestartPreventExitStatus")} == incurable


def test_the_account_is_made() -> None:
    assert f"\nu {ACCOUNT} - " in (ROOT / "policy" / "sysusers" / "openvpn3-sessionmgr.conf").read_text()


def test_one_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert (DEB / "changelog").read_text().startswith(f"openvpn3-sessionmgr ({version}) ")
    assert re.findall(r"(?m)^Version: +(\S+)$", SPEC.read_text()) == [version]


def test_every_policy_file_is_in_one_debian_package() -> None:
    shipped = list[str]()
    for package in ("openvpn3-sessionmgr", "openvpn3-sessionmgr-services"):
        for line in (DEB / f"{package}.install").read_text().splitlines():
            shipped += [str(file.relative_to(ROOT)) for file in ROOT.glob(line.split()[0])]
    in_tree = [
        str(file.relative_to(ROOT))
        for room in ("configuration", "dbus", "polkit", "systemd", "sysusers")
        for file in (ROOT / "policy" / room).iterdir()
        if file.suffix != ".py" and file.is_file()
    ]
    assert sorted(shipped) == sorted(in_tree)
