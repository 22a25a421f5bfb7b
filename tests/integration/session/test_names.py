"""Servers by name: looked up outside the sandbox, each address tried, the good one first after a loss."""

import re

import pytest

from ....policy.dbus_numbers import StatusMinor
from ...lab.lab import SOCKS_PORT, Lab
from ...lab.network import CABLE, SERVER_ADDRESS, SERVER_ADDRESS6, ip
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.sessions import CONNECTED, FAILED, RECONNECTING, begin, processes_of_sessions, wait_gone

NAME = "vpn.example"
MOVED_TO = "198.51.100.4"
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
    assert f"Cannot resolve {NAME}: Name or service not known" in text


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


def test_a_server_that_moves_is_looked_up_again(lab: Lab) -> None:
    """The old address once, then the others that are known, then a look-up."""
    ip("-n", lab.server_side.name, "address", "add", f"{MOVED_TO}/24", "dev", CABLE)
    dns = lab.dns({NAME: [SERVER_ADDRESS]}, address=SERVER_ADDRESS6)
    server = lab.server(more=["keepalive 1 3"])
    service = lab.supervisor()
    session = begin(lab, remotes=[f"{NAME} 1194"], more=["connect-timeout 1", "connect-retry 1 1"])
    session.connect()
    server.stop()
    dns.stop()
    lab.dns({NAME: [MOVED_TO]}, address=SERVER_ADDRESS6)
    lab.server(more=[f"local {MOVED_TO}"])
    before, tried = session.seen, service.log.count("link remote:")
    session.wait(RECONNECTING, before, deadline=30)
    session.wait(CONNECTED, before, deadline=60)
    assert session.get("connected_to") == ["udp", MOVED_TO, 1194]
    assert service.log.count("link remote:") == tried + 2


def test_the_other_addresses_of_a_name_are_tried_after_a_loss(lab: Lab) -> None:
    ip("-n", lab.server_side.name, "address", "add", f"{MOVED_TO}/24", "dev", CABLE)
    lab.dns({NAME: [SERVER_ADDRESS, MOVED_TO]}, address=SERVER_ADDRESS6)
    server = lab.server(more=["keepalive 1 3"])
    lab.supervisor()
    session = begin(lab, remotes=[f"{NAME} 1194"], more=["connect-timeout 1", "connect-retry 1 1"])
    session.connect()
    server.stop()
    lab.server(more=[f"local {MOVED_TO}"])
    before = session.seen
    session.wait(RECONNECTING, before, deadline=30)
    session.wait(CONNECTED, before, deadline=60)
    assert session.get("connected_to") == ["udp", MOVED_TO, 1194]


def test_a_random_label_below_which_alone_the_server_is_known(lab: Lab) -> None:
    dns = lab.dns({f"*.{NAME}": [SERVER_ADDRESS]})
    lab.server()
    lab.supervisor()
    session = begin(lab, remotes=[f"{NAME} 1194"], more=["remote-random-hostname"])
    session.connect()
    assert session.get("session_name") == NAME
    assert re.search(rf"^asked [0-9a-f]{{12}}\.{NAME}$", dns.text, re.MULTILINE)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_server_by_name_behind_a_socks_proxy(lab: Lab, protocol: str) -> None:
    """Over UDP the engine needs the server's address, else the proxy looks its name up."""
    lab.dns({NAME: [SERVER_ADDRESS], "proxy.example": [SERVER_ADDRESS]})
    proxy = lab.socks_proxy()
    lab.server(protocol=protocol)
    lab.supervisor()
    session = begin(lab, protocol=protocol, remotes=[f"{NAME} 1194"], more=[f"socks-proxy proxy.example {SOCKS_PORT}"])
    session.connect()
    assert session.get("connected_to") == [protocol, NAME, 1194]
    proxy.wait_line("^associate$" if protocol == "udp" else f"^connect {NAME}$")
    assert lab.echo(TUNNEL_ADDRESS, b"hello") == b"hello"


def test_one_name_of_both_families_that_has_an_address_of_one(lab: Lab) -> None:
    lab.dns({NAME: [SERVER_ADDRESS]})
    lab.server()
    service = lab.supervisor()
    session = begin(lab, remotes=[f"{NAME} 1194 udp6", f"{NAME} 1194 udp"])
    session.connect()
    assert session.get("connected_to") == ["udp", SERVER_ADDRESS, 1194]
    assert f"{NAME} has no IPv6 address, which its remote asks for" in service.log
    assert service.log.count("link remote:") == 2


def test_a_name_without_an_address_of_the_only_family_wanted(lab: Lab) -> None:
    lab.dns({NAME: [SERVER_ADDRESS]})
    service = lab.supervisor("--connect-timeout=5")
    session = begin(lab, remotes=[f"{NAME} 1194 udp6"])
    session.call("Connect")
    _, _, text = session.wait(FAILED, deadline=30)
    assert f"{NAME} has no IPv6 address, which its remote asks for" in text
    assert f"WARNING: {NAME} has no IPv6 address, which" in service.log


def test_an_address_that_is_not_of_the_family_wanted_is_left_out(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    session = begin(lab, remotes=[f"{SERVER_ADDRESS} 1194 udp6", f"{SERVER_ADDRESS} 1194 udp"])
    session.connect()
    assert f"remote {SERVER_ADDRESS} (line 4) is ignored: it is no IPv6 address" in service.log


def test_names_that_do_not_resolve_are_looked_up_once_a_round(lab: Lab) -> None:
    names = [f"vpn{number}.example" for number in range(12)]
    dns = lab.dns({name: [SILENT[1]] if name == names[-1] else [] for name in names})
    service = lab.supervisor()
    session = begin(lab, remotes=[f"{name} 1194" for name in names], more=["connect-timeout 1", "connect-retry 1 1"])
    session.call("Connect")
    since = 0
    for turn in (1, 2):
        service.process.wait_line(rf"link remote: \[AF_INET\]{SILENT[1]}", since=since, deadline=60)
        since = len(service.process.lines)
        assert dns.text.count("asked ") <= turn * 2 * len(names)  # A and AAAA of each
