"""This project's session manager with the configuration service of OpenVPN 3 Linux, as where both are installed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ...policy.dbus_numbers import StatusMinor
from ..lab.connection import CONFIGURATION, CONFIGURATION_PATH, BusClient, BusError
from ..lab.incumbent import IncumbentLab
from ..lab.incumbent_tree import Release
from ..lab.network import SERVER_ADDRESS
from ..lab.openvpn import PORT, TUNNEL_ADDRESS
from ..lab.pki import Pki
from ..lab.surroundings import BOB
from .stage import Stage


@pytest.fixture
def stage(release: Release, pki: Pki) -> Iterator[Stage]:
    """Our session manager and log, their configuration service, a server."""
    with IncumbentLab(release, pki, ours=True) as lab:
        lab.supervisor("--configuration=external")
        lab.start_configuration()
        lab.server()
        yield Stage(lab, ours=True)


def _profiles(user: BusClient) -> list[str]:
    found: list[str] = user.call(CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs")
    return found


def test_a_profile_of_theirs_is_used_and_counted(stage: Stage) -> None:
    stage.openvpn3("config-import", "--config", stage.profile(), "--name", "work", "--persistent")
    assert stage.openvpn3("session-start", "--config", "work", "--timeout", "20").status == 0
    assert stage.lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
    alice = stage.lab.connection("alice")
    [profile] = _profiles(alice)
    assert alice.get(profile, "used_count") == 1
    assert "Client connected" in stage.openvpn3("sessions-list").text
    assert stage.openvpn3("session-manage", "--config", "work", "--disconnect").status == 0


def test_a_profile_for_one_use_is_consumed_by_a_session_and_not_by_a_refusal(stage: Stage) -> None:
    alice = stage.lab.connection("alice")
    refused = alice.import_profile("refused", stage.lab.profile(more=["remap-usr1 SIGHUP"]), single_use=True)
    with pytest.raises(BusError, match="remap-usr1"):
        alice.new_tunnel(refused)
    assert _profiles(alice) == [refused]
    used = alice.import_profile("used", stage.lab.profile(), single_use=True)
    session = alice.new_tunnel(used)
    assert _profiles(alice) == [refused]
    alice.session(session, "Connect")
    alice.wait_status(session, StatusMinor.CONN_CONNECTED)


def test_a_profile_is_for_its_owner_where_nothing_tells_with_whom_it_is_shared(stage: Stage) -> None:
    alice, bob = stage.lab.connection("alice"), stage.lab.connection("bob")
    profile = alice.import_profile("work", stage.lab.profile())
    alice.call(profile, CONFIGURATION, "AccessGrant", "u", BOB.uid)
    with pytest.raises(BusError, match="is not yours"):
        bob.new_tunnel(profile)
    alice.set(profile, "locked_down", "b", True)
    session = alice.new_tunnel(profile)
    alice.session(session, "Connect")
    alice.wait_status(session, StatusMinor.CONN_CONNECTED)


def test_their_overrides_take_effect(stage: Stage) -> None:
    profile = stage.profile(remotes=[f"192.0.2.1 {PORT + 1}"])
    stage.openvpn3("config-import", "--config", profile, "--name", "work", "--persistent")
    overrides = ["--server-override", SERVER_ADDRESS, "--port-override", str(PORT)]
    assert stage.openvpn3("config-manage", "--config", "work", *overrides).status == 0
    assert stage.openvpn3("session-start", "--config", "work", "--timeout", "20").status == 0


@pytest.fixture
def asleep(release: Release, pki: Pki) -> Iterator[Stage]:
    """The same, with a persistent profile "work", and a configuration service that the first call to it starts."""
    with IncumbentLab(release, pki, ours=True) as lab:
        lab.supervisor("--configuration=external")
        lab.start_configuration()
        stage = Stage(lab, ours=True)
        stage.openvpn3("config-import", "--config", stage.profile(), "--name", "work", "--persistent")
        lab.services["configuration"].stop()
        lab.watcher.wait_no_owner(CONFIGURATION)
        lab.configuration_on_demand()
        lab.server()
        yield stage


def test_the_first_command_after_boot_finds_a_profile_by_name(asleep: Stage) -> None:
    done = asleep.lab.ovpnctl("alice", "session-start", "--config", "work", "--timeout", "20")
    assert done.returncode == 0, done


def test_the_first_command_after_boot_imports_a_file(asleep: Stage) -> None:
    done = asleep.lab.ovpnctl("alice", "session-start", "--config", asleep.profile(), "--timeout", "20")
    assert done.returncode == 0, done


def test_the_first_session_after_boot_finds_its_profile(asleep: Stage) -> None:
    kept = asleep.lab.foreign.inside(Path("/var/lib/openvpn3/configs"))
    [profile] = [f"{CONFIGURATION_PATH}/{file.stem}" for file in kept.glob("*.json")]
    assert asleep.lab.connection("alice").new_tunnel(profile)
