"""The files made from the tables: up to date, and right."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from ...packaging import generate
from ...packaging.api_doc import api_document
from ...packaging.policy_files import activation_file, policy_file
from ...supervisor.bus.configuration_api import CONFIGURATION, PROFILE
from ...supervisor.bus.failures_api import FAILURES
from ...supervisor.bus.inspection_api import INSPECTION
from ...supervisor.bus.kill_switch_api import KILL_SWITCH
from ...supervisor.bus.log_api import FORWARDED, LOG, PROXY
from ...supervisor.bus.manager_api import MANAGER
from ...supervisor.bus.namespace_api import NAMESPACE
from ...supervisor.bus.session_api import SESSION
from ...supervisor.bus.settings_api import PROFILE_SETTINGS
from ...supervisor.bus.status_api import STATUS
from ...supervisor.bus.stub_api import DEVICE, STUBS
from ...supervisor.start.allocator import ENVIRONMENT


def test_the_files_in_the_tree_are_up_to_date() -> None:
    assert generate.main(["--check"]) == 0


def test_stale_files_are_listed_and_then_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"], tmp_path) == 1
    assert "stale: docs/api.md\n" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())

    assert generate.main([], tmp_path) == 0
    assert "written: policy/dbus/net.openvpn.v3.sessions.conf\n" in capsys.readouterr().out
    assert generate.main(["--check"], tmp_path) == 0

    (tmp_path / "docs/api.md").write_text("old")
    assert generate.main(["--check"], tmp_path) == 1
    assert capsys.readouterr().out == "stale: docs/api.md\n"


def test_the_account_and_the_program_are_parameters() -> None:
    policy = ET.fromstring(policy_file((MANAGER, SESSION), account="openvpn"))
    owners = [part.get("user") for part in policy.findall("policy") if part.find("allow[@own]") is not None]
    assert owners == ["openvpn"]
    assert " /opt/sessionmgr\n" in activation_file(MANAGER.name, program="/opt/sessionmgr")


def test_both_names_start_the_same_program_as_root() -> None:
    for name in (MANAGER.name, CONFIGURATION.name):
        settings = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
        assert activation_file(name).splitlines() == [
            "[D-BUS Service]",
            f"Name={name}",
            f"Exec=/usr/bin/env {settings} /usr/bin/openvpn3-service-sessionmgr",
            "User=root",
            "SystemdService=openvpn3-sessionmgr.service",
        ]


def test_the_document_has_every_member_and_marks_what_does_not_work_yet() -> None:
    sections = api_document().split("\n## ")[1:]
    interfaces = (
        MANAGER,
        SESSION,
        INSPECTION,
        STATUS,
        NAMESPACE,
        FAILURES,
        PROFILE_SETTINGS,
        KILL_SWITCH,
        CONFIGURATION,
        PROFILE,
        LOG,
        PROXY,
        FORWARDED,
        *STUBS,
        DEVICE,
    )
    for interface, section in zip(interfaces, sections, strict=True):
        assert section.startswith(f"{interface.title}\n")
        for row in (*interface.methods, *interface.signals):
            (line,) = [line for line in section.splitlines() if line.startswith(f"| `{row.name}(")]
            assert row.doc in line
            assert ("**not yet**" in line) != row.supported
        for prop in interface.properties:
            assert f"| `{prop.name}: {prop.signature}` | {prop.who.value} |" in section
