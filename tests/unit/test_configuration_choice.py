"""Which configuration service is used."""

from pathlib import Path

import pytest

from ...supervisor.services.activation import configuration_service


@pytest.mark.parametrize(
    ("files", "choice"),
    [
        ({}, "embedded"),
        ({"net.openvpn.v3.configuration.service": "Exec=/usr/bin/openvpn3-service-sessionmgr"}, "embedded"),
        ({"net.openvpn.v3.configuration.service": "Exec=/usr/libexec/openvpn3-service-configmgr"}, "external"),
        ({"net.openvpn.v3.sessions.service": "Exec=/usr/libexec/other"}, "embedded"),
        ({"net.openvpn.v3.configuration.service": "\xff\xfe no command here"}, "embedded"),
    ],
)
def test_choice_of_the_service(files: dict[str, str], choice: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_bytes(f"[D-BUS Service]\nName=x\n{text}\n".encode("latin-1"))
    directories = [tmp_path / "missing", tmp_path]
    assert configuration_service("auto", directories) == choice
    assert configuration_service("embedded", directories) == "embedded"
    assert configuration_service("external", directories) == "external"
