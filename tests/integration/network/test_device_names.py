"""A profile names its device: the name is had where it may be, and never that of another's device."""

import errno
import json
from pathlib import Path

import pytest

from ....supervisor.errors import SystemFailure
from ....supervisor.network import tun
from ...lab.connection import CONFIGURATION
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...support.isolated import OWNER, UID, isolated, link, network, shell
from ...support.sessions import CONNECTED, RECONNECTING, UserSession, begin, kill

INSPECTION = "net.openvpn.v3.sessions.inspect"


def notices(session: UserSession) -> list[str]:
    found: list[str] = session.user.get(session.path, "notices", INSPECTION)
    return found


def test_the_device_has_the_name_that_the_profile_gives_it(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    session = begin(lab, more=["dev tun-office"])
    session.connect()
    assert session.get("device_name") == "tun-office" and notices(session) == []
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
    assert lab.client_side.devices() == {"cable", "tun-office"}
    session.call("Disconnect")
    again = UserSession(session.user, session.profile, session.user.new_tunnel(session.profile))
    assert again.user.session(again.path.rpartition("/")[0], "FetchManagedInterfaces") == [""]
    again.connect()
    assert again.get("device_name") == "tun-office"


def test_the_first_has_the_name_and_the_second_is_told(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    first = begin(lab, "first", user="bob", more=["dev tun-office"])
    second = begin(lab, "second", more=["dev tun-office"])
    second.connect()
    assert second.get("device_name") == "tun0"
    assert notices(second) == ["The profile asks for the device 'tun-office': another device has it; it is tun0"]
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
    assert lab.client_side.devices() == {"cable", "tun-office", "tun0"}
    first.call("Disconnect")
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"


@pytest.mark.parametrize(
    ("options", "lines", "name", "said"),
    [
        ((), ["dev office", "dev-type tun"], "tun0", "the administrator allows tun* (the service's option"),
        (("--device-names=tun*,off*",), ["dev office", "dev-type tun"], "office", ""),
        (("--device-names=*",), ["dev cable", "dev-type tun"], "tun0", "another device has it"),
        (("--device-names=*",), ["dev all", "dev-type tun"], "tun0", "it is no name for a device"),
    ],
)
def test_what_the_administrator_allows(
    lab: Lab, options: tuple[str, ...], lines: list[str], name: str, said: str
) -> None:
    lab.server()
    service = lab.supervisor(*options)
    done = lab.ovpnctl("alice", "session-start", "--json", "--config", str(lab.file("x.ovpn", lab.profile(more=lines))))
    shown = json.loads(done.stdout)
    assert shown["device"] == name
    assert [said in text for text in shown["notices"]] == [True] * bool(said)
    assert (said in service.log) if said else True
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"


def test_with_automatic_restart_it_keeps_its_name(lab: Lab) -> None:
    lab.server()
    lab.supervisor()
    alice = lab.connection("alice")
    profile = alice.import_profile("work", lab.profile(more=["dev tun-office"]))
    alice.call(profile, CONFIGURATION, "SetOverride", "sv", "automatic-restart", ["s", "on-failure"])
    session = UserSession(alice, profile, alice.new_tunnel(profile))
    session.connect()
    before = session.seen
    kill(session.worker)
    session.wait(RECONNECTING, before)
    session.call("Restart")
    session.wait(CONNECTED, before, deadline=20)
    assert session.get("device_name") == "tun-office" and notices(session) == []


@isolated
async def test_a_device_that_is_there_is_never_taken(tmp_path: Path) -> None:
    shell("ip tuntap add name tun-theirs mode tun")
    shell("ip link add tun-dummy type veth peer name far")
    shell("ip link property add dev tun-dummy altname tun-other")
    before = [link(name) for name in ("tun-theirs", "tun-dummy")]
    net = network(tmp_path)
    made = [await net.create_device("s1", UID, OWNER, name) for name in ("tun-theirs", "tun-dummy", "tun-other")]
    assert made == ["tun0", "tun1", "tun2"]
    assert await net.create_device("s1", UID, OWNER, "tun4") == "tun4"
    shell("ip link del tun4")
    # Its session has not ended.
    assert await net.create_device("s2", UID, OWNER, "tun4") == "tun3"
    for name in (*made, "tun3", "tun4"):
        await net.delete_device(name)
    assert [link(name) for name in ("tun-theirs", "tun-dummy")] == before
    await net.close()


@isolated
async def test_no_name_reaches_the_kernel_that_it_would_expand(tmp_path: Path) -> None:
    net = network(tmp_path)
    for name in ("tun%d", "x/../tun", "tun5 ", "tun" + "x" * 13):
        assert await net.create_device("s1", UID, OWNER, name) == "tun0"
        await net.delete_device("tun0")
    await net.close()


@isolated
async def test_errors_that_are_not_about_the_name_are_none_of_it(tmp_path: Path) -> None:
    def full(name: str, index: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SystemFailure, match="No space left"):
        tun.create(UID, (), full, None, "tun-office")
    assert link("tun-office") is None
