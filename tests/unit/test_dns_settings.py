"""Name servers and domains: what the options of profile and server ask for, and what is let through."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ...policy import dns
from ...policy.dns import DnsSettings, NameServer
from ...policy.limits import MAX_DNS_DOMAINS, MAX_NAME_SERVERS
from ...policy.network import NetworkSettings, PolicyViolation, check
from ...policy.profile.overrides import SessionOverrides, for_session
from ...worker.session.dns_settings import requested
from ...worker.session.pushed import Pushed

NOTHING = SessionOverrides()


def words(*options: str) -> list[tuple[str, ...]]:
    return [tuple(option.split(" ")) for option in options]


def wanted(*pushed: str, profile: tuple[str, ...] = (), overrides: SessionOverrides = NOTHING) -> DnsSettings | None:
    """What is asked for without a warning."""
    settings, warnings = requested(words(*profile), words(*pushed), overrides)
    assert warnings == []
    assert settings is None or dns.problem(settings) == ""
    return settings


def servers(*texts: str) -> tuple[NameServer, ...]:
    return tuple(NameServer(text) for text in texts)


def test_nothing_is_asked_for() -> None:
    assert wanted("route 203.0.113.0", "dhcp-option") is None


def test_every_kind_of_dhcp_option() -> None:
    assert wanted(
        "dhcp-option DNS 192.0.2.1",
        "dhcp-option DNS6 2001:db8::1",
        "dhcp-option dns 192.0.2.1",
        "dhcp-option DOMAIN a.example",
        "dhcp-option DOMAIN-SEARCH b.example.",
        "dhcp-option ADAPTER_DOMAIN_SUFFIX c.example",
        profile=("dhcp-option DNS 192.0.2.9", "dhcp-option DOMAIN a.example"),
    ) == DnsSettings(servers("192.0.2.9", "192.0.2.1", "2001:db8::1"), ("a.example", "b.example", "c.example"))


@pytest.mark.parametrize("kind", ["NTP", "WINS", "NBT", "DISABLE-NBT", "PROXY_HTTP", "\x1b"])
def test_kinds_without_effect_are_named(kind: str) -> None:
    settings, warnings = requested((), [("dhcp-option", kind, "192.0.2.1")], NOTHING)
    assert settings is None
    assert warnings == [f"dhcp-option {kind.upper()} has no effect on Linux: left out"]


def test_domains_to_route_by_make_it_the_tunnels_scope_unless_they_are_all() -> None:
    split = wanted("dhcp-option DNS 192.0.2.1", "dhcp-option DOMAIN-ROUTE corp.example")
    assert split == DnsSettings(servers("192.0.2.1"), routing=("corp.example",), everything=False)
    for everything in (".", "~."):
        whole = wanted("dhcp-option DNS 192.0.2.1", f"dhcp-option DOMAIN-ROUTE {everything}")
        assert whole == DnsSettings(servers("192.0.2.1"))
    scoped = for_session({"dns-scope": "global"})
    assert wanted(
        "dhcp-option DNS 192.0.2.1", "dhcp-option DOMAIN-ROUTE corp.example", overrides=scoped
    ) == DnsSettings(servers("192.0.2.1"), routing=("corp.example",))


def test_the_dns_option_in_full() -> None:
    assert wanted(
        "dns search-domains a.example b.example",
        "dns server 2 address 192.0.2.2",
        "dns server 1 address 192.0.2.1:5353 [2001:db8::1]:853 2001:db8::2 [2001:db8::3]",
        "dns server 1 resolve-domains corp.example",
        "dns server 1 dnssec optional",
        "dns server 1 transport DoT",
        "dns server 1 sni dns.example",
        "dhcp-option DNS 192.0.2.9",
    ) == DnsSettings(
        (
            NameServer("192.0.2.1", 5353, "dns.example"),
            NameServer("2001:db8::1", 853, "dns.example"),
            NameServer("2001:db8::2", 0, "dns.example"),
            NameServer("2001:db8::3", 0, "dns.example"),
        ),
        ("a.example", "b.example"),
        ("corp.example",),
        everything=False,
        over_tls=True,
        dnssec="optional",
    )


def test_the_servers_word_counts_more_than_the_profiles() -> None:
    profile = ("dns server 0 address 192.0.2.9", "dns server 0 dnssec yes")
    assert wanted("dns server 0 address 192.0.2.1", profile=profile) == DnsSettings(servers("192.0.2.1"), dnssec="yes")


def test_what_a_server_pushes_as_any_engine_logs_it() -> None:
    """2.7 tells it nowhere else; options that the profile filters are not taken."""
    pushed = Pushed([("pull-filter", "ignore", "dhcp-option DOMAIN")])
    options = "dhcp-option DNS 192.0.2.1,dhcp-option DOMAIN a.example,dns search-domains b.example,topology subnet"
    assert pushed.heard(f"PUSH: Received control message: 'PUSH_REPLY,{options}'")
    assert requested((), pushed.options, NOTHING) == (DnsSettings(servers("192.0.2.1"), ("b.example",)), [])
    unwilling = Pushed([("route-nopull",)])
    unwilling.heard(f"PUSH: Received control message: 'PUSH_REPLY,{options}'")
    assert requested((), unwilling.options, NOTHING) == (None, [])


def test_the_first_usable_server_is_used() -> None:
    pushed = words("dns server -3 address 192.0.2.1", "dns server -3 transport DoH", "dns server 4 address 192.0.2.2")
    settings, warnings = requested((), pushed, NOTHING)
    assert settings == DnsSettings(servers("192.0.2.2"))
    assert warnings == ["dns server -3 is left out: transport 'DoH' is not supported"]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("dhcp-option DNS 127.0.0.1", "name server '127.0.0.1' is left out: is an address of this machine"),
        ("dhcp-option DNS ::1", "left out"),
        ("dhcp-option DNS ::ffff:127.0.0.1", "left out"),
        ("dhcp-option DNS fe80::1%lo", "left out"),
        ("dhcp-option DNS 224.0.0.251", "left out"),
        ("dhcp-option DNS 0.0.0.0", "left out"),
        ("dhcp-option DNS name.example", "name server 'name.example' is left out: is not an address"),
        ("dns server 0 address 192.0.2.1:99999", "impossible port"),
        ("dns server 0 address [2001:db8::1]x", "impossible port"),
        ("dns server 0 address 192.0.2.1:x", "impossible port"),
        ("dns server 200 address 192.0.2.1", "the number is not from -128 to 127"),
        ("dns server x address 192.0.2.1", "the number is not"),
        ("dns server 0 colour red", "dns server 0 'colour' is unknown"),
        ("dns server 0 dnssec maybe", "is unknown"),
        ("dns nonsense", "dns 'nonsense' is unknown"),
        ("dhcp-option DOMAIN a.example", "domains without a name server"),
    ],
)
def test_what_is_left_out_is_told(option: str, said: str) -> None:
    settings, warnings = requested((), words(option), NOTHING)
    assert settings is None
    assert any(said in warning for warning in warnings), warnings


@pytest.mark.parametrize("domain", ["bad..name", "-x.example", "x" * 64, "a b", "ü.example", ".".join(["x" * 60] * 5)])
def test_what_is_no_domain_is_left_out(domain: str) -> None:
    pushed = [("dhcp-option", "DNS", "192.0.2.1"), ("dhcp-option", "DOMAIN", domain)]
    settings, warnings = requested((), pushed, NOTHING)
    assert settings == DnsSettings(servers("192.0.2.1"))
    assert warnings == [f"{domain[:64]!r} is no domain: left out"]


def test_more_than_there_may_be() -> None:
    pushed = words(
        *(f"dhcp-option DNS 192.0.2.{number}" for number in range(1, 100)),
        *(f"dhcp-option DOMAIN-SEARCH d{number}.example" for number in range(100)),
        "dhcp-option DOMAIN-ROUTE r.example",
    )
    settings, warnings = requested((), pushed, NOTHING)
    assert settings is not None and dns.problem(settings) == ""
    assert (len(settings.servers), len(settings.search)) == (MAX_NAME_SERVERS, MAX_DNS_DOMAINS)
    assert len(warnings) == 2


def test_overrides() -> None:
    pushed = ("dhcp-option DNS 192.0.2.1", "dhcp-option DOMAIN corp.example")
    tunnel = wanted(*pushed, overrides=for_session({"dns-scope": "tunnel"}))
    assert tunnel == DnsSettings(servers("192.0.2.1"), ("corp.example",), everything=False)
    settings, warnings = requested((), words(*pushed), for_session({"dns-setup-disabled": True}))
    assert settings is None and warnings == ["name servers are left as they are (dns-setup-disabled)"]
    assert requested((), (), for_session({"dns-setup-disabled": True})) == (None, [])
    google = for_session({"dns-fallback-google": True})
    assert wanted(*pushed, overrides=google) == DnsSettings(servers("192.0.2.1"), ("corp.example",))
    settings, warnings = requested((), (), google)
    assert settings == DnsSettings(servers("8.8.8.8", "8.8.4.4"))
    assert warnings == ["no name server was given: 8.8.8.8, 8.8.4.4 (dns-fallback-google)"]
    assert wanted("dhcp-option DNS 192.0.2.1", overrides=for_session({"dns-sync-lookup": True})) is not None


@pytest.mark.parametrize(
    "settings",
    [
        DnsSettings(()),
        DnsSettings(servers(*["192.0.2.1"] * (MAX_NAME_SERVERS + 1))),
        DnsSettings(servers("192.0.2.1"), ("a.example",) * MAX_DNS_DOMAINS, ("b.example",)),
        DnsSettings(servers("127.0.0.53")),
        DnsSettings(servers("nobody")),
        DnsSettings((NameServer("192.0.2.1", 65536),)),
        DnsSettings((NameServer("192.0.2.1", 0, "not a name"),)),
        DnsSettings((NameServer("192.0.2.1", 0, "."),)),
        DnsSettings(servers("192.0.2.1"), ("bad..name",)),
        DnsSettings(servers("192.0.2.1"), (".",)),
        DnsSettings(servers("192.0.2.1"), routing=("line\nbreak",)),
        DnsSettings(servers("192.0.2.1"), routing=("",)),
    ],
)
def test_a_worker_that_asks_for_what_is_not_allowed_breaks_the_rules(settings: DnsSettings) -> None:
    with pytest.raises(PolicyViolation, match="DNS: "):
        check(NetworkSettings(1500, (), (), "198.51.100.1", settings))


OPTIONS = st.lists(
    st.lists(
        st.sampled_from(["dns", "dhcp-option", "server", "0", "-1", "address", "DNS", "DOMAIN", "DOMAIN-ROUTE", "sni"])
        | st.sampled_from(["transport", "dnssec", "DoT", "yes", "resolve-domains", "search-domains", "~.", "[::1]:5"])
        | st.ip_addresses().map(str)
        | st.text(max_size=8),
        min_size=1,
        max_size=6,
    ),
    max_size=8,
)


@given(OPTIONS, OPTIONS, st.sampled_from(["", "global", "tunnel"]))
def test_whatever_comes_what_is_asked_for_is_allowed(
    profile: list[list[str]], pushed: list[list[str]], scope: str
) -> None:
    settings, _ = requested(profile, pushed, for_session({"dns-scope": scope}))
    assert settings is None or dns.problem(settings) == ""
