"""The ways to the servers of sessions, on the real kernel; each test in namespaces of its own."""

import asyncio
import os
from pathlib import Path

from ....policy.limits import MAX_ROUTING_PAUSE, MAX_SERVER_ADDRESSES, ROAMING_QUIET, ROAMING_UNHURRIED
from ....supervisor.network.roaming import Roaming
from ....supervisor.network.serial_executor import SerialExecutor
from ...support.isolated import UID, isolated, shell
from ...support.work import counted

SERVER, SERVER6, OTHER = "192.0.2.1", "2001:db8:77::1", "203.0.113.1"
THERE, GONE, MOVED = (True, False), (False, False), (True, True)


def machine() -> None:
    """Two devices in networks of their own, and a default route of each version by the first."""
    for number in (0, 1):
        for command in (
            f"link add eth{number} type veth peer name far{number}",
            f"link set eth{number} addrgenmode none up",
            f"link set far{number} addrgenmode none up",
            f"address add 198.51.10{number}.2/24 dev eth{number}",
            f"address add 2001:db8:{number}::2/64 dev eth{number} nodad",
        ):
            shell(f"ip {command}")
    default(0)


def default(number: int, versions: str = "46") -> None:
    """The default routes go by this device."""
    if "4" in versions:
        shell(f"ip route replace default via 198.51.10{number}.1")
    if "6" in versions:
        shell(f"ip -6 route replace default via 2001:db8:{number}::1")


class Ways(Roaming):
    """The ways to servers, and what was told of them to each by name."""

    def __init__(self) -> None:
        self.executor = SerialExecutor("network")
        super().__init__(self.executor)
        self.told: list[tuple[str, bool, bool]] = []

    async def to(self, *servers: str, name: str = "") -> None:
        """Follow these from now on, and see where they are."""
        self.follow(name, UID, servers, lambda there, moved: self.told.append((name, there, moved)))
        await self._settled()

    async def look(self, name: str = "") -> list[tuple[bool, bool]]:
        """What was told since the last time, when all has been looked at anew."""
        self._look_at_all()
        await self._settled()
        told, self.told = self.told, []
        return [(there, moved) for one, there, moved in told if one == name]

    async def _settled(self) -> None:
        for _ in range(3):  # an answer may bring another question
            await asyncio.wrap_future(self.executor.submit(os.getpid))
            for _ in range(3):
                await asyncio.sleep(0)


@isolated
async def test_what_is_told(tmp_path: Path) -> None:
    machine()
    for server, version in ((SERVER, "4"), (SERVER6, "6"), (f"::ffff:{SERVER}", "4")):
        default(0)
        ways = Ways()
        await ways.to(server)
        assert await ways.look() == []
        default(1, version)
        assert await ways.look() == [MOVED]
        shell(f"ip -{version} route del default")
        assert await ways.look() == [GONE]
        assert await ways.look() == []
        default(1, version)
        assert await ways.look() == [THERE]
        shell(f"ip -{version} route del default")
        await ways.look()
        default(0, version)
        assert await ways.look() == [MOVED]
        shell(f"ip -{version} route replace unreachable default metric 5")
        shell(f"ip -{version} route del default dev eth0")
        assert await ways.look() == [GONE]
        shell(f"ip -{version} route del unreachable default metric 5")


@isolated
async def test_the_machine_sleeps_and_has_no_way_for_a_while(tmp_path: Path) -> None:
    """As a network that is left before the sleep and joined again after it: the same way, but nothing is on it."""
    machine()
    ways = Ways()
    await ways.to(SERVER)
    ways.resumed()
    assert ways.told == [("", *MOVED)]
    shell("ip route del default")
    assert await ways.look() == [MOVED, GONE]
    ways.resumed()
    assert ways.told == []
    default(0)
    assert await ways.look() == [MOVED]
    shell("ip route del default")
    await ways.look()
    default(0)
    assert await ways.look() == [THERE]


@isolated
async def test_there_is_none_at_first(tmp_path: Path) -> None:
    machine()
    shell("ip route del default")
    ways = Ways()
    await ways.to(SERVER)
    assert ways.told == [("", *GONE)]
    await ways.to(SERVER, SERVER6)  # one of them is enough
    assert ways.told[1:] == [("", *THERE)]
    await ways.to("198.51.100.7")
    assert ways.told[2:] == []


@isolated
async def test_a_rule_for_the_engines_user(tmp_path: Path) -> None:
    machine()
    ways = Ways()
    await ways.to(SERVER)
    shell("ip route add default via 198.51.101.1 table 7")
    shell(f"ip rule add pref 7 uidrange {UID + 1}-{UID + 1} lookup 7")
    assert await ways.look() == []
    shell(f"ip rule add pref 7 uidrange {UID}-{UID} lookup 7")
    assert await ways.look() == [MOVED]


