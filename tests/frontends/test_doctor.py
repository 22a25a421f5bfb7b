"""ovpnctl doctor beside OpenVPN 3 Linux: it says which of the two is in force."""

import json

import pytest

from ...ctl.exits import CommandExit
from ..lab.connection import SESSIONS
from ..lab.incumbent import IncumbentLab
from ..lab.incumbent_tree import Release
from ..lab.pki import Pki


@pytest.mark.parametrize("ours", [True, False])
def test_their_session_manager_is_in_force(release: Release, pki: Pki, ours: bool) -> None:
    """With their policy or ours."""
    with IncumbentLab(release, pki, ours=ours) as lab:
        lab.start_services()
        for user in ("root", "alice"):
            done = lab.ovpnctl(user, "doctor", "--json")
            assert done.returncode == CommandExit.FAULTS, done.stderr
            [found] = [one for one in json.loads(done.stdout)["findings"] if one["check"] == "service"]
            assert found["verdict"] == "fault", found
            assert "Another session manager is in force" in found["what"] and SESSIONS in found["what"]
            assert f"process {lab.services['sessions'].pid}" in found["what"]


def test_their_configuration_service_is_used(release: Release, pki: Pki) -> None:
    with IncumbentLab(release, pki, ours=True) as lab:
        lab.supervisor("--configuration=external")
        lab.start_configuration()
        done = lab.ovpnctl("alice", "doctor", "--json")
        found = json.loads(done.stdout)["findings"]
        [service] = [one for one in found if one["check"] == "service"]
        assert service["verdict"] == "ok", service
        said = [one["what"] for one in found if one["check"] == "names" and "whose profiles are used" in one["what"]]
        assert len(said) == 1 and "openvpn3-service-configmgr" in said[0]
