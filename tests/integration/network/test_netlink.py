"""What is asked of the kernel by netlink(7), and what it says, beside what ip(8) and nft(8) make of the same."""

import asyncio
import errno
import json
import socket
import struct
import subprocess
import threading
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from ....kernel.netlink import netlink_socket, rtnetlink, wire
from ....kernel.netlink.answer import Answer
from ....kernel.netlink.netlink_socket import NetlinkSocket
from ....kernel.netlink.wire import Malformed
from ....policy.limits import MAX_DUMPS
from ....supervisor.errors import SystemFailure
from ....supervisor.network import device_info, dumps, firewall, nf_tables, nfnetlink, tun
from ....supervisor.network.default_route import rule_requests
from ....supervisor.network.default_route.rules import Rule, TableRoute
from ....supervisor.network.device_routes import DeviceRoute
from ....supervisor.network.firewall import Firewall, Guard
from ....supervisor.network.link_events import LinkEvents
from ....supervisor.network.netlink import Netlink
from ....supervisor.network.prefixes import Host, Prefix, Way
from ....supervisor.network.requests import IPv6Off, Refused
from ...support.isolated import UID, isolated, shell

LOCAL, LOCAL6 = ip_address("198.18.0.2"), ip_address("2001:db8::2")
GATEWAY = ip_address("192.0.2.1")


def device(name: str = "tun7") -> int:
    """A device that is up."""
    shell(f"ip tuntap add {name} mode tun user {UID}")
    shell(f"ip link set {name} up")
    return socket.if_nametoindex(name)


def told(command: str) -> list[dict[str, Any]]:
    return list(json.loads(shell(f"ip -j {command}") or "[]"))


def host(text: str) -> Host:
    return Host.of(ip_address(text))


def prefix(text: str) -> Prefix:
    return Prefix.of(ip_network(f"{text}/0" if text == "default" else text))


@isolated
async def test_links(tmp_path: Path) -> None:
    index, netlink = device(), Netlink()
    netlink.set_down(index)
    netlink.set_up(index, 1380)
    [link] = told("-d link show tun7")
    assert (link["mtu"], "UP" in link["flags"]) == (1380, True)
    with NetlinkSocket() as asking:
        for question in (rtnetlink.link(index), rtnetlink.link(0, wire.text(rtnetlink.IFLA_IFNAME, "tun7"))):
            answer = asking.ask(rtnetlink.RTM_GETLINK, question)
            (_, _, found, _, _), attributes = wire.parse(answer.body, rtnetlink.IFINFOMSG)
            info = attributes.nested(rtnetlink.IFLA_LINKINFO)
            owner = info.nested(rtnetlink.IFLA_INFO_DATA).u32(rtnetlink.IFLA_TUN_OWNER)
            assert (found, attributes.text(rtnetlink.IFLA_IFNAME)) == (link["ifindex"], link["ifname"])
            assert (info.text(rtnetlink.IFLA_INFO_KIND), owner) == ("tun", link["linkinfo"]["info_data"]["user"])
        every = asking.dump(rtnetlink.RTM_GETLINK, rtnetlink.link())
        names = [wire.parse(one.body, rtnetlink.IFINFOMSG)[1].text(rtnetlink.IFLA_IFNAME) for one in every]
        assert names == [row["ifname"] for row in told("link show")]
        assert netlink.set_down(index)
        assert "UP" not in told("link show tun7")[0]["flags"]
        asking.request(rtnetlink.RTM_DELLINK, rtnetlink.link(index))
        assert not tun.exists(index)
        assert not netlink.set_down(index)
    with pytest.raises(Refused, match="cannot set the link up with MTU 1400: No such device") as refused:
        netlink.set_up(index, 1400)
    assert refused.value.errno == errno.ENODEV and refused.value.gone


