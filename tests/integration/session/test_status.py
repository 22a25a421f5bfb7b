"""What is in force of sessions: as the kernel says it, too, and what is not in force, with the reason."""

import json
import time
from typing import Any

import pytest

from ....ctl.exits import CommandExit
from ....policy.limits import MAX_SHOWN_ROUTES
from ...lab.connection import BusError
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.service import OVPNCTL
from ...lab.surroundings import ACCOUNTS
from ...support.sessions import UserSession, begin, until

STATUS = "net.openvpn.v3.sessions.status"
PRIVATE = "route 198.19.7.0 255.255.255.0"


def status(lab: Lab, user: str, *names: str, exit_status: int = CommandExit.OK) -> list[dict[str, Any]]:
    """What --json prints of sessions."""
    done = lab.ovpnctl(user, "status", *names, "--json")
    assert done.returncode == exit_status, done
    shown = json.loads(done.stdout)
    assert shown["version"] == 1
    sessions: list[dict[str, Any]] = shown["sessions"]
    return sessions


def kernel(lab: Lab, *command: str) -> Any:
    done = lab.client_side.run(["ip", "-j", *command], "alice")
    return json.loads(done.stdout or "[]") if done.returncode == 0 else []  # else there is no such table


def second(lab: Lab, user: str, *pushes: str) -> UserSession:
    """A connected session with another server."""
    lab.server(port=1195, subnet="198.18.1.0", subnet6="2001:db8:4::/64", pushes=pushes)
    session = begin(lab, user=user, remotes=[f"{SERVER_ADDRESS} 1195"], name="second")
    session.connect()
    return session


