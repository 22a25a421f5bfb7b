"""Stories in which a user types answers at a terminal."""

from ..lab.auth_server import Accept, Deny, Login, Pending, Verdict, dynamic_challenge
from ..lab.connection import SESSIONS_PATH
from ..lab.incumbent_tree import Release
from ..lab.pki import Pki
from .stage import Stage, assert_same, tell_both


def _asking_server(stage: Stage, program: str = "/bin/true") -> None:
    stage.lab.server(more=["script-security 3", f"auth-user-pass-verify {program} via-env"])


def test_user_and_password_at_a_terminal(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        _asking_server(stage)
        profile = stage.profile(more=["auth-user-pass"])
        with stage.terminal("openvpn3", "session-start", "--config", profile, "--timeout", "20") as terminal:
            terminal.answer("Auth User name: ", "alice")
            terminal.answer("Auth Password: ", "good password")
        stage.openvpn3("sessions-list")
        stage.openvpn3("session-manage", "--interface", "tun0", "--restart", "--timeout", "20")
        stage.openvpn3("session-manage", "--interface", "tun0", "--disconnect")

    assert_same(*tell_both(release, story, pki))


def test_a_wrong_password(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        _asking_server(stage, "/bin/false")
        profile = stage.profile(more=["auth-user-pass"])
        with stage.terminal("openvpn3", "session-start", "--config", profile, "--timeout", "20") as terminal:
            terminal.answer("Auth User name: ", "alice")
            terminal.answer("Auth Password: ", "bad password")
        assert "User authentication failed" in stage.said[-1].text
        assert stage.said[-1].status == 8
        stage.openvpn3("sessions-list")

    assert_same(*tell_both(release, story, pki))


def test_a_static_challenge(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        _asking_server(stage)
        profile = stage.profile(more=["auth-user-pass", 'static-challenge "What is the token?" 1'])
        with stage.terminal("openvpn3", "session-start", "--config", profile, "--timeout", "20") as terminal:
            terminal.answer("Auth User name: ", "alice")
            terminal.answer("Auth Password: ", "good password")
            terminal.answer("What is the token\\?: ", "123456")

    assert_same(*tell_both(release, story, pki))


def test_an_encrypted_key(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        stage.lab.server()
        profile = stage.profile(identity=pki.authority.issue("locked", passphrase="open sesame"))
        with stage.terminal("openvpn3", "session-start", "--config", profile, "--timeout", "20") as terminal:
            terminal.answer("Private key passphrase: ", "open sesame")
        stage.openvpn3("sessions-list")

    assert_same(*tell_both(release, story, pki))


def test_authentication_in_the_background(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        _asking_server(stage)
        stage.openvpn3("session-auth")
        user = stage.lab.connection("alice")
        session = user.new_tunnel(user.import_profile("asks", stage.lab.profile(more=["auth-user-pass"])))
        stage.openvpn3("sessions-list")
        stage.openvpn3("session-auth")
        with stage.terminal(
            "openvpn3", "session-auth", "--auth-req", str(user.get(session, "backend_pid"))
        ) as terminal:
            terminal.answer("Auth User name: ", "alice")
            terminal.answer("Auth Password: ", "good password")
        stage.openvpn3("sessions-list")
        stage.openvpn3("session-auth")

    assert_same(*tell_both(release, story, pki))


def test_a_dynamic_challenge(release: Release, pki: Pki) -> None:
    def judge(login: Login) -> Verdict:
        if login.password.startswith("CRV1"):
            return Accept() if login.password == "CRV1::state::123456" else Deny()
        return dynamic_challenge("state", "alice", "The number on the card?")

    def story(stage: Stage) -> None:
        stage.lab.auth_server(judge)
        profile = stage.profile(more=["auth-user-pass"])
        with stage.terminal("openvpn3", "session-start", "--config", profile, "--timeout", "20") as terminal:
            terminal.answer("Auth User name: ", "alice")
            terminal.answer("Auth Password: ", "good password")
            terminal.answer("The number on the card\\?: ", "123456")
        stage.openvpn3("sessions-list")

    assert_same(*tell_both(release, story, pki))


def test_a_text(release: Release, pki: Pki) -> None:
    def judge(login: Login) -> Verdict:
        if login.response is None:
            return Pending("CR_TEXT:R,E:Enter the code")
        return Accept() if login.response == "424242" else Deny()

    def story(stage: Stage) -> None:
        stage.lab.auth_server(judge)
        profile = stage.profile(more=["auth-user-pass"])
        with stage.terminal("openvpn3", "session-start", "--config", profile, "--timeout", "20") as terminal:
            terminal.answer("Auth User name: ", "alice")
            terminal.answer("Auth Password: ", "good password")
            terminal.answer("Enter the code: ", "424242")
        stage.openvpn3("sessions-list")

    assert_same(*tell_both(release, story, pki))


def test_a_web_page(release: Release, pki: Pki) -> None:
    def story(stage: Stage) -> None:
        server = stage.lab.auth_server(lambda login: Pending("WEB_AUTH::https://idp.example/login"))
        profile = stage.profile(more=["auth-user-pass"])
        with stage.terminal("openvpn3", "session-start", "--config", profile, "--timeout", "20") as terminal:
            terminal.answer("Auth User name: ", "alice")
            terminal.answer("Auth Password: ", "good password")
        assert "https://idp.example/login" in stage.said[-1].text
        stage.openvpn3("session-auth")
        user = stage.lab.connection("alice")
        server.decide(server.wait_login(), Accept())
        [session] = user.session(SESSIONS_PATH, "FetchAvailableSessions")
        while (status := user.get(session, "status")[1]) != 7:
            assert status == 22
        stage.openvpn3("sessions-list")

    assert_same(*tell_both(release, story, pki))
