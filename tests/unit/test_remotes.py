"""Which address the engine tries next."""

import ipaddress
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import ProfileRefused, Proxy, Remote
from ...worker.session.remotes import Remotes

A, B, C = "198.51.100.1", "198.51.100.2", "2001:db8::3"
NOWHERE, NOWHERE6 = "255.255.255.255", "100::"


def remotes(*hosts: str, family: int = 0) -> Remotes:
    return Remotes(Remote(host, 1194 + number, "udp", None, family) for number, host in enumerate(hosts))


def hear(tried: Remotes, address: str) -> None:
    version = "AF_INET6" if ":" in address else "AF_INET"
    tried.heard(f"UDPv4 link remote: [{version}]{address}:1194")


def test_addresses_are_tried_in_order_then_the_name_is_looked_up_again() -> None:
    servers = remotes("a.example")
    assert servers.to_look_up() == ["a.example"] and not servers.usable
    servers.learned("a.example", (A, C, B))
    for address in (A, C, B):
        assert servers.to_look_up() == [] and servers.usable
        assert servers.hosts_file() == f"{address} a.example\n"
        hear(servers, address)
        servers.attempt_failed()
    assert servers.to_look_up() == ["a.example"] and not servers.usable


def test_only_the_name_that_was_tried_passes_on() -> None:
    servers = remotes("a.example", "b.example")
    servers.learned("a.example", (A, B))
    servers.learned("b.example", (C,))
    hear(servers, C)
    servers.attempt_failed()
    assert servers.to_look_up() == ["b.example"]
    assert servers.hosts_file() == f"{A} a.example\n{NOWHERE} b.example\n"
    servers.attempt_failed()  # nobody knows which: all pass on
    assert servers.hosts_file() == f"{B} a.example\n{NOWHERE} b.example\n"


def test_the_address_that_worked_comes_first_after_a_loss() -> None:
    servers = remotes("a.example", "b.example")
    servers.learned("a.example", (A, B))
    servers.learned("b.example", (C,))
    hear(servers, A)
    servers.attempt_failed()
    assert servers.connected(B, 1194) == Remote("a.example", 1194, "udp")
    servers.lost()
    # Then its others that are known, those tried before among them, then it is looked up again.
    for address in (B, A):
        assert servers.to_look_up() == []
        assert servers.hosts_file() == f"{address} a.example\n{C} b.example\n"
        hear(servers, address)
        servers.attempt_failed()
    assert servers.to_look_up() == ["a.example"]


def test_the_address_that_worked_is_tried_when_its_name_cannot_be_looked_up() -> None:
    servers = remotes("a.example")
    servers.learned("a.example", (A,))
    servers.connected(A, 1194)
    servers.lost()
    servers.attempt_failed()
    assert servers.to_look_up() == ["a.example"]
    servers.learned("a.example", ())
    assert servers.usable and servers.hosts_file() == f"{A} a.example\n"
    servers.attempt_failed()
    assert servers.to_look_up() == ["a.example"]
    servers.learned("a.example", (B,))
    assert servers.hosts_file() == f"{B} a.example\n"


def test_a_name_that_does_not_resolve_leads_nowhere_for_one_round() -> None:
    servers = remotes("a.example", "b.example")
    servers.learned("a.example", ())
    servers.learned("b.example", (B, A))
    assert servers.to_look_up() == []
    assert servers.hosts_file() == f"{NOWHERE} a.example\n{B} b.example\n"
    hear(servers, NOWHERE)
    assert servers.leads_nowhere
    servers.attempt_failed()
    assert not servers.leads_nowhere
    assert servers.to_look_up() == []
    assert servers.hosts_file().endswith(f"{B} b.example\n")
    assert servers.to_look_up() == ["a.example"]
    servers.learned("a.example", ())
    servers.forget_failures()
    assert servers.to_look_up() == ["a.example"]


def test_each_name_is_looked_up_once_a_round() -> None:
    names = [f"{number}.example" for number in range(40)]
    servers = remotes(*names)
    asked = 0
    for _ in names:
        for name in servers.to_look_up():
            asked += 1
            servers.learned(name, (A,) if name == names[-1] else ())
        servers.hosts_file()
        hear(servers, NOWHERE)
        servers.attempt_failed()
    assert asked == len(names)
    assert servers.to_look_up() == names[:-1]


def test_an_address_of_a_family_that_a_remote_does_not_want_is_told() -> None:
    servers = Remotes([Remote("a.example", 1194, "udp", None, 6, "a.example."), Remote("a.example", 1194, "udp")])
    assert servers.to_look_up() == ["a.example"]
    assert servers.learned("a.example", (A,)) == ["a.example has no IPv6 address, which its remote asks for"]
    assert servers.hosts_file() == f"{NOWHERE6} a.example.\n{A} a.example\n"
    assert servers.learned("a.example", ()) == []  # why, the resolver tells


def test_a_random_label_is_put_before_the_names_of_servers() -> None:
    proxied = Remote("b.example", 443, "tcp", Proxy("http", "proxy.example"))
    servers = Remotes([Remote("a.example", 1194, "udp"), proxied], random_names=True)
    first, of_proxy = servers.to_look_up()
    assert re.fullmatch(r"[0-9a-f]{12}\.a\.example", first) and of_proxy == "proxy.example"
    assert servers.to_look_up() == [first, of_proxy]  # until it is answered
    servers.learned(first, (A,))
    assert servers.hosts_file().startswith(f"{A} a.example\n")
    hear(servers, A)
    servers.attempt_failed()
    assert servers.to_look_up()[0] not in (first, "a.example")


