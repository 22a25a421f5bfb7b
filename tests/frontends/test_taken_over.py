"""The openvpn3 command line on sessions whose service has been killed, and the next one has them."""

import signal

from ..lab.incumbent import IncumbentLab
from ..lab.incumbent_tree import Release
from ..lab.openvpn import TUNNEL_ADDRESS
from ..lab.pki import Pki
from .stage import Stage


def test_it_goes_on_with_a_session_that_was_taken_over(release: Release, pki: Pki) -> None:
    with IncumbentLab(release, pki, ours=True) as lab:
        lab.server()
        service = lab.supervisor()
        stage = Stage(lab, ours=True)
        assert stage.openvpn3("session-start", "--config", stage.profile()).status == 0
        before = stage.openvpn3("sessions-list")
        assert "Connection, Client connected" in before.text
        service.process.signal(signal.SIGKILL)
        service.process.wait()
        lab.supervisor().process.wait_line("Took over 1 session")
        assert stage.openvpn3("sessions-list") == before
        assert lab.echo(TUNNEL_ADDRESS, b"still") == b"still"
        path = before.raw.partition("Path: ")[2].split()[0]
        assert "BYTES_IN" in stage.openvpn3("session-stats", "--path", path).raw
        for what, status in (("pause", "Client connection paused"), ("resume", "Client connected")):
            assert stage.openvpn3("session-manage", f"--{what}", "--path", path).status == 0
            while status not in stage.openvpn3("sessions-list").text:
                pass
        assert stage.openvpn3("session-manage", "--disconnect", "--path", path).status == 0
        assert "No sessions available" in stage.openvpn3("sessions-list").text
