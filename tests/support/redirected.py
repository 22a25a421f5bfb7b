"""A machine whose default route goes through a session's device, on the real kernel."""

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec

from ...policy.network import NetworkSettings
from ...policy.redirect import Redirect
from ...supervisor.network.apply import Network
from .isolated import (
    OWNER,
    UID,
    V4,
    V6,
    attach,
    network,
    settings,
    shell,
)

FAR, FAR6 = "192.0.2.200", "2001:db8:77::1"  # hosts that nothing but a default route leads to
SERVER = "192.0.2.1"
NEIGHBOUR, NEIGHBOUR6 = "198.51.100.9", "2001:db8:5::9"  # in the machine's network
BOTH = Redirect(("0.0.0.0/0", "::/0"))
IPV4 = Redirect(("0.0.0.0/0",))


def machine() -> None:
    """A network device with a default route of each version."""
    for command in (
        "link add eth0 type veth peer name far0",
        "link set eth0 addrgenmode none up",
        "link set far0 addrgenmode none up",
        "address add 198.51.100.2/24 dev eth0",
        "address add 2001:db8:5::2/64 dev eth0 nodad",
        "route add default via 198.51.100.1",
        "-6 route add default via 2001:db8:5::1",
    ):
        shell(f"ip {command}")


def redirected(redirect: Redirect = BOTH, *, last: int = 2) -> NetworkSettings:
    """Settings with addresses that end with this number."""
    v4, v6 = (msgspec.structs.replace(one, local=one.local[:-1] + str(last)) for one in (V4, V6))
    return msgspec.structs.replace(settings(v4, v6, server=SERVER), redirect=redirect)


def way(address: str, uid: int = OWNER, source: str = "") -> str:
    """The device by which a user's packets to an address, from an address, leave; "" if they do not."""
    with contextlib.suppress(subprocess.CalledProcessError):
        words = shell(f"ip route get {address} uid {uid} {source and f'from {source}'}").split()
        return words[words.index("dev") + 1]
    return ""


def state() -> str:
    """All that the kernel routes by."""
    shown = [shell(f"ip {version} {what}") for version in ("-4", "-6") for what in ("rule", "route show table all")]
    # The kernel adds to the local table after a while.
    return "\n".join(line for one in shown for line in one.splitlines() if "table local" not in line)


@contextlib.contextmanager
def unchanged() -> Iterator[None]:
    """In the end the kernel routes as it did in the beginning."""
    before = state()
    yield
    assert state() == before


@contextlib.asynccontextmanager
async def one_session(place: Path) -> AsyncIterator[tuple[Network, str]]:
    """A machine with the network of a service, and the device of a session; in the end all is as before."""
    machine()
    net = network(place)
    with unchanged():
        device = await net.create_device("s1", UID, OWNER)
        engine = attach(device)
        yield net, device
        os.close(engine)
        await net.delete_device(device)
    await net.close()
