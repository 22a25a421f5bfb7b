"""Whatever an engine says, its worker sends nothing that the supervisor takes for a breach of the rules."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ...ipc import messages
from ...policy import network
from ...policy.limits import MAX_SLOTS, MAX_URL, MAX_WORKER_REPORTS
from ...supervisor.sessions.states import State
from ...worker.profile.values import Proxy, Remote
from ...worker.session import events
from ...worker.session.management import Parser
from ...worker.session.phases import Phase
from ...worker.session.remotes import Remotes
from ..support.bare import REQUEST_NUMBER, BareSession, session_in
from ..support.bare_worker import BareWorker, bare_worker

STATES = {Phase.HELD: State.READY, Phase.RUNNING: State.CONNECTING, Phase.PAUSING: State.PAUSING}
REMOTES = (
    Remote("vpn.example", 1194, "udp"),
    Remote("198.51.100.1", 443, "tcp", Proxy("http", "proxy.example")),
    Remote("2001:db8::1", 443, "tcp", Proxy("socks", "192.0.2.1")),
)


class Pair:
    """A worker in a phase, and the supervisor's side of its session."""

    def __init__(self, worker: BareWorker, session: BareSession) -> None:
        self._worker, self._session, self._parser = worker, session, Parser()
        worker.session.attempts.remotes = Remotes(REMOTES)
        worker.session.uplink.request_number = REQUEST_NUMBER

    def engine_says(self, *lines: str) -> None:
        """The engine says these, and the supervisor hears what the worker makes of them."""
        for line in lines:
            event = self._parser.parse(line)
            if event is not None:
                events.handle(self._worker.session, event)
            self._pass_on()

    def _pass_on(self) -> None:
        """What the worker has said arrives at the supervisor, which raises ProtocolViolation if it may not be."""
        for message in self._worker.said():
            if isinstance(message, messages.ApplyNetwork):
                network.check(message.settings)
            elif not isinstance(message, messages.ClearNetwork):  # there is no network
                self._session.hear(message)


def meet(phase: Phase, body: Callable[[BareWorker, BareSession, Pair], None]) -> None:
    async def main() -> None:
        with bare_worker(phase) as worker, session_in(STATES[phase]) as session:
            body(worker, session, Pair(worker, session))
            session.forget()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

    asyncio.run(main())


WORDS = st.sampled_from(
    [
        *("", "SUCCESS", "a", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "vpn.example", "tls-error", "auth-failure"),
        *("0", "-1", "1194", "65536", "9" * 19, "9" * 20),
        *("x" * 600, "日本" * 300, "a\tb", "\x1b[2J", "\u202e", "R,E", "E"),
        *("HTTP://x.example/", "https://" + "y" * MAX_URL, "https:///", "ftp://x.example/"),
    ]
)
TEXTS = st.one_of(WORDS, st.text(max_size=40))


