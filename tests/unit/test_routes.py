"""The routes of profile and server: what is asked for, what is left out, what goes past the tunnel."""

import pytest

from ...ipc import messages
from ...policy.dbus_numbers import LogCategory
from ...policy.limits import MAX_LOOKUPS_PER_SESSION, MAX_ROUTE_NAMES, MAX_ROUTES, MAX_ROUTES_PAST
from ...policy.network import Address, Route, check
from ...policy.profile.overrides import SessionOverrides
from ...worker.profile.compiler import compile_profile
from ...worker.profile.values import Remote
from ...worker.session.network_settings import from_environment
from ...worker.session.phases import Phase
from ...worker.session.remotes import Remotes
from ...worker.session.routes import Routes
from ..support.bare_worker import BareWorker, bare_worker

SERVER = "198.51.100.1"
SUBNET = {"ifconfig_local": "198.18.0.2", "ifconfig_netmask": "255.255.255.0", "route_vpn_gateway": "198.18.0.1"}
SUBNET6 = {"ifconfig_ipv6_local": "2001:db8:2::2", "ifconfig_ipv6_netbits": "64"}
FOUND = {
    "one.example": ("203.0.113.7",),
    "two.example": ("203.0.113.8", "2001:db8:7::8", "203.0.113.9"),
    "six.example": ("2001:db8:7::6",),
    "gate.example": ("198.18.0.1",),
    "none.example": (),
}


def asked(
    *profile: str, pushed: tuple[str, ...] = (), environment: dict[str, str] = SUBNET, server: str = SERVER
) -> tuple[list[Route], list[str]]:
    """The routes asked for, and the warnings, where profile and server have these options."""
    of_profile = [tuple(line.split()) for line in profile]
    of_server = [tuple(line.split()) for line in pushed]
    settings, warnings = from_environment(
        environment,
        server,
        routes=Routes(of_profile, of_server),
        options=(*of_profile, *of_server),
        found=FOUND,
    )
    check(settings)
    return list(settings.routes), warnings


def test_destinations_and_metrics() -> None:
    routes, warnings = asked(
        "route 203.0.113.0 255.255.255.0 default 7",
        "route 192.0.2.128",
        "route 203.0.113.77 255.255.255.128",  # a host's address with a network's mask
        "route-ipv6 2001:db8:3::/48",
        pushed=("route 10.1.0.0 255.255.0.0", "route-ipv6 2001:db8:4::1", "route-ipv6 2001:db8:5::/48 2001:db8:2::1 9"),
        environment=SUBNET | SUBNET6,
    )
    assert routes == [
        Route("203.0.113.0/24", 7),
        Route("192.0.2.128/32"),
        Route("203.0.113.0/25"),
        Route("2001:db8:3::/48"),
        Route("10.1.0.0/16"),
        Route("2001:db8:4::1/128"),
        Route("2001:db8:5::/48", 9),
    ]
    assert warnings == []