@pytest.mark.parametrize(("family", "kept", "nowhere"), [(0, [A, C], NOWHERE), (4, [A], NOWHERE), (6, [C], NOWHERE6)])
def test_only_addresses_of_the_remotes_family_are_tried(family: int, kept: list[str], nowhere: str) -> None:
    servers = remotes("a.example", family=family)
    servers.learned("a.example", (A, C))
    for address in kept:
        assert servers.hosts_file() == f"{address} a.example\n"
        hear(servers, address)
        servers.attempt_failed()
    assert servers.hosts_file() == f"{nowhere} a.example\n"


def test_an_address_with_a_scope_is_not_tried() -> None:
    servers = remotes("a.example")
    servers.learned("a.example", ("fe80::1%eth0", "fe80::1%x\n192.0.2.1 bank.example", A))
    assert servers.hosts_file() == f"{A} a.example\n"


def test_addresses_need_no_look_up() -> None:
    servers = remotes(A, C)
    assert servers.to_look_up() == [] and servers.usable and servers.hosts_file() == ""
    servers.attempt_failed()
    servers.lost()
    assert servers.usable
    assert servers.connected(C, 1195).host == C
    assert servers.connected("192.0.2.9", 7).host == A  # who knows; the first


def test_ports_tell_remotes_of_one_name_apart() -> None:
    servers = remotes("a.example", "a.example")
    servers.learned("a.example", (A,))
    assert servers.connected(A, 1195).port == 1195
    assert servers.connected(A, 7).port == 1194


def test_through_a_proxy_its_name_is_looked_up_and_not_the_servers() -> None:
    servers = Remotes([Remote("a.example", 443, "tcp", Proxy("http", "proxy.example"))])
    assert servers.to_look_up() == ["proxy.example"]
    servers.learned("proxy.example", (A,))
    assert servers.connected(A, 8080).host == "a.example"
    direct = Remote("b.example", 1194, "udp")
    servers = Remotes([direct, Remote("a.example", 443, "tcp", Proxy("http", "proxy.example"))])
    servers.learned("b.example", (B,))
    servers.learned("proxy.example", (A,))
    assert servers.connected(A, 8080).host == "a.example"
    assert servers.connected(B, 1194) is direct
    assert not Remotes([Remote("a.example", 443, "tcp", Proxy("socks", A))]).to_look_up()


def test_over_udp_a_socks_proxy_is_not_told_the_name() -> None:
    servers = Remotes([Remote("a.example", 1194, "udp", Proxy("socks", "proxy.example"))])
    assert servers.to_look_up() == ["proxy.example", "a.example"]
    servers.learned("proxy.example", (B,))
    servers.learned("a.example", (A,))
    assert servers.hosts_file() == f"{B} proxy.example\n{A} a.example\n"
    assert servers.connected(A, 1194).host == "a.example"


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ("UDPv4 link remote: [AF_INET]198.51.100.1:1194", A),
        ("UDPv6 link remote: [AF_INET6]2001:db8::3:1194", C),
        ("TCPv4_CLIENT link remote: [AF_INET]198.51.100.2:443", B),
        ("Attempting to establish TCP connection with [AF_INET]198.51.100.1:443 [nonblock]", A),
        ("TCP/UDP: Preserving recently used remote address: [AF_INET]198.51.100.9:1194", ""),
        ("UDPv4 link local (bound): [AF_INET][undef]:1194", ""),
    ],
)
def test_hints_from_the_engines_log(line: str, address: str) -> None:
    servers = remotes("a.example")
    servers.heard(line)
    servers.heard("Initialization Sequence Completed")
    assert servers.tried == address


HOSTS = st.text(st.sampled_from("aA1.-_:%#\n\t '\"\\"), max_size=12) | st.text(max_size=8)
ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(
    ["", "x", "fe80::1%eth0", "fe80::1%x\n192.0.2.1 bank.example", f"{A} b.example", f"{A}\n", "1", "\u0661.1.1.1"]
)
LOG = st.tuples(st.sampled_from(["link remote: [AF_INET]", "connection with [AF_INET6]", ""]), ADDRESSES, HOSTS)
LINE = re.compile(r"(\S+) [A-Za-z0-9_.:%-]+")


@given(st.lists(HOSTS, min_size=1, max_size=4), st.data())
def test_the_hosts_file_has_only_addresses_and_names(hosts: list[str], data: st.DataObject) -> None:
    lines = [f'remote "{host}"\n' for host in hosts]
    try:
        compiled = compile_profile("client\ndev tun\n<ca>\nCA\n</ca>\nremote a.example\n" + "".join(lines))
    except ProfileRefused:
        compiled = compile_profile("client\ndev tun\n<ca>\nCA\n</ca>\nremote a.example\nremote b%-_.example\n")
    servers = Remotes(compiled.remotes)
    names = {remote.alias or remote.host for remote in compiled.remotes}
    for _ in range(data.draw(st.integers(1, 5))):
        for name in servers.to_look_up():
            servers.learned(name, tuple(data.draw(st.lists(ADDRESSES, max_size=4))))
        servers.learned(data.draw(HOSTS), (A,))  # an answer that nobody asked for
        servers.heard("".join(data.draw(LOG)))
        for line in servers.hosts_file().splitlines():
            match = LINE.fullmatch(line)
            assert match and "%" not in match[1] and ipaddress.ip_address(match[1])
            assert line.partition(" ")[2] in names
        servers.attempt_failed()