def fields(separator: str, *parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map(separator.join)


def fixed(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


LINES = st.one_of(
    fields(
        ",", fixed(">STATE:1"), fixed("CONNECTED", "RECONNECTING", "EXITING", "WAIT", "AUTH"), *[TEXTS] * 4
    ),
    fields(":", fixed(">INFOMSG"), fixed("OPEN_URL", "WEB_AUTH", "CR_TEXT", "X"), TEXTS, TEXTS),
    fields("", fixed(">INFOMSG:OPEN_URL:"), TEXTS),
    fields(",", fields("", fixed(">BYTECOUNT:"), WORDS), WORDS),
    fields("", fixed("SUCCESS: nclients=0,bytesin="), WORDS, fixed(",bytesout="), WORDS),
    fields("", fixed(">PASSWORD:"), fixed("Need 'Auth' username/password SC:1,", "Need 'Private Key' password",
           "Need 'HTTP Proxy' username/password", "Verification Failed: 'Auth' ['CRV1:R,E:s:YQ==:", "Need 'x"), TEXTS),
    fields("", fixed(">NEED-OK:Need 'token-insertion-request' confirmation MSG:Please insert "), TEXTS),
    fields("", fixed(">PKCS11ID-COUNT:"), WORDS),
    fields("", fixed(">PKCS11ID-ENTRY:'1', ID:'"), TEXTS, fixed("', BLOB:'YQ=='")),
    fields("", fixed(">NEED-STR:Need 'pkcs11-id-request' input MSG:"), TEXTS),
    fields("", fixed(">HOLD:", ">FATAL:", ">UPDOWN:UP", ">UPDOWN:ENV,", ">UPDOWN:ENV,END", "ERROR: "), TEXTS),
    fields(",", fixed(">LOG:1"), fixed("F", "N", "W", "I", "D"), TEXTS),
    TEXTS,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(phase=st.sampled_from(list(STATES)), lines=st.lists(LINES, max_size=12))
def test_whatever_an_engine_says(phase: Phase, lines: list[str]) -> None:
    meet(phase, lambda worker, session, pair: pair.engine_says(*[line.replace("\n", " ") for line in lines]))


def test_a_web_page_in_capitals_is_shown() -> None:
    def body(worker: BareWorker, session: BareSession, pair: Pair) -> None:
        pair.engine_says(">INFOMSG:OPEN_URL:HTTPS://login.example/")
        assert session.state is State.WEB_AUTH

    meet(Phase.RUNNING, body)


@pytest.mark.parametrize("count", [2, 50])
def test_all_certificates_that_a_user_is_offered_can_be_asked_for(count: int) -> None:
    def body(worker: BareWorker, session: BareSession, pair: Pair) -> None:
        pair.engine_says(">NEED-STR:Need 'pkcs11-id-request' input MSG:Please choose", f">PKCS11ID-COUNT:{count}")
        for number in range(count):
            pair.engine_says(f">PKCS11ID-ENTRY:'{number}', ID:'{'日' * 100}{number}', BLOB:'YQ=='")
        assert session.state is State.NEEDS_INPUT

    meet(Phase.RUNNING, body)


def test_a_certificate_whose_name_has_a_nul_is_asked_for_all_the_same() -> None:
    def body(worker: BareWorker, session: BareSession, pair: Pair) -> None:
        pair.engine_says(">NEED-STR:Need 'pkcs11-id-request' input MSG:Please choose", ">PKCS11ID-COUNT:1")
        pair.engine_says(">PKCS11ID-ENTRY:'0', ID:'a\0b', BLOB:'YQ=='")
        assert session.running

    meet(Phase.RUNNING, body)


@pytest.mark.parametrize("remote", ["", "日本", "x" * 254, "203.0.113.5,0", "203.0.113.5,65536"])
def test_a_connection_to_something_impossible_fails_with_the_reason(remote: str) -> None:
    def body(worker: BareWorker, session: BareSession, pair: Pair) -> None:
        where = remote if "," in remote else f"{remote},1194"
        pair.engine_says(f">STATE:1,CONNECTED,SUCCESS,198.18.0.2,{where}", "SUCCESS: nclients=0,bytesin=1,bytesout=2")
        assert session.state is State.FAILED and "connected to something impossible" in session.status[2]

    meet(Phase.RUNNING, body)


def test_counters_that_no_connection_reaches_are_as_good_as_the_highest() -> None:
    def body(worker: BareWorker, session: BareSession, pair: Pair) -> None:
        for number in ("9" * 19, "1", "9" * 19, "1", "9" * 18):
            pair.engine_says(f">BYTECOUNT:{number},{number}")
        for _ in range(2):
            session.statistics.begin_anew()
            pair.engine_says(f">BYTECOUNT:{'9' * 19},5")
        assert 0 < session.statistics.values()["BYTES_IN"] < 2**63

    meet(Phase.RUNNING, body)


@pytest.mark.parametrize(
    "line", [">INFOMSG:OPEN_URL:https://login.example/", ">INFOMSG:CR_TEXT:R:again?"], ids=["url", "question"]
)
def test_a_server_that_asks_without_end_fails_its_session_with_the_reason(line: str) -> None:
    def body(worker: BareWorker, session: BareSession, pair: Pair) -> None:
        for _ in range(MAX_WORKER_REPORTS * 2):
            pair.engine_says(line)
            if session.state is State.NEEDS_INPUT:
                answer(worker, session)
        assert session.state is State.FAILED and "asks" in session.status[2]

    meet(Phase.RUNNING, body)


def test_so_it_is_with_more_questions_than_a_session_may_ask() -> None:
    def body(worker: BareWorker, session: BareSession, pair: Pair) -> None:
        for _ in range(MAX_SLOTS + 1):
            worker.session.uplink._second = session.bare_run.conversation._second = 0.0  # it takes its time
            pair.engine_says(">INFOMSG:CR_TEXT:R:again?")
            if session.state is State.FAILED:
                break
            answer(worker, session)
        assert session.state is State.FAILED and f"more than {MAX_SLOTS} questions" in session.status[2]

    meet(Phase.RUNNING, body)


def answer(worker: BareWorker, session: BareSession) -> None:
    """The user answers all questions."""
    for kind, group in session.user_input.groups():
        for number in session.user_input.open_numbers(kind, group):
            session.user_input.answer(kind, group, number, "yes", lambda name: None)
    session.state = State.CONNECTING
    worker.session.machine.phase = Phase.RUNNING