@isolated
async def test_counters(tmp_path: Path) -> None:
    """As ip(8) has them of lo, which counts each packet both ways."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
        for size in (10, 200, 3000):
            sending.sendto(bytes(size), ("127.0.0.1", 9))
    counted, [link] = device_info.counters("lo"), told("-s link show lo")
    received, sent = link["stats64"]["rx"], link["stats64"]["tx"]
    assert counted["TUN_PACKETS_IN"] == sent["packets"] and counted["TUN_BYTES_IN"] == sent["bytes"] > 3200
    assert counted["TUN_PACKETS_OUT"] == received["packets"] and counted["TUN_BYTES_OUT"] == received["bytes"]
    assert device_info.counters("tun7") == device_info.counters("") == {}


@isolated
async def test_addresses(tmp_path: Path) -> None:
    index, netlink = device(), Netlink()
    for address in (Host.of(LOCAL), Host.of(LOCAL6)):
        netlink.add_address(index, address)
        netlink.add_address(index, address)  # found set
    shell("ip address add 198.18.0.8 peer 198.18.4.9/22 dev tun7")
    shell("ip -6 address add 2001:db8::8 peer 2001:db8:7::9/64 dev tun7")
    shell("ip address add 203.0.113.9/24 dev lo")
    [row] = told("address show tun7")
    rows = [one for one in row["addr_info"] if one["scope"] == "global"]
    ends = {(one["local"], one.get("address", one["local"]), one["prefixlen"]) for one in rows}
    assert {(str(LOCAL), str(LOCAL), 32), (str(LOCAL6), str(LOCAL6), 128)} < ends
    assert all(one.get("noprefixroute") and one.get("nodad") for one in rows if one["local"] == str(LOCAL6))
    expected = {(index, ip_address(one), prefix(f"{ip_network(f'{peer}/{n}', strict=False)}")) for one, peer, n in ends}
    with dumps.questions() as link:
        found = {one for one in dumps.addresses(link, index) if not one[1].is_link_local}
        assert found == expected
        assert {one[0] for one in dumps.addresses(link)} == {1, index}
        assert list(dumps.addresses(link, 4000)) == []
    assert netlink.remove_address(index, Host.of(LOCAL)) and not netlink.remove_address(index, Host.of(LOCAL))
    netlink.remove_all_addresses(index)
    assert told("address show tun7")[0]["addr_info"] == []
    netlink.remove_all_addresses(index)
    netlink.remove_all_addresses(4000)
    with pytest.raises(Refused, match=r"cannot set address 198\.18\.0\.2: No such device"):
        netlink.add_address(4000, Host.of(LOCAL))
    Path("/proc/sys/net/ipv6/conf/tun7/disable_ipv6").write_text("1")
    with pytest.raises(IPv6Off, match=r"cannot set address 2001:db8::2: Permission denied"):
        netlink.add_address(index, Host.of(LOCAL6))


@isolated
async def test_routes(tmp_path: Path) -> None:
    index, netlink = device(), Netlink()
    for address in (LOCAL, LOCAL6):
        netlink.add_address(index, Host.of(address))
    past = Way(index, Host.of(GATEWAY), True)
    asked = {
        DeviceRoute("198.18.0.0/24", 0, Host.of(LOCAL)): ("kernel", 0, "link", str(LOCAL)),
        DeviceRoute("198.51.100.0/24", 77): ("static", 77, "link", None),
        DeviceRoute("0.0.0.0/0", 5): ("static", 5, "link", None),
        DeviceRoute("203.0.113.0/24", 3, way=past): ("118", 3, "global", None),
        DeviceRoute("203.0.113.0/25", 4, way=Way(index)): ("118", 4, "link", None),
        DeviceRoute("2001:db8::/64", 256, Host.of(LOCAL6)): ("kernel", 256, "global", None),
        DeviceRoute("2001:db8:1::/48"): ("static", 1024, "global", None),
        DeviceRoute("::/0", 9): ("static", 9, "global", None),
    }
    for route in asked:
        assert netlink.add_route(index, route)
        assert not netlink.add_route(index, route)
    shell("ip route add 198.18.9.0/24 nexthop dev tun7 nexthop via 192.0.2.9 dev tun7 onlink")
    shell("ip route add 198.18.8.0/24 via inet6 fe80::1 dev tun7")
    shell("ip route add prohibit 198.18.7.0/24")
    rows = [*told("-d -4 route show"), *told("-d -6 route show")]
    by_ip = {(row["dst"], row.get("metric", 0)): row for row in rows if row.get("metric", 0) or "." in row["dst"]}
    for route, (protocol, metric, scope, source) in asked.items():
        row = by_ip["default" if route.destination.endswith("/0") else route.destination, metric]
        assert (row["protocol"], row["scope"], row.get("prefsrc"), row["type"]) == (protocol, scope, source, "unicast")
        assert (row["dev"], row.get("gateway")) == ("tun7", str(GATEWAY) if route.way and route.way.gateway else None)
    with dumps.questions() as link:
        everything = list(dumps.routes(link))
        assert len(everything) == len(rows)
        found = {(str(one.destination), one.metric): one for one in everything}
        for route, (_, metric, _, _) in asked.items():
            assert found[route.destination, metric].way == (route.way or Way(index))
        several, other_family = found["198.18.9.0/24", 0], found["198.18.8.0/24", 0]
        assert several.way is None and other_family.way is None
        assert found["198.18.7.0/24", 0].kind == rtnetlink.RTN_PROHIBIT
        past_only = [one for one in dumps.routes(link, protocol=dumps.PAST) if one.protocol == dumps.PAST]
        assert {str(one.destination) for one in past_only} == {"203.0.113.0/24", "203.0.113.0/25"}
        by_device = {str(one.destination) for one in dumps.routes(link, device=index)}
        assert "198.18.9.0/24" in by_device and "198.18.7.0/24" not in by_device
        assert list(dumps.routes(link, table=5000)) == []
        for to, uid in (("198.51.100.7", 0), ("203.0.113.200", 5), ("2001:db8:1::7", 5)):
            way, [row] = dumps.way_to(link, ip_address(to), uid), told(f"route get {to} uid {uid}")
            assert way is not None
            gateway = ip_address(row["gateway"]).packed if "gateway" in row else b""
            assert (way.device, way.gateway, way.source) == (index, gateway, ip_address(row["prefsrc"]).packed)
        assert dumps.way_to(link, ip_address("198.18.7.1"), 0) is None
    for route in asked:
        assert netlink.remove_route(index, route)
        assert not netlink.remove_route(index, route)


@isolated
async def test_tables(tmp_path: Path) -> None:
    index = device()
    asked = {
        TableRoute(7001, "0.0.0.0/0", index): ("default", "unicast", "link", "tun7"),
        TableRoute(7001, "198.18.0.0/15", kind="unreachable"): ("198.18.0.0/15", "unreachable", "global", None),
        TableRoute(77, "198.18.0.0/16", kind="throw"): ("198.18.0.0/16", "throw", "global", None),
        TableRoute(7001, "::/0", index): ("default", "unicast", "global", "tun7"),
        TableRoute(7001, "2001:db8::/32", kind="unreachable"): ("2001:db8::/32", "unreachable", "global", "lo"),
    }
    for route, (destination, kind, scope, by) in asked.items():
        assert rule_requests.add_route(route)
        assert not rule_requests.add_route(route)
        rows = told(f"-d -{route.version} route show table {route.table}")
        [row] = [one for one in rows if one["dst"] == destination]
        assert (row["type"], row["scope"], row.get("dev"), row["protocol"]) == (kind, scope, by, "kernel")
    with dumps.questions() as link:
        assert {(7001, str(one.destination)) for one in dumps.routes(link, table=7001)} == {
            one.key for one in asked if one.table == 7001
        }
    replacement = TableRoute(7001, "0.0.0.0/0", kind="unreachable")
    assert rule_requests.add_route(replacement, instead=True)
    assert [one["type"] for one in told("-d route show table 7001") if one["dst"] == "default"] == ["unreachable"]
    for route in (replacement, *list(asked)[1:]):
        assert rule_requests.remove_route(route) and not rule_requests.remove_route(route)


@isolated
async def test_rules(tmp_path: Path) -> None:
    asked: dict[Rule, dict[str, Any]] = {
        Rule(4, 100, 7001, uids=(60706, 60805)): {"uid_start": 60706, "uid_end": 60805, "table": "7001"},
        Rule(4, 101, 254, source=host("192.0.2.7"), uids=(0, 0)): {"src": "192.0.2.7", "table": "main"},
        Rule(4, 102, 254, mark=0x10000000): {"fwmark": "0x10000000", "fwmask": "0x10000000"},
        Rule(4, 103, 254, more_exact=True): {"suppress_prefixlen": 0},
        Rule(4, 104, uids=(1, 2)): {"action": "unreachable"},
        Rule(6, 105, 7001, source=host("2001:db8::7")): {"src": "2001:db8::7", "table": "7001"},
    }
    for rule, expected in asked.items():
        assert rule_requests.add_rule(rule)
        assert not rule_requests.add_rule(rule)
        [row] = [one for one in told(f"-{rule.version} rule") if one["priority"] == rule.priority]
        assert row.items() >= expected.items()
        assert f"{rule.priority}:" in shell(f"ip -{rule.version} rule show protocol kernel")
    for version in (4, 6):
        found = rule_requests.rules(version)
        assert [one for one in found if one in asked] == [one for one in asked if one.version == version]
        assert [one.priority for one in found] == [row["priority"] for row in told(f"-{version} rule")]
    for rule in asked:
        assert rule_requests.remove_rule(rule) and not rule_requests.remove_rule(rule)


@isolated
async def test_settings_of_a_device(tmp_path: Path) -> None:
    index = device()
    conf = Path("/proc/sys/net/ipv4/conf/tun7")
    rule_requests.ignore_when_dead(index)
    rule_requests.look_at_marks(index, 1)
    assert [(conf / one).read_text() for one in ("ignore_routes_with_linkdown", "src_valid_mark")] == ["1\n", "1\n"]
    rule_requests.look_at_marks(4000, 1)
    with pytest.raises(Refused, match="cannot prepare device 4000 for the default route: No such device"):
        rule_requests.ignore_when_dead(4000)


@isolated
async def test_tables_of_the_firewall(tmp_path: Path) -> None:
    rules = Firewall()
    guarded = {host(f"198.18.{one // 250}.{one % 250}"): Guard((4001,), 1) for one in range(2500)}
    rules.protect(range(60706, 60806))
    rules.guard(guarded | {Host.of(LOCAL6): Guard((4001, 4002), 5)})
    listed = json.loads(shell(f"nft -j list table inet {firewall.TABLE}"))["nftables"]
    chains = {row["chain"]["name"]: row["chain"]["hook"] for row in listed if "chain" in row}
    assert chains == {"output": "output", "input": "input"}
    sets = {row["set"]["name"]: row["set"].get("elem", []) for row in listed if "set" in row}
    assert sorted(sets) == sorted(f"{kind}{version}" for kind in ("addresses", "users", "ways") for version in (4, 6))
    assert [len(sets[one]) for one in ("addresses4", "users4", "addresses6", "users6")] == [2500, 5000, 1, 3]
    there = nfnetlink.listed(nf_tables.NEW_TABLE + 1, b"")  # NFT_MSG_GETTABLE
    assert [one.text(1) for one in there] == [firewall.TABLE]
    assert nf_tables.is_there(firewall.TABLE) and not nf_tables.is_there("another")
    assert nf_tables.time_left(firewall.TABLE, "no such set") == 0
    rules.remove()
    assert shell("nft list tables") == ""


@isolated
async def test_all_is_done_or_nothing_and_the_first_refusal_is_told(tmp_path: Path) -> None:
    """Even where there are far more refusals than a socket holds."""
    wrong = [nf_tables.new_rule("made", "none", nf_tables.DROP) for _ in range(20000)]
    with pytest.raises(SystemFailure, match=r"^nf_tables: No such file or directory") as refused:
        nfnetlink.send([nf_tables.new_table("made"), *wrong])
    assert isinstance(refused.value.__cause__, FileNotFoundError)
    assert shell("nft list tables") == ""


@isolated
async def test_the_kernels_own_words_are_told(tmp_path: Path) -> None:
    index, netlink = device(), Netlink()
    way = Way(index, Host.of(GATEWAY))
    with pytest.raises(Refused) as refused:
        netlink.add_route(index, DeviceRoute("203.0.113.0/24", way=way))
    by_ip = subprocess.run(
        ["ip", "route", "add", "203.0.113.0/24", "via", str(GATEWAY), "dev", "tun7"],
        capture_output=True,
        text=True,
        check=False,
    ).stderr
    assert "Nexthop has invalid gateway" in by_ip
    assert str(refused.value) == (
        "cannot add route 203.0.113.0/24: Network is unreachable (Nexthop has invalid gateway)"
    )


@isolated
async def test_long_lists_are_whole(tmp_path: Path) -> None:
    index = device()
    count = 5000
    text = "".join(f"route add 198.18.{one // 250}.{one % 250}/32 dev tun7\n" for one in range(count))
    batch = tmp_path / "routes"
    batch.write_text(text)
    shell(f"ip -batch {batch}")
    with dumps.questions() as link:
        found = [str(one.destination) for one in dumps.routes(link, device=index)]
    rows = told("route show dev tun7")
    assert len(found) == len(set(found)) and {f"{row['dst']}/32" for row in rows} <= set(found)
    assert len(rows) == count


@isolated
async def test_what_changes_while_it_is_listed_is_listed_anew(tmp_path: Path) -> None:
    """Addresses, of which another thread adds and removes some: those that stay are always there, each once."""
    index, netlink = device(), Netlink()
    stay = {host(f"198.18.{one // 250}.{one % 250}") for one in range(1500)}
    for address in stay:
        netlink.add_address(index, address)
    interrupted = threading.Event()
    take = Answer.take

    def watched(self: Answer, data: bytes) -> bool:
        done = take(self, data)
        if self.interrupted:
            interrupted.set()
        return done

    def change() -> None:
        other = Netlink()
        while not interrupted.is_set():
            other.add_address(index, host("198.19.0.1"))
            other.remove_address(index, host("198.19.0.1"))

    changing = threading.Thread(target=change)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Answer, "take", watched)
        changing.start()
        with NetlinkSocket() as link:
            while not interrupted.is_set():
                try:
                    found = [Host.of(local) for _, local, _ in dumps.addresses(link)]
                except OSError as error:
                    assert error.errno == errno.EAGAIN
                else:
                    assert len(found) == len(set(found)) and stay <= set(found)
        changing.join()
    patience = iter(range(MAX_DUMPS))
    with pytest.MonkeyPatch.context() as patch, NetlinkSocket() as link:

        def always(self: Answer, data: bytes) -> bool:
            if done := take(self, data):
                next(patience)
                self.interrupted = True
            return done

        patch.setattr(Answer, "take", always)
        with pytest.raises(OSError, match="changes all the time"):
            link.dump(rtnetlink.RTM_GETADDR, rtnetlink.addresses())
        assert next(patience, None) is None


@isolated
async def test_a_question_without_an_answer_ends(tmp_path: Path) -> None:
    """And the next one is asked on a fresh socket."""
    with NetlinkSocket() as link, pytest.MonkeyPatch.context() as patch:
        patch.setattr(netlink_socket, "KERNEL_DEADLINE", 0.05)
        first = link._opened()
        with pytest.raises(TimeoutError, match="the kernel did not answer") as failed:
            # Nothing was asked: the kernel answers no message of this kind.
            link._exchange(wire.pack(wire.NLMSG_NOOP, wire.NLM_F_REQUEST, b"", 1), 1, 1)
        assert failed.value.errno == errno.ETIMEDOUT
        patch.undo()
        assert len(list(dumps.addresses(link))) == len(told("address show lo")[0]["addr_info"])
        assert link._opened() is not first


@isolated
async def test_what_the_kernel_takes_long_to_do_is_done(tmp_path: Path) -> None:
    """It answers while it is sent to, so the deadline begins after that, and what is there by then is read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(netlink_socket, "KERNEL_DEADLINE", 1e-9)
        nfnetlink.send([nf_tables.new_table(f"made {number}") for number in range(500)])
    assert len(shell("nft list tables").splitlines()) == 500


