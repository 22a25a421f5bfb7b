"""What a worker does by itself: how long it waits, what it makes of late answers, what it counts, what it logs."""

import os

import pytest

from ...ipc import messages
from ...policy.causes import Cause, Failure
from ...policy.dbus_numbers import InputGroup, LogCategory
from ...policy.limits import LOG_CREDIT
from ...worker.profile.values import Remote
from ...worker.session.phases import Phase
from ...worker.session.remotes import Remotes
from ..support.bare_worker import BareWorker, bare_worker

ASKS_FOR_LOGIN = ">PASSWORD:Need 'Auth' username/password"
ASKS_FOR_CODE = ">INFOMSG:CR_TEXT:R,E:Enter the code"
SENDS_TO_WEB_PAGE = ">INFOMSG:WEB_AUTH::https://login.example/"


def code(text: bytes) -> messages.UserAnswer:
    """What the user typed for the question of ASKS_FOR_CODE."""
    return messages.UserAnswer(InputGroup.CHALLENGE_AUTH_PENDING, "auth_pending", memoryview(text))


def failures(worker: BareWorker) -> list[str]:
    """The reasons with which the session failed, once every deadline that has passed was looked at."""
    worker.session.timers.run_due()
    return [message.reason for message in worker.said() if isinstance(message, messages.Failed)]


# How long it waits.  A deadline of no seconds has passed as soon as it runs.


@pytest.mark.parametrize("asked", [ASKS_FOR_LOGIN, ASKS_FOR_CODE, SENDS_TO_WEB_PAGE])
def test_no_deadline_runs_while_the_user_is_asked(asked: str) -> None:
    with bare_worker(Phase.HELD, connect_deadline=0.0) as worker:
        worker.tell(messages.Connect(1))
        worker.engine_says(asked)
        assert failures(worker) == []


def test_it_runs_where_nobody_is_asked() -> None:
    with bare_worker(Phase.HELD, connect_deadline=0.0) as worker:
        worker.tell(messages.Connect(1))
        [reason] = failures(worker)
        assert "No connection within 0 s" in reason


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        (ASKS_FOR_LOGIN, [messages.Connect(2)]),
        (ASKS_FOR_CODE, [code(b"123456")]),
    ],
)
def test_it_begins_anew_with_the_answer(asked: str, answers: list[messages.ToWorker]) -> None:
    with bare_worker(Phase.HELD, connect_deadline=0.0) as worker:
        worker.tell(messages.Connect(1))
        worker.engine_says(asked)
        assert failures(worker) == []
        worker.session.user_input.query = ""  # Connect need not answer it
        for message in answers:
            worker.tell(message)
        [reason] = failures(worker)
        assert "No connection within 0 s" in reason


@pytest.mark.parametrize(("suggested", "least", "most"), [(0, 0.9, 1.0), (5, 4.9, 5.0), (300, 29.9, 30.0)])
def test_the_pause_between_attempts(suggested: int, least: float, most: float) -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(f">HOLD:Waiting for hold release:{suggested}")
        left = worker.session.timers.time_left()
        assert left is not None and least < left <= most
        assert worker.commands() == []


def test_no_pause_after_a_restart() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.tell(messages.Restart(1))
        worker.engine_says(">HOLD:Waiting for hold release:10")
        assert worker.session.timers.time_left() == 0


def test_an_engine_goes_on_when_an_address_is_known() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        attempts, engine = worker.session.attempts, worker.session.engine
        assert engine is not None
        engine._hosts = os.memfd_create("hosts")
        attempts.looking_up.clear()
        attempts.remotes = Remotes([Remote("vpn.example", 1194, "udp")])
        worker.tell(messages.Restart(1))
        worker.engine_says(">HOLD:Waiting for hold release:0")
        worker.session.timers.run_due()
        assert messages.Resolve("vpn.example") in worker.said()
        assert worker.commands() == ["signal SIGUSR1"]
        worker.tell(messages.Resolved("vpn.example", ("198.51.100.1",), ""))
        assert worker.commands() == ["hold release"]
        assert os.pread(engine._hosts, 100, 0) == b"198.51.100.1 vpn.example\n"
        os.close(engine._hosts)


