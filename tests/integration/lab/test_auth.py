"""The lab's servers and proxies that ask who somebody is, tried with plain openvpn."""

import pytest

from ...lab.auth_server import Accept, Deny, Login, Verdict, knows
from ...lab.lab import PROXY_PORT, Lab
from ...lab.network import SERVER_ADDRESS
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.processes import LabError

GOOD = "<auth-user-pass>\nalice\nopen sesame\n</auth-user-pass>"
BAD = "<auth-user-pass>\nalice\nclose sesame\n</auth-user-pass>"


def test_the_judge_is_asked(lab: Lab) -> None:
    server = lab.auth_server(knows(alice="open sesame"))
    lab.plain_openvpn(lab.profile(more=[GOOD]))
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"
    assert len(server.clients()) == 1, "the server's other answers come through"
    [login] = server.logins
    assert (login.username, login.password, login.environment["common_name"]) == ("alice", "open sesame", "client")
    with pytest.raises(LabError, match="plain openvpn ended"):
        lab.plain_openvpn(lab.profile(more=[BAD]))


def test_a_static_challenges_answer_is_taken_apart() -> None:
    assert Login(0, 0, password="SCRV1:YSBi:w7w=").static_challenge == ("a b", "ü")


def test_a_client_of_its_own_settings(lab: Lab) -> None:
    def judge(login: Login) -> Verdict:
        return Accept(('push "auth-token a-token"',)) if login.username == "alice" else Deny()

    lab.auth_server(judge)
    client = lab.plain_openvpn(lab.profile(more=[GOOD]))
    client.process.wait_line("auth-token")


@pytest.mark.parametrize("scheme", ["Basic", "Digest"])
def test_proxies(lab: Lab, scheme: str) -> None:
    proxy = lab.proxy(scheme, alice="p: q")
    lab.server(protocol="tcp")
    through = f"http-proxy {SERVER_ADDRESS} {PROXY_PORT} auto"
    credentials = "<http-proxy-user-pass>\nalice\n{}\n</http-proxy-user-pass>"
    good = lab.profile(protocol="tcp", more=[through, credentials.format("p: q")])
    lab.plain_openvpn(good).stop()
    assert "alice: connected" in proxy.lines
    bad = lab.profile(protocol="tcp", more=[through, credentials.format("wrong")])
    with pytest.raises(LabError):
        lab.plain_openvpn(bad, deadline=3)
    assert "alice: refused" in proxy.lines