@isolated
async def test_nobody_but_the_kernel_answers(tmp_path: Path) -> None:
    with NetlinkSocket() as link, socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as other:
        link.open()
        port, _ = link._opened().getsockname()
        header = struct.pack("=IHHII", 16, 0, 0, 1, 0)
        forged = wire.pack(wire.NLMSG_ERROR, 0, struct.pack("=i", -errno.EPERM) + header, 1)
        assert other.sendto(forged, (port, 0)) == len(forged)
        link.request(rtnetlink.RTM_SETLINK, rtnetlink.link(1, wire.u32(rtnetlink.IFLA_MTU, 1300)))
        assert told("link show lo")[0]["mtu"] == 1300


@isolated
async def test_an_answer_that_is_cut_off_is_none(tmp_path: Path) -> None:
    device()
    with NetlinkSocket() as link, pytest.MonkeyPatch.context() as patch:
        patch.setattr(netlink_socket, "DATAGRAM", 64)
        with pytest.raises(Malformed, match=r"Bad message \(it was cut off\)"):
            link.dump(rtnetlink.RTM_GETLINK, rtnetlink.link())
        patch.undo()
        assert len(link.dump(rtnetlink.RTM_GETLINK, rtnetlink.link())) == 2


@isolated
async def test_notifications_that_cannot_be_read_count_as_lost(tmp_path: Path) -> None:
    class Unreadable(LinkEvents):
        def _read(self, data: bytes) -> None:
            super()._read(data[:-1])

    index, removed = device(), asyncio.Queue[frozenset[int]]()
    events = Unreadable(removed.put_nowait)
    events.start()
    with NetlinkSocket() as link:
        link.request(rtnetlink.RTM_DELLINK, rtnetlink.link(index))
    assert await removed.get() == frozenset()
    events.stop()
