"""An administrator takes the network device of a session away."""

import asyncio
import subprocess
from pathlib import Path

from ....policy.dbus_numbers import StatusMajor, StatusMinor
from ....supervisor.network.apply import Network
from ...lab.connection import CONFIGURATION, SESSIONS_PATH
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.isolated import OWNER, UID, isolated, link, network, shell
from ...support.sessions import CONNECTED, FAILED, PAUSED, RECONNECTING, UserSession, begin, wait_gone


def delete(lab: Lab, device: str) -> None:
    lab.client_side.run(["ip", "link", "del", device])


def the_device(lab: Lab) -> str:
    [device] = lab.client_side.devices() - {"cable"}
    return device


def test_the_session_ends_and_says_why(lab: Lab) -> None:
    lab.server()
    service = lab.supervisor()
    other = begin(lab, "other", user="bob")
    before = lab.client_side.devices()
    session = begin(lab)
    session.connect()
    processes = [session.worker, session.engine]
    [device] = lab.client_side.devices() - before
    delete(lab, device)
    assert session.wait(FAILED) == (
        StatusMajor.CONNECTION,
        StatusMinor.CONN_FAILED,
        f"The network device {device} was removed",
    )
    wait_gone(processes)
    # The other session has lost nothing, and the user can begin anew at once.
    other.connect()
    other.call("Disconnect")
    session.call("Disconnect")
    again = UserSession(session.user, session.profile, session.user.new_tunnel(session.profile))
    again.connect()
    assert lab.echo(TUNNEL_ADDRESS, b"again") == b"again"
    # What the service removes itself is nothing to tell.
    again.call("Disconnect")
    assert service.stop() == 0
    assert service.log.count(" was removed") == 1


def test_before_it_is_connected(lab: Lab) -> None:
    lab.supervisor()
    session = begin(lab)
    device = the_device(lab)
    delete(lab, device)
    assert session.wait(FAILED)[2] == f"The network device {device} was removed"


def test_while_it_is_paused(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab)
    session.connect()
    session.call("Pause", "s", "")
    session.wait(PAUSED)
    device = the_device(lab)
    delete(lab, device)
    assert session.wait(FAILED)[2] == f"The network device {device} was removed"


def test_with_automatic_restart_it_gets_another(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile())
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "automatic-restart", ["s", "on-failure"])
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    session.connect()
    before, processes, device = session.seen, [session.worker, session.engine], the_device(lab)
    delete(lab, device)
    assert session.wait(RECONNECTING, before)[2] == f"The network device {device} was removed: try 1 of 10 in 3 s"
    wait_gone(processes)
    session.wait(CONNECTED, before, deadline=20)
    assert lab.echo(TUNNEL_ADDRESS, b"again") == b"again"
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [session.path]


class Removals:
    """What a Network says, as it comes."""

    def __init__(self, net: Network) -> None:
        self._said: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        net.on_removal = lambda session, device: self._said.put_nowait((session, device))

    async def next(self) -> tuple[str, str]:
        async with asyncio.timeout(10):
            return await self._said.get()


@isolated
async def test_only_what_others_remove_is_told(tmp_path: Path) -> None:
    net = network(tmp_path)
    said = Removals(net)
    first, second, third = [await net.create_device(f"s{number}", UID + number, OWNER) for number in (1, 2, 3)]
    await net.delete_device(first)
    shell("ip tuntap add name other mode tun")
    shell("ip link del other")
    shell(f"ip link del {second}")
    assert await said.next() == ("s2", second)
    shell(f"ip link set {third} name renamed")
    shell("ip link del renamed")
    assert await said.next() == ("s3", third)
    await net.close()


@isolated
async def test_a_device_that_is_moved_to_another_namespace_is_gone_too(tmp_path: Path) -> None:
    net = network(tmp_path)
    said = Removals(net)
    device = await net.create_device("s1", UID, OWNER)
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", "echo; read _"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        shell(f"ip link set {device} netns {process.pid}")
        process.communicate(b"\n")
    assert await said.next() == ("s1", device)
    await net.close()


@isolated
async def test_a_removal_that_went_under_in_a_flood_is_found(tmp_path: Path) -> None:
    net = network(tmp_path)
    said = Removals(net)
    renamed, first, second = [await net.create_device(f"s{number}", UID, OWNER) for number in (0, 1, 2)]
    shell(f"ip link set {renamed} name renamed")
    # Nothing is read meanwhile, and the kernel drops what does not fit.
    changes = "".join(f"link set lo mtu {20000 + number}\n" for number in range(2000))
    subprocess.run(["ip", "-batch", "-"], input=changes, text=True, check=True)
    shell(f"ip link del {first}")
    assert await said.next() == ("s1", first)
    assert link(second)
    shell(f"ip link del {second}")
    assert await said.next() == ("s2", second)
    await net.close()
