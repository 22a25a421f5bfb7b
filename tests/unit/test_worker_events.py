"""What a worker makes of what its engine says: reports to the supervisor, by the engine's own words."""

from collections import deque

import pytest

from ...ipc import messages
from ...policy.causes import Cause, Failure
from ...policy.dbus_numbers import InputGroup, LogCategory
from ...policy.profile.overrides import SessionOverrides
from ...worker.profile.values import Remote
from ...worker.session import events, watchdog
from ...worker.session.phases import Event, Phase
from ...worker.session.remotes import Remotes
from ..support.bare_worker import BareWorker, bare_worker

SERVER = "198.51.100.1"


def state(name: str, detail: str = "", *rest: str) -> str:
    return ">STATE:" + ",".join(["1700000000", name, detail, *rest])


def connect(worker: BareWorker) -> None:
    """The engine connects, and what comes of that is heard."""
    worker.session.attempts.remotes = Remotes([Remote("vpn.example", 1194, "udp")])
    worker.engine_says(state("CONNECTED", "SUCCESS", "198.18.0.2", SERVER, "1194"))
    worker.engine_says("SUCCESS: nclients=0,bytesin=1,bytesout=2")
    assert any(isinstance(one, messages.Connected) for one in worker.said())


def reports(worker: BareWorker) -> list[messages.ToSupervisor]:
    """What is said, without the log."""
    return [one for one in worker.said() if not isinstance(one, messages.LogLine)]


def failure(worker: BareWorker) -> str:
    """The reason of the only report, that the session failed."""
    [report] = reports(worker)
    assert isinstance(report, messages.Failed) and worker.phase() is Phase.STOPPING
    return report.reason


def log_line(text: str, flags: str = "N") -> str:
    return f">LOG:1700000000,{flags},{text}"


# The engine tries again


def test_a_connection_that_is_lost_is_reported_and_one_that_never_was_is_not() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(state("RECONNECTING", "ping-restart"))
        assert worker.said() == [
            messages.LogLine(LogCategory.INFO, "Not connected (The server has stopped answering), trying again"),
            messages.AttemptFailed(0, "ping-restart", "The server has stopped answering", Cause.CONNECTION_LOST),
        ]
        connect(worker)
        worker.engine_says(state("RECONNECTING", "ping-restart"))
        assert reports(worker) == [messages.Reconnecting(0, "ping-restart")]


def test_the_way_to_a_connection_is_reported_once() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.session.uplink.log_level = 6
        for name in ("RESOLVE", "WAIT"):
            worker.engine_says(state(name))
        connecting, *lines = worker.said()
        assert connecting == messages.Connecting(0)
        assert lines == [
            messages.LogLine(LogCategory.VERB1, "Resolving the server's name"),
            messages.LogLine(LogCategory.VERB1, "Waiting for server response"),
        ]
        connect(worker)
        worker.engine_says(state("WAIT"))
        assert reports(worker) == []


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.WAITING])
def test_credentials_that_are_refused(phase: Phase, again: bool) -> None:
    with bare_worker(phase) as worker:
        worker.session.overrides = SessionOverrides(retry_authentication=again)
        worker.engine_says(state("RECONNECTING", "auth-failure"))
        refused = ("Authentication failed", Cause.CREDENTIALS_REFUSED)
        if not again:
            assert reports(worker) == [messages.AuthenticationFailed(*refused)]
        elif phase is Phase.RUNNING:
            assert reports(worker) == [messages.AttemptFailed(0, "auth-failure", *refused)]
        else:
            assert reports(worker) == []
        assert worker.phase() is (phase if again else Phase.STOPPING)


def test_a_challenge_is_no_refusal() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(">PASSWORD:Verification Failed: 'Auth' ['CRV1:R:state:YWxpY2U=:Enter the code']")
        worker.engine_says(state("RECONNECTING", "auth-failure"))
        [need] = reports(worker)
        assert isinstance(need, messages.InputNeeded) and need.group is InputGroup.CHALLENGE_DYNAMIC


