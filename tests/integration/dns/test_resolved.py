"""Name servers of sessions by systemd-resolved, with polkit: who is asked for which name, and what is left."""

import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from ...lab.connection import CONFIGURATION, SESSIONS, BusClient
from ...lab.lab import Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS, USUAL_PUSHES
from ...lab.private_etc import OF_RESOLV_CONF
from ...lab.processes import LabError
from ...support.sessions import CONNECTED, FAILED, UserSession, kill_with_sessions, until

LAN, TUNNEL, OTHER = "192.0.2.80", "203.0.113.80", "203.0.113.81"
WWW, CORP = "www.example", "host.corp.example"
OTHER_TUNNEL = "198.18.1.1"
DNS = f"dhcp-option DNS {TUNNEL_ADDRESS}"
DOMAIN = "dhcp-option DOMAIN corp.example"
STATUS = "net.openvpn.v3.sessions.status"
NAMES = ("name_servers", "domains", "pending")


class Place:
    """A machine with resolved, which knows the LAN's name server; one behind the tunnel gives other answers."""

    def __init__(
        self,
        lab: Lab,
        *pushes: str,
        options: Sequence[str] = (),
        port: int = 53,
        resolved: Mapping[str, bool] | None = None,
        names: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.lab = lab
        self.resolved = lab.resolved(**(resolved or {}))
        self.lan = lab.dns({WWW: [LAN], CORP: [LAN], **(names or {})}, only=False)
        if self.resolved.running:
            self.join_lan()
        lab.server(pushes=(*USUAL_PUSHES, *pushes))
        self.tunnel = lab.dns({WWW: [TUNNEL], CORP: [TUNNEL]}, address=TUNNEL_ADDRESS, port=port, only=False)
        self.options = options
        self.service = lab.supervisor(*options)
        self.before = self.state() if self.resolved.running else ""

    def join_lan(self) -> None:
        self.resolved.ctl("dns", "cable", SERVER_ADDRESS)

    def add_server(self, *pushes: str) -> None:
        """A second VPN server, whose name server gives a third answer."""
        self.lab.server(port=1195, subnet="198.18.1.0", subnet6="2001:db8:4::/64", pushes=pushes)
        self.lab.dns({WWW: [OTHER], CORP: [OTHER]}, address=OTHER_TUNNEL, only=False)

    def session(
        self,
        user: BusClient | None = None,
        *,
        server: str = SERVER_ADDRESS,
        port: int = 1194,
        **overrides: str | bool,
    ) -> UserSession:
        """A session that is not connected."""
        owner = user or self.lab.connection("alice")
        profile = owner.import_profile("work", self.lab.profile(remotes=[f"{server} {port}"]))
        for name, value in overrides.items():
            kind = "b" if isinstance(value, bool) else "s"
            owner.call(profile, CONFIGURATION, "SetOverride", "sv", name.replace("_", "-"), [kind, value])
        return UserSession(owner, profile, owner.new_tunnel(profile))

    def strict_session(self) -> UserSession:
        """One of alice's that cannot do without name servers."""
        owner = self.lab.connection("alice")
        profile = owner.import_profile("work", self.lab.profile())
        owner.set_setting(profile, "dns-required", True)
        return UserSession(owner, profile, owner.new_tunnel(profile))

    def connected(
        self, user: BusClient | None = None, *, server: str = SERVER_ADDRESS, port: int = 1194, **overrides: str | bool
    ) -> UserSession:
        made = self.session(user, server=server, port=port, **overrides)
        made.connect()
        return made

    def address_of(self, name: str) -> str:
        """What a program gets for a name."""
        done = self.lab.client_side.run(["getent", "ahostsv4", name], "alice")
        return done.stdout.split()[0] if done.stdout else ""

    def says(self, text: str) -> None:
        """Wait for a line of the service's log."""
        self.service.process.wait_line(re.escape(text))

    @property
    def answers(self) -> tuple[str, str]:
        """What a program gets for a name that everybody knows, and one in the pushed domain."""
        return self.address_of(WWW), self.address_of(CORP)

    def state(self) -> str:
        """What resolved has set for its links, and what it writes for programs."""
        rows = [self.resolved.ctl(what) for what in ("dns", "domain", "default-route", "dnsovertls", "dnssec")]
        files = sorted(one.name for one in Path("/run/systemd/resolve/netif").iterdir())
        return "".join((*rows, *files, OF_RESOLV_CONF.read_text()))

    def restored(self) -> None:
        """Check that all is as it was, which resolved makes it a moment after a device has gone."""

        def is_restored() -> bool:
            try:
                return self.state() == self.before
            except LabError:  # a device went while resolvectl listed all
                return False

        until(is_restored)


def inspected(session: UserSession, name: str) -> Any:
    return session.user.get(session.path, name, "net.openvpn.v3.sessions.inspect")


def test_all_names_are_looked_up_through_the_tunnel_while_it_is_up(lab: Lab) -> None:
    place = Place(lab, DNS, DOMAIN)
    assert place.answers == (LAN, LAN)
    session = place.connected()
    assert place.answers == (TUNNEL, TUNNEL)
    assert place.address_of("host") == TUNNEL  # the domain is searched
    place.says("198.18.0.1 by systemd-resolved for all names")
    assert inspected(session, "name_servers") == [TUNNEL_ADDRESS]
    assert inspected(session, "domains") == [".", "corp.example"]
    assert inspected(session, "dns_backend") == (
        "systemd-resolved (/etc/resolv.conf is a link to its stub-resolv.conf)"
    )
    assert inspected(session, "notices") == []
    session.call("Disconnect")
    assert place.answers == (LAN, LAN)
    place.restored()


def test_with_the_scope_tunnel_only_names_in_its_domains(lab: Lab) -> None:
    place = Place(lab, DNS, DOMAIN)
    session = place.connected(dns_scope="tunnel")
    assert place.answers == (LAN, TUNNEL)
    session.call("Disconnect")
    place.restored()


def test_with_the_scope_tunnel_and_no_domain_nothing(lab: Lab) -> None:
    place = Place(lab, DNS)
    session = place.connected(dns_scope="tunnel")
    assert place.answers == (LAN, LAN)
    place.says("the name servers are for nothing: dns-scope is tunnel, and no domain was given")
    session.call("Disconnect")


def test_a_server_may_give_ports_and_the_domains_that_it_knows(lab: Lab) -> None:
    pushes = (f"dns server 1 address {TUNNEL_ADDRESS}:5353", "dns server 1 resolve-domains corp.example")
    place = Place(lab, *pushes, "dns search-domains corp.example", port=5353)
    session = place.connected()
    assert place.answers == (LAN, TUNNEL)
    session.call("Disconnect")
    place.restored()


def test_a_server_may_want_them_asked_over_tls_and_verified(lab: Lab) -> None:
    of_server = ("address 192.0.2.7", "transport DoT", "sni dns.example", "dnssec optional")
    place = Place(lab, *(f"dns server 0 {one}" for one in of_server))
    session = place.connected()
    shown = {what: place.resolved.ctl(what, "tun0").split(": ")[1].strip() for what in ("dns", "dnsovertls", "dnssec")}
    assert shown == {"dns": "192.0.2.7#dns.example", "dnsovertls": "yes", "dnssec": "allow-downgrade"}
    session.call("Disconnect")
    place.restored()


def test_the_profiles_owner_may_want_them_for_all_names_or_none(lab: Lab) -> None:
    pushes = (f"dns server 1 address {TUNNEL_ADDRESS}", "dns server 1 resolve-domains corp.example")
    place = Place(lab, *pushes)
    session = place.connected(dns_scope="global")
    assert place.answers == (TUNNEL, TUNNEL)
    session.call("Disconnect")
    place.restored()
    session = place.connected(dns_setup_disabled=True)
    assert place.answers == (LAN, LAN)
    assert TUNNEL_ADDRESS not in place.state()
    session.call("Disconnect")


@pytest.mark.parametrize(
    ("resolved", "said"),
    [
        ({"with_rule": False}, "polkit does not let this service: its rule is not installed"),
        ({"on_bus": False}, "it does not run"),
    ],
)
def test_what_cannot_be_had_is_told_and_the_session_is_connected(
    lab: Lab, resolved: dict[str, bool], said: str
) -> None:
    place = Place(lab, DNS, DOMAIN, resolved=resolved)
    session = place.connected()
    text = f"name server {TUNNEL_ADDRESS}: not used by this machine: systemd-resolved: {said}"
    place.says(text)
    assert any(notice.startswith(text) for notice in inspected(session, "notices"))
    assert inspected(session, "name_servers") == []
    session.call("Disconnect")


def test_a_session_that_cannot_do_without(lab: Lab) -> None:
    """It connects with them, fails without, and ends when resolved comes back and no longer takes them."""
    place = Place(lab, DNS, DOMAIN)
    session = place.strict_session()
    session.connect()
    assert place.answers == (TUNNEL, TUNNEL)
    other = place.strict_session()
    other.call("Connect")
    text = other.wait(FAILED)[2]
    assert "dns-required" in text and "for all names are pending: another session of the same user has them" in text
    assert place.answers == (TUNNEL, TUNNEL)
    [polkit] = [one for one in psutil.process_iter(["name"]) if one.info["name"] == "polkitd"]
    before = session.seen
    polkit.send_signal(signal.SIGSTOP)
    try:
        place.resolved.stop()
        place.resolved.start()
        text = session.wait(FAILED, before, deadline=60)[2]
        assert text.startswith("DNS, which the setting dns-required") and "systemd-resolved: " in text
    finally:
        polkit.send_signal(signal.SIGCONT)


def test_without_polkit_a_process_of_roots_does_it(lab: Lab) -> None:
    pushes = (f"dns server 0 address {TUNNEL_ADDRESS}:5353", "dns server 0 resolve-domains corp.example")
    place = Place(lab, *pushes, port=5353, resolved={"with_polkit": False})
    place.says("there is no polkit")
    session = place.connected()
    assert place.answers == (LAN, TUNNEL)
    assert "~corp.example" in place.state()
    session.call("Disconnect")
    place.restored()


def test_a_polkit_that_stands_still_keeps_nobody_from_connecting(lab: Lab) -> None:
    place = Place(lab, DNS)
    session = place.session()
    [polkit] = [one for one in psutil.process_iter(["name"]) if one.info["name"] == "polkitd"]
    polkit.send_signal(signal.SIGSTOP)
    try:
        session.call("Connect")
        session.wait(CONNECTED, deadline=30)
        place.says("systemd-resolved: it does not answer in")
    finally:
        polkit.send_signal(signal.SIGCONT)
    session.call("Disconnect")
    place.restored()


@pytest.mark.changes_names
def test_a_resolved_that_starts_later_is_told(lab: Lab) -> None:
    place = Place(lab, DNS, resolved={"on_bus": False})
    session = place.connected()
    place.resolved.start()
    place.service.process.wait_line(f"name server {TUNNEL_ADDRESS}: in use now")
    assert place.answers == (TUNNEL, TUNNEL)
    session.call("Disconnect")
    until(lambda: TUNNEL_ADDRESS not in place.state())


def test_a_resolved_that_is_killed_and_started_again(lab: Lab) -> None:
    place = Place(lab, DNS)
    session = place.connected()
    place.resolved.process.signal(signal.SIGKILL)
    place.resolved.process.wait()
    place.resolved.start()
    place.lab.watcher.wait_owner("org.freedesktop.resolve1")
    until(lambda: place.answers == (TUNNEL, TUNNEL))
    session.call("Disconnect")
    place.restored()


def test_a_resolved_that_starts_anew_with_its_bus(lab: Lab) -> None:
    place = Place(lab, DNS)
    session = place.connected()
    place.resolved.process.signal(signal.SIGKILL)
    place.resolved.process.wait()
    lab.restart_bus()
    place.resolved.start()
    lab.watcher.wait_owner("org.freedesktop.resolve1")
    until(lambda: place.answers == (TUNNEL, TUNNEL))
    lab.watcher.wait_owner(SESSIONS)
    session.user = lab.connection("alice")
    session.call("Disconnect")
    place.restored()


@pytest.mark.parametrize("same_user", [True, False])
def test_of_two_sessions_the_first_has_all_names_until_it_ends(lab: Lab, same_user: bool) -> None:
    place = Place(lab, DNS)
    place.add_server(f"dhcp-option DNS {OTHER_TUNNEL}")
    first = place.connected()
    second = place.connected(lab.connection("alice" if same_user else "bob"), port=1195)
    assert place.answers == (TUNNEL, TUNNEL)
    whose = "another session of the same user" if same_user else "another user's session"
    place.says(f"the tunnel's name servers for all names are pending: {whose} has them")
    first.call("Disconnect")
    place.service.process.wait_line(f"name server {OTHER_TUNNEL}: in use now")
    assert place.answers == (OTHER, OTHER)
    second.call("Disconnect")
    place.restored()


def test_another_users_session_gets_no_domain_within_those_of_the_first(lab: Lab) -> None:
    place = Place(lab, DNS)
    place.add_server(f"dhcp-option DNS {OTHER_TUNNEL}", DOMAIN)
    first = place.connected()
    second = place.connected(lab.connection("bob"), port=1195, dns_scope="tunnel")
    assert place.answers == (TUNNEL, TUNNEL)
    second.call("Disconnect")
    until(lambda: "tun1" not in lab.client_side.devices())
    third = place.connected(lab.connection("alice"), port=1195, dns_scope="tunnel")
    assert place.answers == (TUNNEL, OTHER)
    first.call("Disconnect")
    third.call("Disconnect")
    place.restored()


@pytest.mark.parametrize("who", ["root", "refuse"])
def test_the_administrator_says_whose_name_servers_are_used(lab: Lab, who: str) -> None:
    place = Place(lab, DNS, options=(f"--dns={who}",))
    session = place.connected()
    assert place.answers == (LAN, LAN)
    whose = "only for root" if who == "root" else "for nobody"
    place.says(f"setting name servers is {whose} (--dns {who})")
    session.call("Disconnect")
    session = place.connected(lab.connection("root"))
    assert place.answers == ((TUNNEL, TUNNEL) if who == "root" else (LAN, LAN))
    session.call("Disconnect")
    place.restored()


def test_who_may_not_set_them_for_all_names_gets_them_for_the_tunnels_domains(lab: Lab) -> None:
    place = Place(lab, DNS, DOMAIN, options=("--dns-global=root",))
    session = place.connected()
    assert place.answers == (LAN, TUNNEL)
    why = "setting name servers for all names is only for root (--dns-global root)"
    place.says(f"name server {TUNNEL_ADDRESS}: only for names in corp.example: {why}")
    assert session.user.get(session.path, "pending", STATUS) == [[f"name server {TUNNEL_ADDRESS} for all names", why]]
    session.call("Disconnect")
    session = place.connected(lab.connection("root"))
    assert place.answers == (TUNNEL, TUNNEL)
    session.call("Disconnect")
    place.restored()


def test_routes_to_the_tunnels_own_name_server_survive_a_reconnection(lab: Lab) -> None:
    place = Place(lab, DNS)
    session = place.connected()
    routes = lab.client_side.routes("tun0")
    seen = session.seen
    session.call("Restart")
    session.wait(CONNECTED, since=seen)
    assert place.answers == (TUNNEL, TUNNEL)
    assert "a name server of this machine" not in place.service.log
    assert lab.client_side.routes("tun0") == routes
    session.call("Disconnect")
    place.restored()


def test_the_servers_name_is_not_looked_up_through_the_tunnel_that_is_down(lab: Lab) -> None:
    place = Place(lab, DNS, names={"vpn.example": [SERVER_ADDRESS]})
    session = place.connected(server="vpn.example", persist_tun=True)
    assert place.answers == (TUNNEL, TUNNEL)
    seen = session.seen
    session.call("Restart")
    session.wait(CONNECTED, since=seen, deadline=30)
    assert place.answers == (TUNNEL, TUNNEL)
    assert "asked vpn.example" in place.lan.text and "asked vpn.example" not in place.tunnel.text
    session.call("Disconnect")
    place.restored()


def test_a_killed_service_leaves_names_to_the_tunnel(lab: Lab) -> None:
    """Those who look names up notice nothing, before the next one and after."""
    place = Place(lab, DNS, DOMAIN)
    session = place.connected()
    place.service.process.signal(signal.SIGKILL)
    place.service.process.wait()
    assert place.answers == (TUNNEL, TUNNEL)
    service = lab.supervisor(*place.options)
    service.process.wait_line("Took over 1 session")
    assert place.answers == (TUNNEL, TUNNEL)
    assert session.user.get(session.path, "name_servers", STATUS) == [TUNNEL_ADDRESS]
    session.call("Disconnect")
    place.restored()


def test_killed_with_its_sessions_it_leaves_nothing_when_the_next_one_has_started(lab: Lab) -> None:
    place = Place(lab, DNS, DOMAIN)
    place.connected()
    assert place.answers == (TUNNEL, TUNNEL)
    kill_with_sessions(place.service.process)
    # A device that nobody holds is not asked.
    until(lambda: place.answers == (LAN, LAN))
    lab.supervisor(*place.options)
    place.restored()


def test_the_status_shows_what_resolved_has_and_what_it_does_not(lab: Lab) -> None:
    place = Place(lab, DNS, DOMAIN)
    place.add_server(f"dhcp-option DNS {OTHER_TUNNEL}", "dhcp-option DOMAIN other.example")
    session = place.connected()
    second = place.connected(port=1195)
    first, other = ({name: one.user.get(one.path, name, STATUS) for name in NAMES} for one in (session, second))
    assert first == {"name_servers": [TUNNEL_ADDRESS], "domains": [".", "corp.example"], "pending": []}
    waits = ["name servers for all names", "another session of the same user has them"]
    assert other == {"name_servers": [OTHER_TUNNEL], "domains": ["other.example"], "pending": [waits]}
    place.resolved.ctl("dns", "tun0", "203.0.113.53")  # the administrator
    place.resolved.ctl("domain", "tun0", "~admin.example")
    place.resolved.ctl("default-route", "tun0", "no")
    assert session.user.get(session.path, "name_servers", STATUS) == ["203.0.113.53"]
    assert session.user.get(session.path, "domains", STATUS) == ["~admin.example"]
    place.resolved.process.signal(signal.SIGSTOP)
    try:
        assert session.user.get(session.path, "unknown", STATUS) == ["systemd-resolved: it does not answer in 3 s"]
    finally:
        place.resolved.process.signal(signal.SIGCONT)
    session.call("Disconnect")
    until(lambda: second.user.get(second.path, "pending", STATUS) == [])
    second.call("Disconnect")


def test_the_status_says_why_name_servers_are_not_used(lab: Lab) -> None:
    place = Place(lab, DNS, resolved={"on_bus": False})
    session = place.connected()
    said = ["name server 198.18.0.1", "systemd-resolved: it does not run"]
    assert session.user.get(session.path, "pending", STATUS) == [said]
    assert session.user.get(session.path, "name_servers", STATUS) == []
