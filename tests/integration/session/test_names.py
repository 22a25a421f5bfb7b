"""Servers by name: looked up outside the sandbox, each address tried, the good one first after a loss."""

import re

import pytest

from ....policy.dbus_numbers import StatusMinor
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS, SERVER_ADDRESS6
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.sessions import CONNECTED, FAILED, RECONNECTING, begin, processes_of_sessions, wait_gone

NAME = "vpn.example"
# Nobody has these, the cable swallows what is sent there; and getaddrinfo(3) puts both before the server's address.
SILENT = ["2001:db8:1::3", "198.51.100.3"]


@pytest.mark.parametrize("address", [SERVER_ADDRESS, SERVER_ADDRESS6])
def test_a_name_that_resolves(lab: Lab, address: str) -> None:
    lab.dns({NAME: [address]})
    lab.server(protocol="udp6" if ":" in address else "udp")
    lab.supervisor()
    session = begin(lab, remotes=[f"{NAME} 1194"])
    session.connect()
    assert session.get("connected_to") == ["udp", address, 1194]
    assert session.get("session_name") == NAME
    assert lab.echo(TUNNEL_ADDRESS, b"hello") == b"hello"


def test_a_slow_name_server_delays_its_session_only(lab: Lab) -> None:
    lab.dns({NAME: [SERVER_ADDRESS]}, delay=2.0)
    lab.server()
    lab.supervisor()
    slow = begin(lab, "slow", remotes=[f"{NAME} 1194"])
    quick = begin(lab, "quick", connection=slow.user)
    slow.call("Connect")
    quick.connect()
    assert slow.minors == [StatusMinor.CFG_OK, StatusMinor.CFG_OK, StatusMinor.CONN_CONNECTING]
    slow.wait(CONNECTED)


def test_a_dead_name_server_fails_the_session_in_time_naming_the_phase(lab: Lab) -> None:
    dns = lab.dns(dead=True)
    lab.supervisor("--connect-timeout=2")
    session = begin(lab, remotes=[f"{NAME} 1194"])
    session.call("Connect")
    dns.wait_line(f"asked {NAME}")
    _, _, text = session.wait(FAILED)
    assert text.startswith("No connection within 2 s (looking up its name)")
    wait_gone(processes_of_sessions())


def test_a_name_that_does_not_exist_is_named_in_the_failure(lab: Lab) -> None:
    lab.dns({})
    lab.supervisor("--connect-timeout=2")
    session = begin(lab, remotes=[f"{NAME} 1194"])
    session.call("Connect")
    _, _, text = session.wait(FAILED)
    assert f"cannot resolve {NAME}: Name or service not known" in text


def test_disconnect_cancels_a_look_up(lab: Lab) -> None:
    dns = lab.dns(dead=True)
    lab.supervisor()
    session = begin(lab, remotes=[f"{NAME} 1194"])
    session.call("Connect")
    dns.wait_line(f"asked {NAME}")
    session.call("Disconnect")
    wait_gone(processes_of_sessions())


def test_addresses_that_do_not_answer_are_passed_over_and_the_good_one_kept(lab: Lab) -> None:
    lab.dns({NAME: [*SILENT, SERVER_ADDRESS]})
    lab.server(more=["keepalive 1 3"])
    service = lab.supervisor()
    session = begin(lab, remotes=[f"{NAME} 1194"], more=["connect-timeout 1"])
    session.call("Connect")
    session.wait(CONNECTED, deadline=30)
    log = service.log
    for address in SILENT:
        assert re.search(rf"link remote: \[AF_INET6?\]{address}:1194", log)
    # After a loss the good address comes first: no other is tried.
    tried = log.count("link remote:")
    before = session.seen
    session.call("Restart")
    session.wait(RECONNECTING, before)
    session.wait(CONNECTED, before)
    assert service.log.count("link remote:") == tried + 1


def test_several_remotes_of_which_only_one_resolves_and_answers(lab: Lab) -> None:
    lab.dns({"second.example": [SILENT[1]], "third.example": [SERVER_ADDRESS]})
    lab.server()
    lab.supervisor()
    remotes = ["first.example 1194", "second.example 1194", "third.example 1194"]
    session = begin(lab, remotes=remotes, more=["connect-timeout 1"])
    session.call("Connect")
    session.wait(CONNECTED, deadline=30)
    assert session.get("session_name") == "third.example"


def test_many_names_of_which_most_do_not_resolve(lab: Lab) -> None:
    """The limit of look-ups at once binds the worker, and a quick one does not come to exceed it."""
    names = [f"vpn{number}.example" for number in range(8)]
    lab.dns({name: [SERVER_ADDRESS] if name == names[-1] else [] for name in names})
    lab.server()
    service = lab.supervisor()
    for _ in range(10):
        session = begin(lab, remotes=[f"{name} 1194" for name in names])
        session.connect()
        session.call("Disconnect")
    assert "is killed" not in service.log