@pytest.mark.parametrize("hopeless", [True, False])
def test_a_handshake_that_cannot_succeed_is_not_tried_again(hopeless: bool) -> None:
    with bare_worker(Phase.RUNNING) as worker:
        expired = "VERIFY ERROR: depth=0, error=certificate has expired: CN=vpn, serial=1"
        worker.engine_says(log_line(expired if hopeless else "TLS Error: TLS handshake failed"))
        worker.engine_says(log_line("TLS Error: something later"))
        worker.engine_says(state("RECONNECTING", "tls-error"))
        if hopeless:
            assert (
                failure(worker)
                == f"The server's certificate, or its authority's, has expired: {expired.removesuffix(', serial=1')}"
            )
        else:
            text = "The TLS handshake with the server failed: TLS Error: TLS handshake failed"
            assert reports(worker) == [messages.AttemptFailed(0, "tls-error", text, Cause.HANDSHAKE_FAILED)]
            assert worker.phase() is Phase.RUNNING


@pytest.mark.parametrize(
    "said", [state("RECONNECTING", "private-key-password-failure"), ">PASSWORD:Verification Failed: 'Private Key'"]
)
@pytest.mark.parametrize("typed", [True, False])
def test_a_private_key_that_cannot_be_read(said: str, typed: bool) -> None:
    with bare_worker(Phase.RUNNING) as worker:
        if typed:
            worker.tell(messages.UserAnswer(InputGroup.PK_PASSPHRASE, "pk_passphrase", memoryview(b"no")))
        worker.engine_says(said)
        damaged = "The private key of the profile is damaged, or not of a kind that OpenVPN supports"
        wrong = "PEM_PASSWORD_FAIL: the passphrase of the private key is wrong"
        assert failure(worker) == (wrong if typed else damaged)


def test_a_certificate_of_ours_that_has_expired_shortens_the_wait() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(log_line("WARNING: Your certificate has expired!", "W"))
        left = worker.session.timers.time_left()
        assert left is not None and 9 < left <= 10
        assert worker.session.attempts.cause == Failure(Cause.CERTIFICATE_DATES, "Your certificate has expired")


def test_a_proxy_is_shown_credentials_three_times() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        assert worker.session.engine is not None
        worker.session.engine.proxy_sees_credentials = False
        for _ in range(5):  # it says what it wants before it is shown anything
            events.printed(worker.session, "Proxy requires authentication")
        for number in range(3):
            assert worker.phase() is Phase.RUNNING, number
            events.printed(worker.session, "Attempting Basic Proxy-Authorization")
            events.printed(worker.session, "Proxy requires authentication")
        assert failure(worker) == "The proxy refuses the user name and password"


# What is logged


@pytest.mark.parametrize(
    ("flags", "category"),
    [("F", LogCategory.FATAL), ("N", LogCategory.ERROR), ("W", LogCategory.WARN), ("I", LogCategory.INFO),
     ("D", LogCategory.DEBUG), ("", LogCategory.VERB2), ("xIN", LogCategory.INFO)],
)  # fmt: skip
def test_how_much_a_line_matters(flags: str, category: LogCategory) -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.session.uplink.log_level = 6
        worker.engine_says(log_line("a line", flags))
        assert worker.said() == [messages.LogLine(category, "a line")]


@pytest.mark.parametrize(
    "text",
    ["MANAGEMENT: CMD 'x'", "Password is x", "PUSH: auth-token x", "Proxy-Authorization: Basic x", "CR_RESPONSE x"],
)
def test_what_may_hold_a_secret_is_not_logged(text: str) -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.session.uplink.log_level = 6
        worker.engine_says(log_line(text))
        assert worker.said() == [] and worker.session.attempts.cause is None


# Its end


@pytest.mark.parametrize(
    ("exit_reason", "how", "connected", "report"),
    [
        (
            "auth-failure",
            "exited with 1",
            False,
            messages.AuthenticationFailed("Authentication failed", Cause.CREDENTIALS_REFUSED),
        ),
        ("ping-exit", "exited with 0 (OK)", True, messages.Ended("Inactive tunnel, disconnected")),
        (
            "remote-exit",
            "exited with 0 (OK)",
            True,
            messages.Failed("Client disconnected by server", Cause.SERVER_ENDED),
        ),
        ("SIGTERM", "exited with 0 (OK)", True, messages.Ended("The engine was asked to end (SIGTERM)")),
        ("", "exited with 0 (OK)", True, messages.Ended("The engine was asked to end (exit)")),
        (
            "",
            "was killed by SIGKILL",
            False,
            messages.EngineDied("The engine was killed by SIGKILL", Cause.ENGINE_DIED),
        ),
        ("", "exited with 1", True, messages.EngineDied("The engine exited with 1", Cause.ENGINE_DIED)),
        ("", "exited with 1", False, messages.Failed("The engine exited with 1", Cause.UNKNOWN)),
    ],
)
def test_why_an_engine_ended(exit_reason: str, how: str, connected: bool, report: messages.ToSupervisor) -> None:
    with bare_worker(Phase.RUNNING) as worker:
        assert worker.session.engine is not None
        worker.session.engine.last_output = deque()
        worker.session.attempts.connected_once = connected
        if exit_reason:
            worker.engine_says(state("EXITING", exit_reason))
        events.engine_ended(worker.session, how)
        assert reports(worker) == [report] and worker.phase() is Phase.STOPPING


