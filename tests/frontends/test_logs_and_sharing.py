"""Stories about logs, levels, sharing, and the other services; `openvpn2`."""

from ..lab.incumbent_tree import Release
from ..lab.pki import Pki
from .stage import Stage, assert_same, tell, tell_both


def test_all_services_have_a_version(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        said = stage.run("root", "openvpn3-admin", "version", "--services")
        assert said.status == 0
        for program in ("backendstart", "configmgr", "log", "netcfg", "sessionmgr"):
            assert (f"openvpn3-service-{program}: v" in said.text) or stage.ours
        assert said.text.count(": v") == 5

    tell_both(release, story, pki)


def test_openvpn2(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        stage.lab.server()
        with stage.terminal("openvpn2", "--config", stage.profile()) as terminal:
            terminal.wait("Connected|CONNECTED|connected")
            stage.openvpn3("sessions-list")
            terminal.interrupt()
        stage.openvpn3("sessions-list")

    def told(ours: bool) -> list[tuple[str, int]]:
        # The log lines between are each engine's own.
        return [(one.command, one.status) for one in tell(release, story, pki, ours=ours)]

    assert told(True) == told(False)


def test_log(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        stage.lab.server()
        stage.openvpn3("config-import", "--config", stage.profile(), "--name", "work")
        stage.openvpn3("session-start", "--config", "work", "--timeout", "20")
        with stage.terminal("openvpn3", "log", "--config", "work", "--log-level", "5") as terminal:
            terminal.wait("Attaching to session")
            stage.openvpn3("session-manage", "--config", "work", "--restart", "--timeout", "20")
            terminal.wait("Client connected")
            stage.openvpn3("session-manage", "--config", "work", "--disconnect")

    tell_both(release, story, pki)


def test_sharing_a_session(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        run = stage.openvpn3
        stage.lab.server()
        run("config-import", "--config", stage.profile(), "--name", "work")
        run("session-start", "--config", "work", "--timeout", "20")
        run("session-acl", "--config", "work", "--show")
        run("session-acl", "--config", "work", "--grant", "bob")
        run("session-acl", "--config", "work", "--grant", "bob")
        run("session-acl", "--config", "work", "--show")
        run("session-manage", "--config", "work", "--pause", user="bob")
        run("session-acl", "--config", "work", "--revoke", "bob")
        run("session-manage", "--config", "work", "--disconnect", user="bob")
        run("session-acl", "--config", "work", "--allow-log-access", "true", "--public-access", "true")
        run("session-acl", "--config", "work", "--show")

    assert_same(*tell_both(release, story, pki))


def test_the_level_of_the_log(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        stage.lab.server()
        stage.openvpn3("config-import", "--config", stage.profile(), "--name", "work")
        stage.openvpn3("session-start", "--config", "work", "--timeout", "20")
        stage.openvpn3("session-manage", "--config", "work", "--log-level=5")
        stage.openvpn3("session-manage", "--config", "work", "--log-level")

    assert_same(*tell_both(release, story, pki))


def test_the_log_service(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        stage.run("root", "openvpn3-admin", "log-service", "--list-subscriptions")
        stage.run("root", "openvpn3-admin", "log-service")
        assert stage.said[1].status == 0

    tell_both(release, story, pki)


def test_the_log_begins_with_what_was_left_out(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        stage.lab.server()
        stage.openvpn3("config-import", "--config", stage.profile(more=["script-security 2"]), "--name", "work")
        stage.openvpn3("session-start", "--config", "work", "--timeout", "20")
        with stage.terminal("openvpn3", "log", "--config", "work") as terminal:
            terminal.wait("WARNING.*script-security")
            stage.openvpn3("session-manage", "--config", "work", "--disconnect")

    tell(release, story, pki, ours=True)