def test_a_name_without_an_address_is_looked_up_again_in_a_while() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        attempts = worker.session.attempts
        attempts.remotes = Remotes([Remote("vpn.example", 1194, "udp")])
        attempts.engine_holds = True
        worker.tell(messages.Resolved("vpn.example", (), "no such name"))
        left = worker.session.timers.time_left()
        assert left is not None and 2 < left <= 3
        assert not any(isinstance(one, messages.Resolve) for one in worker.said())
        attempts.allow()  # when that is over
        assert messages.Resolve("vpn.example") in worker.said()
        assert worker.commands() == []
        assert attempts.failure == Failure(Cause.NAME_UNKNOWN, "Cannot resolve vpn.example: no such name")


# Late answers.


def responses(worker: BareWorker) -> list[str]:
    return [command for command in worker.commands() if command.startswith("cr-response")]


def test_an_answer_goes_to_the_login_that_it_is_for() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(ASKS_FOR_CODE)
        worker.tell(code(b"123456"))
        assert responses(worker) == ["cr-response MTIzNDU2"]
        assert worker.phase() is Phase.RUNNING


def test_an_answer_to_a_login_that_is_over_goes_nowhere() -> None:
    """The engine goes on by itself, and then the answer comes, before the next login has asked."""
    with bare_worker(Phase.RUNNING) as worker:
        worker.tell(code(b"123456"))
        assert worker.commands() == [] and worker.phase() is Phase.RUNNING
        worker.engine_says(ASKS_FOR_CODE)
        assert worker.phase() is Phase.WAITING
        worker.tell(code(b"654321"))
        assert responses(worker) == ["cr-response NjU0MzIx"]


def test_an_answer_that_the_server_did_not_wait_for_is_not_given_to_the_next_login() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(ASKS_FOR_CODE)
        worker.session.attempts.engine_holds = True  # the server gave the login up
        worker.tell(code(b"123456"))
        assert responses(worker) == []
        assert worker.phase() is Phase.RUNNING
        worker.session.attempts.engine_holds = False
        worker.engine_says(ASKS_FOR_CODE)
        assert responses(worker) == [] and worker.phase() is Phase.WAITING


# What cannot be answered.


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (">PASSWORD:Need 'Shoe Size' username/password", "the engine asks for 'Shoe Size', which is not supported"),
        (">NEED-OK:Need nothing", "the engine asks for 'NEED-OK', which is not supported"),
    ],
)
def test_what_the_engine_asks_and_nobody_can_answer_ends_the_session(asked: str, reason: str) -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(asked)
        assert failures(worker) == [f"The session cannot go on: {reason}"]
        assert worker.phase() is Phase.STOPPING


def test_an_answer_that_the_engine_cannot_take_ends_the_session() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        for name in ("username", "password"):
            worker.tell(messages.UserAnswer(InputGroup.USER_PASSWORD, name, memoryview(b"x" * 256)))
        worker.engine_says(ASKS_FOR_LOGIN)
        assert failures(worker) == [
            "The session cannot go on: the input takes more than the 255 bytes that OpenVPN accepts"
        ]


# What it counts.


def sums(worker: BareWorker) -> list[tuple[int, int]]:
    return [(one.bytes_in, one.bytes_out) for one in worker.said() if isinstance(one, messages.Traffic)]


def test_bytes_add_up_over_connections() -> None:
    """Whether the engine begins again at 0 with each, or goes on."""
    with bare_worker(Phase.RUNNING) as worker:
        for counted in ((5, 7), (10, 20), (1, 2), (4, 2), (3, 9), (4, 1)):
            worker.engine_says(f">BYTECOUNT:{counted[0]},{counted[1]}")
        assert sums(worker) == [(5, 7), (10, 20), (11, 22), (14, 22), (17, 31), (21, 32)]
        worker.engine_says("SUCCESS: nclients=0,bytesin=0,bytesout=0")
        worker.engine_says("SUCCESS: nclients=0,bytesin=1,bytesout=1")
        assert sums(worker) == [(22, 33)]


def test_what_has_not_changed_is_told_only_when_it_is_asked_for() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        for _ in range(3):
            worker.engine_says(">BYTECOUNT:5,7")
        assert sums(worker) == [(5, 7)]
        for _ in range(2):
            worker.tell(messages.Count())
            assert (sums(worker), worker.commands()) == ([], ["load-stats"])
            worker.engine_says("SUCCESS: nclients=0,bytesin=5,bytesout=7")
            worker.engine_says(">BYTECOUNT:5,7")
            assert sums(worker) == [(5, 7)]