def test_the_metric_of_those_without_one() -> None:
    routes, _ = asked(
        "route 203.0.113.0 255.255.255.0", "route 192.0.2.1 default default 3", pushed=("route-metric 5",)
    )
    assert routes == [Route("203.0.113.0/24", 5), Route("192.0.2.1/32", 3)]


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("route 127.0.0.0 255.0.0.0", "route 127.0.0.0/8 left out: overlaps loopback"),
        ("route 198.51.100.0 255.255.255.0", "route 198.51.100.0/24 left out: covers the server's own address"),
        ("route 203.0.113.0 255.0.255.0", "route 203.0.113.0 left out: '255.0.255.0' is not a netmask"),
        ("route 203.0.113.0 0.0.0.255", "is not a netmask"),
        ("route 203.0.113.0/24", "route 203.0.113.0/24 left out: '203.0.113.0/24' is neither an address nor a name"),
        ("route 2001:db8::", "2001:db8:: is not an IPv4 address"),
        ("route", "is neither an address nor a name"),
        ("route default", "is neither an address nor a name"),
        ("route 203.0.113.0 255.255.255.0 default x", "'x' is not a metric"),
        ("route 203.0.113.0 255.255.255.0 default 1 2", "too many parameters"),
        ("route 203.0.113.0 255.255.255.0 default 9999999999", "metric 9999999999 is out of range"),
        ("route-ipv6 203.0.113.0/24", "203.0.113.0 is not an IPv6 address"),
        ("route-ipv6 2001:db8::/x", "'2001:db8::/x' is not an IPv6 network"),
        ("route-ipv6 2001:db8::/129", "is not an IPv6 network"),
        ("route-ipv6 fe80::1%x", "is not an IPv6 network"),
        ("route-ipv6 six.example", "is not an IPv6 network"),
        ("route-metric x", "route-metric x left out: 'x' is not a metric"),
        ("route none.example", "route none.example/32 left out: its name cannot be resolved"),
        ("route six.example", "route six.example/32 left out: it has no IPv4 address"),
        ("route 192.0.2.1 default none.example", "its gateway none.example cannot be resolved"),
        ("route net_gateway", "reaches its gateway without a route"),
        ("route 0.0.0.0 128.0.0.0 net_gateway", "route 0.0.0.0/1 past the tunnel left out: so much cannot go past"),
    ],
)
def test_what_cannot_be_had_is_named_and_the_rest_is_applied(option: str, said: str) -> None:
    for where in ("profile", "server"):
        rest = ("route 203.0.113.9", option, "route 203.0.113.10")
        routes, warnings = asked(*rest) if where == "profile" else asked("allow-pull-fqdn", pushed=rest)
        assert routes == [Route("203.0.113.9/32"), Route("203.0.113.10/32")]
        assert len(warnings) == 1 and said in warnings[0]


def test_names() -> None:
    assert asked("route one.example", "route two.example") == (
        [Route("203.0.113.7/32"), Route("203.0.113.8/32"), Route("203.0.113.9/32")],
        [],
    )


def test_pushed_names_are_for_profiles_that_allow_them() -> None:
    pushed = ("route one.example", "route 203.0.113.1 default gate.example")
    routes, warnings = asked(pushed=pushed)
    assert routes == []
    assert warnings == [
        f"route {what} left out: it is pushed by name, which takes allow-pull-fqdn in the profile"
        for what in ("one.example/32", "203.0.113.1/32")
    ]
    assert asked("allow-pull-fqdn", pushed=pushed)[0] == [Route("203.0.113.7/32"), Route("203.0.113.1/32")]


def test_keywords() -> None:
    assert asked("route vpn_gateway", "route remote_host default net_gateway") == (
        [Route("198.18.0.1/32"), Route("198.51.100.1/32", past=True)],
        [],
    )
    routes, warnings = asked("route remote_host default net_gateway", "route 203.0.113.1", server="2001:db8:1::1")
    assert routes == [Route("203.0.113.1/32")]
    assert warnings == ["route remote_host/32 left out: the server has no IPv4 address"]
    assert asked("route vpn_gateway", environment=SUBNET6)[1] == [
        "route vpn_gateway/32 left out: the tunnel's gateway has no IPv4 address"
    ]


@pytest.mark.parametrize(
    ("gateway", "past"),
    [
        ("", False),
        ("default", False),
        ("vpn_gateway", False),
        ("net_gateway", True),
        ("remote_host", True),
        ("198.18.0.1", False),  # the tunnel's own
        ("198.18.0.77", False),  # somebody on its network
        ("192.0.2.1", True),
        ("gate.example", False),
        ("one.example", True),
    ],
)
def test_the_gateway_decides_about_the_way(gateway: str, past: bool) -> None:
    assert asked(f"route 203.0.113.1 default {gateway}") == ([Route("203.0.113.1/32", past=past)], [])


NET30 = {"ifconfig_local": "198.18.0.6", "ifconfig_remote": "198.18.0.5"}