@pytest.mark.parametrize("printed", [["Options error: x", "Use --help for more information."], []])
def test_an_engine_that_does_not_accept_its_profile(printed: list[str]) -> None:
    with bare_worker(Phase.STARTING) as worker:
        assert worker.session.engine is not None
        worker.session.engine.last_output = deque(printed)
        events.engine_ended(worker.session, "exited with 1")
        why = printed[0] if printed else "exited with 1"
        assert reports(worker) == [messages.Refused(f"The engine does not accept the profile: {why}", Cause.PROFILE)]


# An engine that may be stuck


def test_a_sign_of_life_is_given_and_the_engine_asked_for_one_once() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        for _ in range(2):
            worker.tell(messages.Ping())
        assert worker.said() == [messages.Pong(), messages.Pong()] and worker.commands() == ["pid"]
        assert worker.session.timers.time_left() is not None
        worker.engine_says("SUCCESS: pid=7")
        assert worker.session.timers.time_left() is None
        worker.tell(messages.Ping())
        assert worker.commands() == ["pid"]


def test_an_engine_without_a_connection_is_not_asked() -> None:
    with bare_worker(Phase.STARTING) as worker:
        worker.session.downlink.connection = None
        worker.tell(messages.Ping())
        assert worker.said() == [messages.Pong()] and worker.session.timers.time_left() is None


def test_an_engine_that_does_not_answer_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "ANSWER_DEADLINE", 0.0)
    with bare_worker(Phase.RUNNING) as worker:
        worker.tell(messages.Ping())
        worker.session.timers.run_due()
        assert worker.said() == [
            messages.Pong(),
            messages.EngineDied("The engine does not answer within 0 s, and is killed", Cause.ENGINE_DIED),
        ]


def test_a_proxy_that_has_no_more_to_say_has_not_failed() -> None:
    """But one that says nothing has."""
    silence = log_line("recv_line: TCP port read timeout expired: Operation now in progress (errno=115)", "I")
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(log_line("HTTP proxy returned: 'HTTP/1.1 200 Connection established'", ""))
        worker.engine_says(silence)
        assert reports(worker) == []
        worker.engine_says(silence)
        [report] = reports(worker)
        assert isinstance(report, messages.AttemptFailed) and report.cause is Cause.PROXY_FAILED


@pytest.mark.parametrize("asked", [messages.Restart(1), messages.Pause(1, "lunch")])
def test_another_supervisor_does_not_hear_of_a_connection_that_is_given_up(asked: messages.ToWorker) -> None:
    """The engine may take a while to say so."""
    with bare_worker(Phase.RUNNING) as worker:
        connect(worker)
        standing = worker.session.uplink.standing
        assert any(isinstance(one, messages.Connected) for one in standing.all())
        worker.tell(asked)
        assert not any(isinstance(one, messages.Connected) for one in standing.all())


def test_nor_of_one_that_was_lost_while_its_user_was_asked() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        connect(worker)
        worker.session.machine.happened(Event.INPUT_NEEDED)
        worker.engine_says(state("RECONNECTING", "ping-restart"))
        assert not any(isinstance(one, messages.Connected) for one in worker.session.uplink.standing.all())


def test_no_attempt_fails_before_the_connection_is_said_to_be_lost() -> None:
    """Whatever the engine was thought to be doing when it lost it."""
    with bare_worker(Phase.RUNNING) as worker:
        connect(worker)
        worker.session.attempts.remotes.tried = "255.255.255.255"
        worker.engine_says(state("RECONNECTING", "ping-restart"))
        worker.engine_says(state("RECONNECTING", "tls-error"))
        told = [type(one) for one in reports(worker)]
        assert told == [messages.Reconnecting, messages.AttemptFailed]
