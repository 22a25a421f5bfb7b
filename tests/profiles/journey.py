"""From an imported profile to a tunnel, by D-Bus: the same with this project's service and the original's."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from ...policy.dbus_numbers import StatusMinor
from ..lab.auth_server import Accept, Deny, Judge, Login, Verdict
from ..lab.connection import BusClient
from ..lab.lab import Lab
from ..lab.openvpn import Server
from .corpus import Sample
from .papers import Papers

_ROUNDS = 3  # of questions: those of the profile, and those of a proxy
_END = {StatusMinor.CFG_ERROR, StatusMinor.CONN_CONNECTED, StatusMinor.CONN_FAILED, StatusMinor.CONN_AUTH_FAILED}


@contextmanager
def far_side(lab: Lab, sample: Sample, papers: Papers) -> Iterator[None]:
    """The server that a sample connects to, and the proxy on the way."""
    assert sample.server is not None
    with ExitStack() as parts:
        wanted = sample.server
        more = [papers.filled(line) for line in wanted.more]
        server: Server
        if wanted.users:
            more.append("verify-client-cert none")
            judge = _judge(wanted.users, wanted.response)
            server = lab.auth_server(judge, protocol=wanted.protocol, port=wanted.port, more=more)
        else:
            server = lab.server(protocol=wanted.protocol, port=wanted.port, more=more)
        parts.callback(server.stop)
        if sample.proxy:
            proxy = lab.proxy("Basic", surfer="wave") if sample.proxy == "http" else lab.socks_proxy()
            parts.callback(proxy.stop)
        yield


def _judge(users: Mapping[str, str], response: str) -> Judge:
    def judge(login: Login) -> Verdict:
        password = users.get(login.username)
        if response:
            return Accept() if login.static_challenge == (password, response) else Deny()
        return Accept() if login.password == password else Deny()

    return judge


def asked(user: BusClient, path: str) -> dict[str, tuple[int, int, int]]:
    """What a session asks for now: name of each question, and its place in the queue."""
    places = [
        (kind, group, number)
        for kind, group in user.session(path, "UserInputQueueGetTypeGroup")
        for number in user.session(path, "UserInputQueueCheck", "uu", kind, group)
    ]
    return {user.session(path, "UserInputQueueFetch", "uuu", *place)[3]: place for place in places}


def connect(user: BusClient, path: str, answers: Mapping[str, str], deadline: float) -> tuple[int, str]:
    """Answer what a session asks, and connect it; its last status, without its group.

    KeyError for a question without an answer, LabError when there is no end within `deadline` seconds.
    """
    for _ in range(_ROUNDS):
        before = len(user.signals())
        for name, place in asked(user, path).items():
            user.session(path, "UserInputProvide", "uuus", *place, answers[name])
        user.session(path, "Ready")
        user.session(path, "Connect")
        signal = user.wait_signal(
            lambda one: (
                one.member == "StatusChange"
                and one.path == path
                and one.arguments[1] in _END | {StatusMinor.CFG_REQUIRE_USER}
            ),
            deadline,
            since=before,
            what=f"end of the way of {path}",
        )
        minor, text = signal.arguments[1:]
        if minor in _END:
            break
    return minor, text