def test_it_is_what_the_kernel_says(lab: Lab) -> None:
    begun = int(time.time())
    lab.server(pushes=(*USUAL_PUSHES, PRIVATE, "route 198.19.8.0 255.255.255.0 net_gateway", "redirect-gateway def1"))
    lab.supervisor()
    session = begin(lab)
    session.connect()
    until(lambda: any(one.startswith("fe80:") for one in status(lab, "alice")[0]["addresses"]))  # the kernel's own
    [shown] = status(lab, "alice", "work")
    device = shown["device"]
    [link] = kernel(lab, "address", "show", "dev", device)
    assert shown["mtu"] == link["mtu"]
    assert shown["addresses"] == [f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"]]
    routes = [
        one["dst"].replace("default", "0.0.0.0/0" if version == "-4" else "::/0")
        for version in ("-4", "-6")
        for table in ("main", "5300")
        for one in kernel(lab, version, "route", "show", "table", table, "dev", device)
    ]
    through = [one["destination"] for one in shown["routes"] if one["way"] == "tunnel"]
    assert sorted(one.removesuffix("/32") for one in through) == sorted(routes)
    assert [one["table"] for one in shown["routes"] if one["destination"] == "0.0.0.0/0"] == [5300]
    assert shown["rules"] == ["IPv4 5320: lookup 5300"]
    assert shown["default_route"] == ["IPv4"]
    assert shown["gateways"][0] == TUNNEL_ADDRESS
    assert (shown["connected"], shown["last_error"], shown["unknown"]) == (True, None, [])
    assert shown["cipher"] == "AES-256-GCM" and shown["tls"].startswith("TLSv1.3 TLS_")
    assert begun <= shown["last_handshake"] <= shown["connected_since"] <= time.time()
    assert shown["bytes_in"] > 0 and shown["connected_to"]["port"] == 1194
    assert shown["not_in_force"] == [] and shown["more_routes"] == 0
    text = lab.ovpnctl("alice", "status", device).stdout
    assert "IPv4 through the tunnel\n" in text and f"Gateway: {TUNNEL_ADDRESS}\n" in text
    lab.client_side.run(["ip", "rule", "del", "priority", "5310"])
    lab.client_side.run(["ip", "address", "add", "198.19.99.1/32", "dev", device])
    assert "198.19.99.1/32" in status(lab, "alice", session.path)[0]["addresses"]


def test_what_is_pending_and_what_is_left_out(lab: Lab) -> None:
    lab.server(pushes=(*USUAL_PUSHES, PRIVATE, "redirect-gateway def1"))
    lab.supervisor()
    first = begin(lab)
    first.connect()
    second(lab, "alice", PRIVATE, "redirect-gateway def1", "route 198.51.100.0 255.255.255.0")
    shown = {one["config_name"]: one for one in status(lab, "alice")}["second"]
    assert shown["not_in_force"] == [
        {"what": "default route", "why": "another session of the same user has it"},
        {"what": "route 198.19.7.0/24", "why": "another session of the same user has it"},
    ]
    assert shown["default_route"] == []
    assert shown["notices"][0].startswith("route 198.51.100.0/24 left out: covers the server's own address")
    text = lab.ovpnctl("alice", "status", "second").stdout
    assert text.count("another session of the same user has it") == 2
    assert "Notices: route 198.51.100.0/24 left out" in text
    assert "not in force: default route" in lab.ovpnctl("alice", "status").stdout
    first.call("Disconnect")
    until(lambda: status(lab, "alice", "second")[0]["not_in_force"] == [])
    [shown] = status(lab, "alice", "second")
    assert shown["default_route"] == ["IPv4"]
    assert "198.19.7.0/24" in [one["destination"] for one in shown["routes"]]


def test_sessions_that_are_not_connected(lab: Lab) -> None:
    lab.supervisor()
    assert status(lab, "alice", exit_status=CommandExit.NOT_CONNECTED) == []
    assert lab.ovpnctl("alice", "status").stdout == "No sessions available\n"
    assert lab.ovpnctl("alice", "status", "work").returncode == CommandExit.REFUSED
    session = begin(lab)
    [shown] = status(lab, "alice", exit_status=CommandExit.NOT_CONNECTED)
    assert (shown["connected"], shown["connected_since"], shown["addresses"]) == (False, None, [])
    session.call("Connect")  # nobody answers there
    lab.server()
    session.wait(7, deadline=60)
    session.call("Pause", "s", "lunch")
    session.wait(14)
    [shown] = status(lab, "alice", "work", exit_status=CommandExit.NOT_CONNECTED)
    assert (shown["connected"], shown["connected_since"], shown["routes"]) == (False, None, [])
    assert "not connected (Connection, Client connection paused" in lab.ovpnctl("alice", "status", "work").stdout


def test_only_readers_are_told(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    bob = lab.connection("bob")
    assert bob.get_all(session.path, STATUS) == {}
    with pytest.raises(BusError, match="Access denied"):
        bob.get(session.path, "addresses", STATUS)
    with pytest.raises(BusError, match="No such property"):
        session.user.get(session.path, "nothing", STATUS)
    assert "Access denied" in lab.ovpnctl("bob", "status", session.path).stderr
    session.call("AccessGrant", "u", ACCOUNTS["bob"].uid)
    assert bob.get(session.path, "cipher", STATUS) == status(lab, "bob", "work")[0]["cipher"] == "AES-256-GCM"


def test_the_last_exchange_of_keys(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab, more=["reneg-sec 2 2"])
    session.connect()
    first = session.user.get(session.path, "last_handshake", STATUS)
    until(lambda: session.user.get(session.path, "last_handshake", STATUS) > first)
    assert session.user.get(session.path, "connected_since", STATUS) <= first + 5


def test_many_routes_are_counted_and_others_connect_while_somebody_asks_for_them(lab: Lab) -> None:
    lab.server(pushes=USUAL_PUSHES)
    lab.supervisor()
    session = begin(lab, more=[f"route 10.{n // 200}.{n % 200}.0 255.255.255.0" for n in range(1000)])
    session.connect()
    asking = [lab.start_as_user("alice", [OVPNCTL, "status", "work", "--json"]) for _ in range(8)]
    second(lab, "bob")
    for one in asking:
        assert one.wait() == 0
    [shown] = status(lab, "alice", "work")
    assert len(shown["routes"]) == MAX_SHOWN_ROUTES
    assert MAX_SHOWN_ROUTES + shown["more_routes"] >= 1000
    assert f"and {shown['more_routes']} more\n" in lab.ovpnctl("alice", "status", "work").stdout
