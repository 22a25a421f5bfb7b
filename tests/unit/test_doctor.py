"""Checks of ovpnctl doctor by files of their own; test_doctor.py of the integration tests has the real machine."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ...ctl.doctor import installation, kernel_features, names
from ...ctl.doctor.bus_facts import RESOLVED, BusFacts
from ...ctl.doctor.finding import Finding, Machine, Verdict
from ...ctl.doctor.table import CHECKS
from ...policy.configuration.files import Configuration
from ...policy.configuration.options import combined
from ...policy.machine.activation import activation

SESSIONS = "net.openvpn.v3.sessions"


def machine(**bus: object) -> Machine:
    facts = BusFacts()
    for name, value in bus.items():
        setattr(facts, name, value)
    return Machine(Configuration({}, [], []), combined({}, {}), False, facts)


def said(found: object) -> list[tuple[Verdict, str]]:
    assert not isinstance(found, Finding)
    return [(one.verdict, one.what) for one in found]  # type: ignore[attr-defined]


def test_each_check_has_a_name_of_its_own() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.what and check.check.__doc__ for check in CHECKS)


def activation_file(directory: Path, name: str, command: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.service").write_text(f"[D-BUS Service]\nName={name}\nExec={command}\nUser=root\n")


def test_whose_program_the_bus_starts(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    theirs = "/usr/libexec/openvpn3-linux/openvpn3-service-sessionmgr"
    program = tmp_path / "openvpn3-service-sessionmgr"
    program.touch(mode=0o755)
    for name in (SESSIONS, "net.openvpn.v3.log"):
        activation_file(second, name, theirs)
    found = said(installation.activated(machine(), [first, second]))
    assert [verdict for verdict, _ in found] == [Verdict.FAULT] * 2 and theirs in found[0][1]
    activation_file(first, SESSIONS, f"/usr/bin/env A=1 LD_BIND_NOW=1 {program}")
    found = said(installation.activated(machine(), [first, second]))
    assert [verdict for verdict, _ in found] == [Verdict.OK, Verdict.FAULT]
    program.chmod(0o644)
    assert "cannot be executed" in said(installation.activated(machine(), [first, second]))[0][1]
    assert [verdict for verdict, _ in said(installation.activated(machine(), []))] == [Verdict.WARNING] * 2


def test_the_first_activation_file_counts(tmp_path: Path) -> None:
    activation_file(tmp_path / "a", SESSIONS, "/usr/bin/one")
    activation_file(tmp_path / "b", SESSIONS, "/usr/bin/two")
    found = activation(SESSIONS, [tmp_path / "none", tmp_path / "a", tmp_path / "b"])
    assert found is not None and (found.program, found.ours) == ("/usr/bin/one", False)
    assert activation(SESSIONS, []) is None


def test_a_clock_that_is_wrong(tmp_path: Path) -> None:
    installed = tmp_path / "installed"
    installed.touch()
    assert said(installation.clock(machine(), installed))[0][0] != Verdict.FAULT
    later = time.time() + 30 * 86400
    os.utime(installed, (later, later))
    assert said(installation.clock(machine(), installed))[0][0] == Verdict.FAULT


def test_no_account() -> None:
    [(verdict, what)] = said(installation.account(machine(), ("no_such_account",)))
    assert verdict == Verdict.FAULT and "no_such_account" in what
    [(verdict, _)] = said(installation.account(machine(), ("root",)))
    assert verdict == Verdict.FAULT


def test_no_driver(tmp_path: Path) -> None:
    misc = tmp_path / "misc"
    misc.write_text("229 fuse\n")
    [(verdict, _)] = said(kernel_features.tun(machine(), tmp_path / "tun", misc))
    assert verdict == Verdict.FAULT
    misc.write_text("229 fuse\n200 tun\n")
    [(verdict, _)] = said(kernel_features.tun(machine(), tmp_path / "tun", misc))
    assert verdict == Verdict.WARNING


def test_bounds_that_are_small(tmp_path: Path) -> None:
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel/pid_max").write_text("300\n")
    [(verdict, what)] = said(kernel_features.bounds(machine(), tmp_path))
    assert verdict == Verdict.WARNING and "kernel.pid_max is 300" in what
    (tmp_path / "kernel/pid_max").write_text("32768\n")
    assert said(kernel_features.bounds(machine(), tmp_path))[0][0] == Verdict.OK


def refuse() -> None:
    raise OSError(38, "Function not implemented")


@pytest.mark.parametrize(("missing", "verdict"), [(True, Verdict.WARNING), (False, Verdict.OK)])
def test_a_kernel_without_a_layer(missing: bool, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    needed: dict[object, Callable[[], object]] = {"landlock": refuse if missing else bool}
    monkeypatch.setattr(kernel_features, "_NEEDED", needed)
    [(found, _)] = said(kernel_features.kernel_layers(machine()))
    assert found == verdict


def of_resolved(root: Path) -> Path:
    (root / "etc").mkdir()
    (root / "run/systemd/resolve").mkdir(parents=True)
    (root / "run/systemd/resolve/stub-resolv.conf").write_text("nameserver 127.0.0.53\n")
    (root / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    services = root / "usr/share/dbus-1/system-services"
    services.mkdir(parents=True)
    (services / "org.freedesktop.PolicyKit1.service").touch()
    return root


def test_resolved_and_the_rule_of_polkit(tmp_path: Path) -> None:
    root = of_resolved(tmp_path)
    [(verdict, _)] = said(names.back_end(machine(), root))
    assert verdict == Verdict.FAULT
    there = machine(owners={RESOLVED: ":1.7"})
    [(verdict, _)] = said(names.back_end(there, root))
    assert verdict == Verdict.OK
    places = [tmp_path / "rules.d", tmp_path / "missing"]
    places[0].mkdir()
    [(verdict, _)] = said(names.polkit(there, places, root))
    assert verdict == Verdict.FAULT
    (places[0] / "net.openvpn.v3.sessionmgr.rules").touch()
    [(verdict, _)] = said(names.polkit(there, places, root))
    assert verdict == Verdict.OK
    [(verdict, _)] = said(names.polkit(machine(polkit_admits=False), places, root))
    assert verdict == Verdict.FAULT
