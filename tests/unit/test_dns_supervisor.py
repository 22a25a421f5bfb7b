"""Who gets which names, what counts as the machine's own name servers, and which back end is chosen."""

import sys
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import pytest

from ...policy.dns import BackEnd, DnsSettings, NameServer
from ...policy.machine.dns_backend import choose
from ...policy.resolv_conf import with_servers
from ...supervisor.dns.claims import Grant, NameClaims
from ...supervisor.network import name_servers
from ...supervisor.network.name_servers import MachineNameServers, ResolvConf
from ...supervisor.network.prefixes import Host

ALICE, BOB = 4001, 4002
SERVER = (NameServer("198.18.0.1"),)
ALL = DnsSettings(SERVER)


def split(*domains: str) -> DnsSettings:
    return DnsSettings(SERVER, domains, everything=False)


def test_the_first_session_has_all_names_until_it_ends() -> None:
    claims = NameClaims()
    assert claims.request("tun0", "s0", ALICE, ALL).settings == ALL
    second = claims.request("tun1", "s1", ALICE, DnsSettings(SERVER, ("corp.example",)))
    assert second.settings == split("corp.example") and second.usable
    assert second.warnings == (
        "the tunnel's name servers for all names are pending: another session of the same user has them",
    )
    assert second.notes == ("name servers for all names wait for session s0 of user 4001",)
    assert claims.again() == []
    claims.release("tun0")
    [(device, grant)] = claims.again()
    assert (device, grant.settings, grant.warnings) == ("tun1", DnsSettings(SERVER, ("corp.example",)), ())
    assert claims.again() == []


def test_another_users_domains_wait_where_they_lie_in_ones_of_the_first() -> None:
    claims = NameClaims()
    claims.request("tun0", "s0", ALICE, split("corp.example"))
    assert not claims.request("tun1", "s1", BOB, split("a.CORP.example", "corp.example")).usable
    assert claims.request("tun2", "s2", BOB, split("xcorp.example")).warnings == ()
    assert claims.request("tun3", "s3", ALICE, split("a.corp.example")).warnings == ()
    assert claims.request("tun4", "s4", BOB, ALL).warnings == ()
    assert not claims.request("tun5", "s5", ALICE, split("other.example")).usable
    claims.release("tun0")
    claims.release("tun3")
    [(device, grant)] = claims.again()
    assert (device, grant.settings) == ("tun1", split("a.CORP.example", "corp.example"))


def test_who_asks_again_keeps_what_it_had() -> None:
    claims = NameClaims()
    claims.request("tun0", "s0", ALICE, split("corp.example"))
    claims.request("tun1", "s1", ALICE, ALL)
    assert claims.request("tun0", "s0", ALICE, DnsSettings(SERVER, ("corp.example",))).settings == split("corp.example")


def test_domains_that_a_session_no_longer_asks_for_go_to_whom_waits() -> None:
    claims = NameClaims()
    claims.request("tun0", "s0", ALICE, split("a.example", "b.example"))
    assert not claims.request("tun1", "s1", BOB, split("A.example")).usable
    assert claims.request("tun0", "s0", ALICE, split("b.example")).settings == split("b.example")
    assert claims.again() == []  # the back end may not know yet
    claims.give_up("tun0")
    assert claims.again() == [("tun1", Grant(split("A.example")))]
    assert not claims.request("tun0", "s0", ALICE, split("a.example", "b.example")).settings.domains[1:]


def test_many_that_wait_cost_nothing_when_others_end() -> None:
    """Only what a domain was in the way of is looked at, by that domain: not each against each."""
    claims = NameClaims()
    names = [tuple(f"d{number}.s{session}.example" for number in range(32)) for session in range(100)]
    for session, domains in enumerate(names):
        claims.request(f"tun{session}", "s", ALICE, split(*domains))
        claims.request(f"more{session}", "s", BOB, split(*(f"x.{domain}" for domain in names[-1])))
    claims.request("last", "s", BOB, ALL)
    claims.release("last")
    compared = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal compared
        compared += event == "call"

    sys.setprofile(count)
    try:
        assert claims.again() == []
    finally:
        sys.setprofile(None)
    assert compared < 1000