@isolated
async def test_an_address_that_is_followed_by_another(tmp_path: Path) -> None:
    """As temporary ones of IPv6 are each day: what uses the old one goes on, until it is removed."""
    machine()
    ways = Ways()
    await ways.to(SERVER6)
    shell("ip address change 2001:db8:0::2/64 dev eth0 preferred_lft 0")
    shell("ip address add 2001:db8:0::3/64 dev eth0 nodad")
    assert "src 2001:db8::3" in shell(f"ip route get {SERVER6}")
    assert await ways.look() == []
    shell("ip address del 2001:db8:0::2/64 dev eth0")
    assert await ways.look() == [MOVED]


@isolated
async def test_servers_that_nobody_knows_yet(tmp_path: Path) -> None:
    """Names are looked up anew when the machine's default routes change."""
    machine()
    shell("ip route del default")
    shell("ip -6 route del default")
    ways = Ways()
    await ways.to()
    assert await ways.look() == []
    default(0, "4")
    assert await ways.look() == [MOVED]
    ways.forget("")
    default(1, "4")
    assert await ways.look() == []


@isolated
async def test_many_sessions_with_many_servers(tmp_path: Path) -> None:
    """Each is told, though they are looked at in parts; one who wants something else all the time is asked for once."""
    machine()
    ways = Ways()
    servers = [f"203.0.113.{number}" for number in range(MAX_SERVER_ADDRESSES)]
    for number in range(200):
        await ways.to(*servers, name=str(number))
    asked = 0
    submit = ways.executor.submit

    def counted(*arguments: object) -> object:
        nonlocal asked
        asked += 1
        return submit(*arguments)  # type: ignore[arg-type]

    ways.executor.submit = counted  # type: ignore[method-assign, assignment]
    for number in range(10_000):
        ways.follow("7", UID, (servers[number % 64],), lambda there, moved: None)
    assert asked == 1
    ways.executor.submit = submit  # type: ignore[method-assign]
    default(1)
    ways.told.clear()
    ways._look_at_all()
    while len(ways.told) < 199:
        await asyncio.sleep(0)
    assert {told[1:] for told in ways.told} == {MOVED}


@isolated
async def test_ways_that_change_again_and_again_are_looked_at_less_often(tmp_path: Path) -> None:
    machine()
    ways = Ways()
    await ways.to(SERVER)
    loop = asyncio.get_running_loop()
    pauses = list[float]()
    for number in range(1, 2 * ROAMING_UNHURRIED + 4):
        before = loop.time()
        ways.changed()
        assert ways._looking is not None
        pauses.append(ways._looking.when() - before)
        ways._looking.cancel()
        default(number % 2, "4")
        assert await ways.look() == [MOVED]
    assert all(pause < 2 * ROAMING_QUIET for pause in pauses[:ROAMING_UNHURRIED])
    assert MAX_ROUTING_PAUSE <= pauses[-1] < 2 * MAX_ROUTING_PAUSE
    ways._last_change -= 61  # a minute without any
    ways.changed()
    assert ways._looking is not None
    assert ways._looking.when() - loop.time() < 2 * ROAMING_QUIET
    ways.stop()


@isolated
async def test_those_alike_cost_no_more_than_one(tmp_path: Path) -> None:
    """Each change of routes is a look at all ways, and each session makes some."""
    machine()
    work = []
    for number in (10, 400):
        with counted() as calls:  # the executor's thread, which begins now, too
            ways = Ways()
            for one in range(number):
                ways.follow(one, UID + one, (SERVER, SERVER6), lambda there, moved: None)
            await ways.look()
            before = calls.total()
            assert await ways.look() == []
            work.append(calls.total() - before)
    assert work[1] < 1.5 * work[0]


@isolated
async def test_rules_tell_users_apart(tmp_path: Path) -> None:
    machine()
    ways = Ways()
    for one in ("a", "b", "c"):
        await ways.to(SERVER, name=one)  # all of one user, but for the next
    ways.follow("other", UID + 1, (SERVER,), lambda there, moved: ways.told.append(("other", there, moved)))
    assert await ways.look("other") == []
    shell("ip route add default via 198.51.101.1 table 77")
    shell(f"ip rule add uidrange {UID + 1}-{UID + 9} lookup 77")
    assert await ways.look("other") == [MOVED]
    default(1)
    assert await ways.look("a") == [MOVED]
    default(0)
    await ways.look()
    shell(f"ip rule del uidrange {UID + 1}-{UID + 9} lookup 77")
    await ways.look()
    ways.forget("other")
    default(1)
    ways._look_at_all()
    await ways._settled()
    assert sorted(ways.told) == [(one, *MOVED) for one in ("a", "b", "c")]
