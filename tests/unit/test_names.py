"""Requests of users to what sets name servers."""

import asyncio

from ...policy.dns import DnsSettings, NameServer
from ...supervisor.dns.backend import NoBackend
from ...supervisor.dns.names import Names
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
    names = Names(backend, "", "any", MachineNameServers(), None, Log())

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
