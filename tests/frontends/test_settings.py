"""Settings of this project's own about a profile: the real clients know the profile as any other."""

import json
from collections.abc import Iterator

import pytest

from ..lab.incumbent import IncumbentLab
from ..lab.incumbent_tree import Release
from ..lab.openvpn import TUNNEL_ADDRESS
from ..lab.pki import Pki
from .stage import Stage


@pytest.fixture(params=["embedded", "external"])
def stage(request: pytest.FixtureRequest, release: Release, pki: Pki) -> Iterator[Stage]:
    """Our session manager with our configuration service, or theirs; and a server."""
    with IncumbentLab(release, pki, ours=True) as lab:
        lab.supervisor(f"--configuration={request.param}")
        if request.param == "external":
            lab.start_configuration()
        lab.server()
        yield Stage(lab, ours=True)


def test_a_profile_with_settings_is_used_by_their_command(stage: Stage) -> None:
    stage.openvpn3("config-import", "--config", stage.profile(), "--name", "work", "--persistent")
    given = ["--redirect-optional", "yes", "--dns-required", "yes", "--while-not-connected", "closed"]
    done = stage.lab.ovpnctl("alice", "config-manage", "--config", "work", *given)
    assert done.returncode == 0, done
    assert "work" in stage.openvpn3("configs-list").text
    shown = stage.openvpn3("config-manage", "--config", "work", "--show")
    assert (shown.status, "No overrides set" in shown.text) == (0, True), shown
    changed = stage.openvpn3("config-manage", "--config", "work", "--persist-tun", "true")
    assert changed.status == 0, changed
    for command in (["config-dump"], ["config-dump", "--json"]):
        dumped = stage.openvpn3(*command, "--config", "work")
        assert (dumped.status, "redirect-optional" in dumped.text) == (0, False), dumped
    started = stage.openvpn3("session-start", "--config", "work", "--timeout", "20")
    assert started.status == 0, started
    assert stage.lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
    assert stage.openvpn3("session-manage", "--config", "work", "--disconnect").status == 0
    told = stage.lab.ovpnctl("alice", "config-manage", "--config", "work", "--json")
    settings = json.loads(told.stdout)["settings"]
    set_before = {"redirect-optional": True, "dns-required": True, "while-not-connected": "closed"}
    assert {name: settings[name] for name in set_before} == set_before
    assert stage.openvpn3("config-remove", "--config", "work", "--force").status == 0


def test_what_is_kept_of_a_profile_that_their_command_removes_is_forgotten(stage: Stage) -> None:
    """At the latest when its owner sets something of another one."""
    kept = stage.lab.service_directory / "state/settings"
    for name, more in (("gone", ["--persistent"]), ("there", ["--persistent"]), ("brief", [])):
        stage.openvpn3("config-import", "--config", stage.profile(), "--name", name, *more)
        done = stage.lab.ovpnctl("alice", "config-manage", "--config", name, "--redirect-optional", "yes")
        assert done.returncode == 0, done
    stage.openvpn3("config-remove", "--config", "gone", "--force")
    manage = ("config-manage", "--config", "there", "--dns-required", "yes", "--json")
    there = json.loads(stage.lab.ovpnctl("alice", *manage).stdout)["path"]
    [file] = kept.iterdir()
    assert json.loads(file.read_text()).keys() == {there}
    listed = json.loads(stage.lab.ovpnctl("alice", "configs-list", "--json").stdout).values()
    assert {(one["name"], one["settings"]["dns-required"]) for one in listed} == {("there", True), ("brief", False)}
    assert all(one["settings"]["redirect-optional"] for one in listed)
