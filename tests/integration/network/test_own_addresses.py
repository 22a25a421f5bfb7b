"""The addresses of the machine's own devices, heard of instead of listed; on the real kernel."""

from collections.abc import Set
from pathlib import Path

from ....kernel.netlink.netlink_socket import NetlinkSocket
from ....supervisor.network import dumps
from ....supervisor.network.own_addresses import OwnAddresses
from ...support.isolated import isolated, shell
from ...support.work import counted


def index(device: str) -> int:
    return int(Path(f"/sys/class/net/{device}/ifindex").read_text())


class Looks(OwnAddresses):
    """What is found, each time beside what the kernel lists."""

    def now(self, sessions: Set[int]) -> set[str]:
        with NetlinkSocket() as link:
            found = self.look(link, sessions)
            assert sorted(map(str, found)) == sorted(map(str, dumps.addresses(link, without=sessions)))
        return {str(address) for _, address, _ in found if not address.is_link_local and not address.is_loopback}


def device(name: str, number: int) -> int:
    for command in (
        f"link add {name} index {number} type veth peer name far{number}",
        f"address add 198.51.100.{number}/32 dev {name}",
        f"address add 2001:db8::{number:x}/128 dev {name} nodad",
    ):
        shell(f"ip {command}")
    return number


@isolated
async def test_what_comes_and_goes_is_found(tmp_path: Path) -> None:
    looks = Looks()
    assert looks.now(set()) == set()
    device("own0", 50)
    assert looks.now(set()) == {"198.51.100.50", "2001:db8::32"}
    shell("ip address del 198.51.100.50/32 dev own0")
    assert looks.now(set()) == {"2001:db8::32"}
    theirs = {device("tun0", 60)}
    assert looks.now(theirs) == {"2001:db8::32"}
    shell("ip link del own0")
    assert looks.now(theirs) == set()


@isolated
async def test_a_session_s_device_becomes_another(tmp_path: Path) -> None:
    looks = Looks()
    theirs = {device("tun0", 60)}
    assert looks.now(theirs) == set()
    assert looks.now(set()) == {"198.51.100.60", "2001:db8::3c"}  # the session has ended, its device stays
    assert looks.now(theirs) == set()
    shell("ip link del tun0")
    device("own0", 60)  # the machine's, with the same index
    assert looks.now(set()) == {"198.51.100.60", "2001:db8::3c"}


@isolated
async def test_more_changes_than_there_is_room_for(tmp_path: Path) -> None:
    looks = Looks()
    looks.now(set())
    device("own0", 50)
    batch = tmp_path / "batch"
    batch.write_text("".join(f"address add 203.0.113.{number}/32 dev own0\n" for number in range(1, 255)))
    for _ in range(3):
        shell(f"ip -batch {batch}")
        assert len(looks.now(set())) == 256
        shell("ip address flush dev own0 to 203.0.113.0/24")
        assert len(looks.now(set())) == 2


@isolated
async def test_a_session_s_addresses_are_not_listed(tmp_path: Path) -> None:
    looks = Looks()
    shell("ip address add 198.51.100.1/32 dev lo")  # of IPv6 the kernel would tell once more, later
    looks.now(set())
    for number in range(60, 70):
        theirs = {device(f"tun{number}", number)}
        with counted() as calls, NetlinkSocket() as link:
            looks.look(link, theirs)
            shell(f"ip address add 203.0.113.{number}/32 dev tun{number}")
            shell(f"ip link del tun{number}")
            looks.look(link, set())
        assert calls["OwnAddresses.look"] == 2
        assert not calls["addresses"]
