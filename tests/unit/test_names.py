"""Requests of users to what sets name servers."""

import asyncio

import pytest

from ...policy.dns import DnsSettings, NameServer
from ...supervisor.dns.backend import NoBackend
from ...supervisor.dns.names import Names
from ...supervisor.errors import SystemFailure
from ...supervisor.logging.log import Log
from ...supervisor.network.name_servers import MachineNameServers

ALICE, BOB = 4001, 4002


class Slow(NoBackend):
    """A back end that is asked, and answers when it is told to."""

    by_domain = True

    def __init__(self) -> None:
        super().__init__("")
        self.asked: list[str] = []
        self.answers = asyncio.Semaphore(0)

    async def set(self, device: str, settings: DnsSettings) -> None:
        self.asked.append(device)
        await self.answers.acquire()


async def _nobody_waits_for_many() -> None:
    backend = Slow()
    names = Names(backend, "", MachineNameServers(), None, Log())

    def begin(number: int, owner: int) -> asyncio.Task[list[str]]:
        wanted = DnsSettings((NameServer("198.18.0.1"),), (f"d{number}.example",), everything=False)
        return asyncio.create_task(names.apply(f"tun{number}", f"s{number}", owner, wanted))

    tasks = [begin(number, BOB) for number in range(5)]
    tasks.append(begin(5, ALICE))
    while "tun5" not in backend.asked:
        await asyncio.sleep(0)
    assert backend.asked == ["tun0", "tun5"]
    for _ in tasks:
        backend.answers.release()
    assert await asyncio.gather(*tasks) == [[]] * 6
    assert backend.asked == ["tun0", "tun5", "tun1", "tun2", "tun3", "tun4"]


def test_nobody_waits_for_many_requests_of_another_user() -> None:
    asyncio.run(_nobody_waits_for_many())


class Refusing(NoBackend):
    """A back end that does nothing, for reasons of its own."""

    by_domain = True

    def __init__(self, reason: str, reason_to_unset: str) -> None:
        super().__init__("")
        self.reason, self.reason_to_unset = reason, reason_to_unset

    async def set(self, device: str, settings: DnsSettings) -> None:
        raise SystemFailure(self.reason)

    async def unset(self, device: str) -> None:
        raise SystemFailure(self.reason_to_unset)


class Lines(Log):
    """A log that remembers its warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def warn(self, text: str, **_: object) -> None:
        self.warnings.append(text)


async def _applied_and_cleared(names: Names, wanted: DnsSettings) -> list[str]:
    warnings = await names.apply("tun0", "s", ALICE, wanted)
    await names.clear("tun0")  # after what is given back in the background, or in its place
    return warnings


@pytest.mark.parametrize(
    ("to_unset", "logged"), [("no answer", []), ("no device", ["Name servers could not be given back: no device"])]
)
def test_one_reason_is_told_once(to_unset: str, logged: list[str]) -> None:
    """What cannot be set cannot be given back either; that would be said as if something had been set."""
    log = Lines()
    names = Names(Refusing("no answer", to_unset), "", MachineNameServers(), None, log)
    wanted = DnsSettings((NameServer("198.18.0.1"),), everything=True)
    warnings = asyncio.run(_applied_and_cleared(names, wanted))
    assert warnings == ["name server 198.18.0.1: not used by this machine: no answer"]
    assert log.warnings == logged