@pytest.mark.parametrize(
    ("environment", "options", "gateway"),
    [
        (NET30, [], "198.18.0.5"),
        (SUBNET, [], "198.18.0.1"),
        (NET30, ["route-gateway 192.0.2.1"], "192.0.2.1"),  # as the machine's own, by chance
        (SUBNET6, ["route-gateway 192.0.2.1"], "192.0.2.1"),
        ({}, ["route-gateway 192.0.2.1", "route-gateway dhcp"], "192.0.2.1"),
    ],
)
def test_the_tunnels_gateway(environment: dict[str, str], options: list[str], gateway: str) -> None:
    route = f"route 203.0.113.1 default {gateway}"
    expected = [Route("203.0.113.1/32")]
    assert asked(*options, route, environment=environment) == (expected, [])
    assert asked(pushed=(*options, route), environment=environment) == (expected, [])


@pytest.mark.parametrize(
    ("gateway", "past"),
    [("2001:db8:2::1", False), ("2001:db8:9::1", True), ("fe80::1", False), ("net_gateway", True)],
)
def test_gateways_of_ipv6(gateway: str, past: bool) -> None:
    routes, warnings = asked(f"route-ipv6 2001:db8:3::/48 {gateway}", environment=SUBNET6)
    assert (routes, warnings) == ([Route("2001:db8:3::/48", past=past)], [])


def test_there_are_limits() -> None:
    many = [f"route 10.{number // 250}.{number % 250}.0 255.255.255.0" for number in range(MAX_ROUTES)]
    routes, warnings = asked(*many, pushed=(*many, "route-ipv6 2001:db8:7::1"))
    assert len(routes) == MAX_ROUTES
    assert warnings == [f"more than {MAX_ROUTES} routes: the others are left out"]

    past = [f"{one} net_gateway" for one in many[: MAX_ROUTES_PAST + 1]]
    routes, warnings = asked(*past, "route 203.0.113.1")
    assert (len(routes), routes[-1]) == (MAX_ROUTES_PAST + 1, Route("203.0.113.1/32"))
    assert warnings == [f"more than {MAX_ROUTES_PAST} routes past the tunnel: the others are left out"]

    named = [f"route n{number}.example" for number in range(MAX_ROUTE_NAMES + 1)]
    assert asked(*named)[1][0] == f"route n{MAX_ROUTE_NAMES}.example/32 left out: more than {MAX_ROUTE_NAMES} names"


def test_a_profiles_routes_are_not_the_engines() -> None:
    profile = compile_profile(
        "client\ndev tun\nremote vpn.example\n<ca>\nx\n</ca>\nroute one.example\nroute x/y\nroute-ipv6 x\n"
    )
    assert profile.network == (("route", "one.example"),)
    assert "route" not in profile.config
    assert profile.warnings == (
        "route 'x/y' (line 8) is ignored: 'x/y' is neither an address nor a name",
        "route-ipv6 'x' (line 9) is ignored: 'x' is not an IPv6 network",
    )


# In a session


def device_up(worker: BareWorker, *pushed: str) -> None:
    """The engine has its device and is connected, after the server pushed these options."""
    worker.session.attempts.remotes = Remotes([Remote(SERVER, 1194, "udp")])
    worker.session.attempts.looking_up.clear()
    worker.engine_says(f">LOG:1,I,UDPv4 link remote: [AF_INET]{SERVER}:1194")
    worker.engine_says(f">LOG:1,I,PUSH: Received control message: '{','.join(('PUSH_REPLY', *pushed))}'")
    worker.session.device.up(SUBNET)
    worker.engine_says(f">STATE:1,CONNECTED,SUCCESS,198.18.0.2,{SERVER},1194")
    worker.engine_says("SUCCESS: nclients=0,bytesin=1,bytesout=2")


def told(worker: BareWorker) -> list[messages.ToSupervisor]:
    """What is said of networks and connections, and warned of."""
    kinds = (messages.Resolve, messages.ApplyNetwork, messages.Connected, messages.ClearNetwork)
    return [
        one
        for one in worker.said()
        if isinstance(one, kinds) or (isinstance(one, messages.LogLine) and one.category == LogCategory.WARN)
    ]


