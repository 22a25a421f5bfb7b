"""With the kill switch, systemd-resolved may ask for the names of servers, and for no others' for long."""

import time

from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import PORT
from ...lab.processes import DEADLINE
from ...support.sessions import UserSession

_VPN, _OTHER = "vpn.example", "www.example"


def _is_found(lab: Lab, name: str) -> bool:
    return not lab.client_side.run(["getent", "ahosts", name], "alice").returncode


def test_the_name_of_the_server_is_looked_up(lab: Lab) -> None:
    resolved = lab.resolved()
    lan = lab.dns({_VPN: [SERVER_ADDRESS], _OTHER: ["192.0.2.80"]}, only=False)
    resolved.ctl("dns", "cable", SERVER_ADDRESS)
    lab.server()
    lab.supervisor()
    root = lab.connection("root")
    profile = root.import_profile("locked", lab.profile(remotes=[f"{_VPN} {PORT}"]))
    root.set_setting(profile, "kill-switch", True)
    session = UserSession(root, profile, root.new_tunnel(profile))
    session.connect()
    lan.wait_line(f"asked {_VPN}")
    until = time.monotonic() + 6 * DEADLINE
    while _is_found(lab, _OTHER):  # as it may while the server's name could still be looked up
        assert time.monotonic() < until
        resolved.ctl("flush-caches")
    session.call("Disconnect")
    until = time.monotonic() + DEADLINE
    while not _is_found(lab, _OTHER):
        assert time.monotonic() < until