def test_the_machines_name_servers_are_not_those_of_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "resolv.conf"
    monkeypatch.setattr(name_servers, "_FILES", (file, tmp_path / "none"))
    machine = MachineNameServers()
    own, lent = (Host.of(ip_address(text)) for text in ("192.0.2.53", "198.18.0.1"))
    file.write_text("nameserver 192.0.2.53\nnameserver 127.0.0.53\n")
    assert machine.own() == {own}
    # What the machine has stays its own, also when a session names it.
    machine.lend("tun0", ["198.18.0.1", "192.0.2.53"])
    file.write_text("nameserver 198.18.0.1\nnameserver 192.0.2.53\n")
    assert machine.own() == {own}
    machine.lend("tun0", ["198.18.0.1", "192.0.2.53"])
    assert machine.own() == {own}
    machine.give_back("tun0")
    assert machine.own() == {own}  # the file is a moment late
    file.write_text("nameserver 192.0.2.53\n")
    assert machine.own() == {own}
    file.write_text("nameserver 198.18.0.1\n")
    assert machine.own() == {lent}


def add_polkit(root: Path) -> None:
    services = root / "usr/share/dbus-1/system-services"
    services.mkdir(parents=True)
    (services / "org.freedesktop.PolicyKit1.service").touch()


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("../run/systemd/resolve/stub-resolv.conf", ""),
        ("../run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53"),
        ("/usr/lib/systemd/resolv.conf", ""),
        ("", "# comment\nnameserver 127.0.0.53\noptions edns0"),
    ],
)
def test_resolved_is_used_where_programs_ask_it(tmp_path: Path, target: str, text: str) -> None:
    usual = tmp_path / "etc/resolv.conf"
    usual.parent.mkdir()
    if target:
        usual.symlink_to(f"{tmp_path}{target}" if target.startswith("/") else target)
        there = usual.resolve()
        there.parent.mkdir(parents=True)
        there.write_text(text)
    else:
        usual.write_text(text)
    assert choose("auto", tmp_path).kind == "resolvectl"
    add_polkit(tmp_path)
    assert choose("auto", tmp_path).kind == "resolved"


@pytest.mark.parametrize("option", ["resolved", "resolvconf", "file", "none"])
def test_the_administrators_choice_counts(tmp_path: Path, option: BackEnd) -> None:
    add_polkit(tmp_path)
    assert choose(option, tmp_path).kind == option


@pytest.mark.parametrize(
    ("program", "target", "kind"),
    [
        ("# Copyright (c) 2007-2020 Roy Marples", "", "openresolv"),
        ("# the resolvconf package", "../run/resolvconf/resolv.conf", "resolvconf"),
        ("# the resolvconf package", "", "file"),  # it is installed, but nothing reads what it makes
        ("", "", "file"),
        ("resolvectl", "", "file"),
    ],
)
def test_what_maintains_resolv_conf_otherwise(tmp_path: Path, program: str, target: str, kind: str) -> None:
    for name in ("etc", "sbin", "usr/bin", "run/resolvconf"):
        (tmp_path / name).mkdir(parents=True)
    usual = tmp_path / "etc/resolv.conf"
    if target:
        usual.symlink_to(target)
    usual.write_text("nameserver 192.0.2.53\n")
    if program == "resolvectl":
        (tmp_path / "usr/bin/resolvectl").touch()
        (tmp_path / "sbin/resolvconf").symlink_to("../usr/bin/resolvectl")
    elif program:
        (tmp_path / "sbin/resolvconf").write_text(f"#!/bin/sh\n{program}\n")
    assert choose("auto", tmp_path).kind == kind


def test_without_a_file_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert choose("auto", tmp_path).kind == "none"


def test_what_programs_would_do_without_the_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "resolv.conf"
    monkeypatch.setattr(name_servers, "_FILES", (file, tmp_path / "none"))
    machine = MachineNameServers()
    assert machine.usual() == ResolvConf(("127.0.0.1",), ())
    before = "nameserver 127.0.0.1\nnameserver x\nnameserver fe80::1%eth0\nsearch a.example b.example\n"
    usual = ResolvConf(("127.0.0.1", "fe80::1%eth0"), ("a.example", "b.example"))
    file.write_text(before)
    assert machine.usual() == usual
    machine.lend("tun0", ["198.18.0.1"], alone=True)
    file.write_text(with_servers(before, ["198.18.0.1"], ["corp.example"]))
    assert machine.usual() == usual
    file.write_text("nameserver 198.18.0.1\n")  # as openresolv has it
    assert machine.usual() == usual
    file.write_text("nameserver 198.18.0.1\nnameserver 192.0.2.53\n")  # as Debian's resolvconf
    assert machine.usual() == ResolvConf(("192.0.2.53",), ())
    # Another program has written it anew, before ours are put back.
    file.write_text("nameserver 192.0.2.54\n")
    machine.lend("tun0", ["198.18.0.1"], alone=True)
    file.write_text("nameserver 198.18.0.1\n")
    assert machine.usual() == ResolvConf(("192.0.2.54",), ())
    assert machine.own() == {Host.of(ip_address("192.0.2.54"))}