def routes_of(message: messages.ToSupervisor) -> list[str]:
    assert isinstance(message, messages.ApplyNetwork)
    return [route.destination for route in message.settings.routes]


def test_without_names_nothing_is_waited_for() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        device_up(worker, "route 203.0.113.1")
        applied, connected = told(worker)
        assert routes_of(applied) == ["203.0.113.1/32"]
        assert isinstance(connected, messages.Connected)


def test_it_is_connected_when_its_names_are_looked_up() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        profile = compile_profile(
            "client\ndev tun\nremote 192.0.2.1\n<ca>\nx\n</ca>\nallow-pull-fqdn\nroute one.example\nroute two.example\n"
        )
        worker.session.device.prepare(profile.network, SessionOverrides(), dns_required=False)
        device_up(worker, "route three.example", "route 203.0.113.1")
        assert told(worker) == [messages.Resolve("one.example"), messages.Resolve("two.example")]
        worker.tell(messages.Resolved("one.example", ("203.0.113.7",), ""))
        assert told(worker) == [messages.Resolve("three.example")]
        worker.tell(messages.Resolved("two.example", (), "no such name"))
        assert told(worker) == []
        worker.tell(messages.Resolved("three.example", ("203.0.113.9",), ""))
        warning, applied, connected = told(worker)
        assert isinstance(warning, messages.LogLine) and "route two.example/32 left out" in warning.text
        assert routes_of(applied) == ["203.0.113.7/32", "203.0.113.9/32", "203.0.113.1/32"]
        assert isinstance(connected, messages.Connected)
        assert worker.session.attempts.failure is None


def test_names_that_take_too_long_are_left_out() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        device_up(worker)
        told(worker)
        routes = Routes([("route", "one.example"), ("route", "203.0.113.1")], ())
        done: list[bool] = []
        worker.session.route_names.look_up(routes.names, lambda: done.append(True))
        assert told(worker) == [messages.Resolve("one.example")]
        worker.session.timers.set("route names", 0.0, worker.session.route_names._done)
        worker.session.timers.run_due()
        assert done == [True] and worker.session.route_names.found == {}
        worker.tell(messages.Resolved("one.example", (), "late"))
        assert done == [True] and worker.session.attempts.failure is None


def test_no_more_names_at_once_than_the_supervisor_takes() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        looking_up = worker.session.attempts.looking_up
        looking_up.clear()
        looking_up.add("slow.example")
        worker.session.route_names.look_up(("a.example", "b.example", "c.example"), lambda: None)
        assert told(worker) == [messages.Resolve("a.example")]
        assert len(looking_up) == MAX_LOOKUPS_PER_SESSION
        worker.tell(messages.Resolved("slow.example", (), "no"))
        assert told(worker)[-1] == messages.Resolve("b.example")


def test_a_device_that_goes_meanwhile_gets_no_settings() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.session.route_names.look_up(("one.example",), lambda: pytest.fail("it was called"))
        worker.session.device.down()
        assert told(worker) == [messages.Resolve("one.example"), messages.ClearNetwork()]
        worker.tell(messages.Resolved("one.example", ("203.0.113.7",), ""))
        assert told(worker) == []


def test_a_reply_that_was_cut_is_told() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(">LOG:1,I,PUSH: Received control message: 'PUSH_REPLY,route 203.0.113.1")
        worker.session.attempts.remotes.tried = SERVER
        worker.session.device.up(SUBNET)
        warning, _ = told(worker)
        assert isinstance(warning, messages.LogLine) and "pushes more than is read" in warning.text


def test_addresses_are_asked_for_as_before() -> None:
    settings, warnings = from_environment(NET30, SERVER)
    assert (settings.addresses, warnings) == ((Address("198.18.0.6", 32, "198.18.0.5"),), [])