def test_without_an_engine_to_ask_it_tells_what_it_knows() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(">BYTECOUNT:5,7")
        worker.session.downlink.connection = None
        worker.tell(messages.Count())
        assert sums(worker) == [(5, 7), (5, 7)]


def test_what_is_agreed_on_anew_is_told_in_a_moment() -> None:
    """Nothing else need happen before: no counter changes."""
    with bare_worker(Phase.RUNNING) as worker:
        worker.session.attempts.remotes = Remotes([Remote("198.51.100.1", 1194, "udp")])
        worker.engine_says(">LOG:1,,Control Channel: TLSv1.3, cipher TLSv1.3 TLS_AES_128_GCM_SHA256, peer")
        assert worker.session.timers.time_left() is None
        worker.engine_says(">STATE:1,CONNECTED,SUCCESS,198.18.0.2,198.51.100.1,1194,,")
        worker.engine_says("SUCCESS: nclients=0,bytesin=5,bytesout=7")
        assert [one.tls for one in agreed(worker)] == ["TLSv1.3 TLS_AES_128_GCM_SHA256"]
        worker.engine_says(">LOG:1,,Control Channel: TLSv1.3, cipher TLSv1.3 TLS_AES_256_GCM_SHA384, peer")
        left = worker.session.timers.time_left()
        assert left is not None and left <= 1 and not agreed(worker)
        worker.engine_says(">LOG:1,,Data Channel: cipher 'AES-256-GCM', peer-id: 0")
        worker.time_passes()
        [told] = agreed(worker)
        assert (told.tls, told.cipher) == ("TLSv1.3 TLS_AES_256_GCM_SHA384", "AES-256-GCM")
        assert worker.session.timers.time_left() is None


def agreed(worker: BareWorker) -> list[messages.Negotiated]:
    return [one for one in worker.said() if isinstance(one, messages.Negotiated)]


# What it logs.


def logged(worker: BareWorker) -> list[str]:
    return [message.text for message in worker.said() if isinstance(message, messages.LogLine)]


def test_log_lines_beyond_the_credit_are_dropped_and_counted() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        for number in range(LOG_CREDIT + 30):
            worker.session.uplink.log(LogCategory.INFO, f"line {number}")
        assert logged(worker) == [f"line {number}" for number in range(LOG_CREDIT)]
        worker.tell(messages.LogCredit(1))  # not enough for a line and for what is said of the others
        worker.session.uplink.log(LogCategory.INFO, "another")
        assert logged(worker) == []
        worker.tell(messages.LogCredit(1))
        for text in ("next", "one more"):
            worker.session.uplink.log(LogCategory.INFO, text)
        assert logged(worker) == ["31 log lines were dropped here", "next"]
        worker.tell(messages.LogCredit(2))
        worker.session.uplink.log(LogCategory.INFO, "the last")
        assert logged(worker) == ["1 log lines were dropped here", "the last"]


def test_no_more_credit_than_a_full_one_is_kept() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.tell(messages.LogCredit(LOG_CREDIT))
        for number in range(LOG_CREDIT + 1):
            worker.session.uplink.log(LogCategory.INFO, f"line {number}")
        assert len(logged(worker)) == LOG_CREDIT


def test_a_line_that_the_level_hides_costs_no_credit() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.tell(messages.SetLogLevel(3))
        for _ in range(LOG_CREDIT):
            worker.session.uplink.log(LogCategory.DEBUG, "unseen")
        worker.session.uplink.log(LogCategory.INFO, "seen")
        assert logged(worker) == ["seen"]


def test_the_other_names_have_their_grace_once() -> None:
    """However many they are, and as long as answers keep coming, what has an address is tried."""
    with bare_worker(Phase.HELD) as worker:
        session = worker.session
        session.attempts.looking_up.clear()
        hosts = ["192.0.2.1", *(f"n{number}.example" for number in range(20))]
        session.attempts.remotes = Remotes([Remote(host, 1194, "udp") for host in hosts])
        worker.tell(messages.Connect(1))
        before = session.timers._timers["grace"]
        for host in hosts[1:4]:
            worker.tell(messages.Resolved(host, ("192.0.2.2",)))
        assert session.timers._timers["grace"] == before and session.attempts.engine_holds
        assert session.engine is not None
        session.engine._hosts = os.memfd_create("hosts")
        before[1]()
        os.close(session.engine._hosts)
        assert not session.attempts.engine_holds and not session.timers.runs("grace")
