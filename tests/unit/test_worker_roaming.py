"""What a worker does when the way to its server changes; how long it waits is not waited for."""

from collections.abc import Iterator

import pytest

from ...ipc import messages
from ...policy.causes import Cause
from ...policy.limits import COUNT_INTERVAL, MAX_LOOKUPS_PER_SESSION
from ...worker.profile.values import Remote
from ...worker.session.phases import Phase
from ...worker.session.remotes import Remotes
from ..support.bare_worker import BareWorker, bare_worker

NO_WAY = messages.AttemptFailed(
    0, "network-unreachable", "No way to the server: waiting for a network", Cause.UNREACHABLE
)
ANOTHER, NONE, THE_SAME = messages.Way(True, True), messages.Way(False, False), messages.Way(True, False)
RESTART = "signal SIGUSR1"
EACH_SECOND, NOW_AND_THEN = ["load-stats", "bytecount 1"], [f"bytecount {COUNT_INTERVAL}"]


def connected(worker: BareWorker, protocol: str) -> None:
    """Have it be connected, with nothing sent or received yet."""
    worker.session.attempts.remotes = Remotes([Remote("198.51.100.1", 1194, protocol)])
    worker.engine_says(">STATE:1,CONNECTED,SUCCESS,198.18.0.2,198.51.100.1,1194,,")
    worker.engine_says("SUCCESS: nclients=0,bytesin=0,bytesout=0")
    assert messages.Servers(("198.51.100.1",)) in worker.said()
    worker.commands()


@pytest.fixture
def udp() -> Iterator[BareWorker]:
    """One that is connected over UDP."""
    with bare_worker(Phase.RUNNING) as worker:
        connected(worker, "udp")
        yield worker


@pytest.fixture
def tcp() -> Iterator[BareWorker]:
    """One that is connected over TCP."""
    with bare_worker(Phase.RUNNING) as worker:
        connected(worker, "tcp")
        yield worker


def test_tcp_connects_anew_at_once(tcp: BareWorker) -> None:
    tcp.tell(ANOTHER)
    assert tcp.commands() == [RESTART]
    tcp.engine_says(">STATE:2,RECONNECTING,SIGUSR1,,,,,")
    tcp.engine_says(">HOLD:Waiting for hold release:10")
    assert tcp.session.timers.time_left() == 0
    assert [type(one) for one in tcp.said() if not isinstance(one, messages.LogLine)] == [messages.Reconnecting]


def test_udp_that_is_answered_goes_on(udp: BareWorker) -> None:
    udp.tell(ANOTHER)
    assert udp.commands() == EACH_SECOND
    udp.engine_says("SUCCESS: nclients=0,bytesin=50,bytesout=60")
    udp.engine_says(">BYTECOUNT:50,90")
    assert udp.commands() == []
    udp.engine_says(">BYTECOUNT:80,90")
    udp.time_passes()
    assert udp.commands() == NOW_AND_THEN


def test_udp_that_is_not_answered_connects_anew(udp: BareWorker) -> None:
    udp.tell(ANOTHER)
    udp.engine_says("SUCCESS: nclients=0,bytesin=50,bytesout=60")
    udp.time_passes()
    assert udp.commands() == EACH_SECOND  # nothing was sent that could be answered
    udp.engine_says(">BYTECOUNT:50,90")
    udp.time_passes()
    assert udp.commands() == [RESTART]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_a_user_who_would_be_asked_again_is_spared(protocol: str) -> None:
    """TCP that is dead is dead, but UDP may live."""
    with bare_worker(Phase.RUNNING) as worker:
        worker.session.user_input.asked_at_login = True
        connected(worker, protocol)
        worker.tell(ANOTHER)
        worker.engine_says("SUCCESS: nclients=0,bytesin=50,bytesout=60")
        worker.engine_says(">BYTECOUNT:50,90")
        assert worker.commands() == EACH_SECOND
        worker.time_passes()
        assert worker.commands() == ([RESTART] if protocol == "tcp" else [])


def test_a_token_asks_for_nothing(tcp: BareWorker) -> None:
    tcp.session.user_input.asked_at_login = True
    tcp.session.user_input.auth_token_received()
    tcp.tell(ANOTHER)
    assert tcp.commands() == [RESTART]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_no_way_is_reported_and_the_connection_kept(protocol: str) -> None:
    with bare_worker(Phase.RUNNING) as worker:
        connected(worker, protocol)
        worker.tell(NONE)
        assert (worker.said(), worker.commands()) == ([], [])  # it may be over in a moment
        worker.time_passes()
        assert worker.said() == [messages.Reconnecting(0, "network-unreachable"), NO_WAY]
        worker.tell(THE_SAME)
        worker.engine_says("SUCCESS: nclients=0,bytesin=50,bytesout=60")
        worker.said()
        worker.engine_says(">BYTECOUNT:80,90")
        assert worker.commands() == EACH_SECOND + NOW_AND_THEN
        connected_again = messages.Connected(0, protocol, "198.51.100.1", 1194, "198.51.100.1")
        assert worker.said() == [connected_again, messages.Traffic(80, 90)]


def test_an_engine_that_holds_waits_for_a_way() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.session.attempts.looking_up.clear()
        worker.session.attempts.remotes = Remotes([Remote("198.51.100.1", 1194, "udp")])
        worker.engine_says(">HOLD:Waiting for hold release:0")
        worker.tell(NONE)
        assert NO_WAY in worker.said()
        assert worker.session.timers.time_left() is None
        worker.tell(NONE)
        assert NO_WAY not in worker.said()  # said once


def test_an_attempt_by_a_way_that_is_gone_is_given_up() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.session.attempts.remotes = Remotes([Remote("198.51.100.1", 1194, "udp")])
        worker.tell(NONE)
        assert worker.commands() == [RESTART]


@pytest.mark.parametrize("way", [ANOTHER, NONE])
def test_an_attempt_for_which_the_user_does_something_is_not(way: messages.Way) -> None:
    with bare_worker(Phase.RUNNING) as worker:
        worker.engine_says(">INFOMSG:WEB_AUTH::https://login.example/")
        worker.tell(way)
        assert worker.commands() == []


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.PAUSED, Phase.PAUSING, Phase.WAITING])
def test_an_engine_that_is_not_to_connect_does_not(phase: Phase) -> None:
    with bare_worker(phase) as worker:
        for way in (NONE, THE_SAME, ANOTHER):
            worker.tell(way)
        assert (worker.commands(), worker.said()) == ([], [])


NAME = "vpn.example"
GOOD, OTHER, FRESH = "198.51.100.1", "198.51.100.2", "198.51.100.3"


def by_name(worker: BareWorker, *more: str) -> None:
    """Have it be connected to a server by its name, which has two addresses; `more` are names of others."""
    remotes = Remotes([Remote(name, 1194, "tcp") for name in (NAME, *more)])
    for name in (NAME, *more):
        remotes.learned(name, (GOOD, OTHER))
    worker.session.attempts.looking_up.clear()
    worker.session.attempts.remotes = remotes
    worker.session.attempts._release_engine = lambda hosts: None
    worker.engine_says(f">STATE:1,CONNECTED,SUCCESS,198.18.0.2,{GOOD},1194,,")
    worker.said()
    worker.commands()


def lose(worker: BareWorker) -> None:
    """The connection is lost, and the engine let go for its next attempt."""
    worker.engine_says(">STATE:2,RECONNECTING,SIGUSR1,,,,,")
    worker.engine_says(">HOLD:Waiting for hold release:0")
    worker.time_passes()
    assert not worker.session.attempts.engine_holds


def looked_up(worker: BareWorker) -> list[str]:
    return [one.host for one in worker.said() if isinstance(one, messages.Resolve)]


def test_in_another_network_names_are_looked_up_anew_beside_the_attempt() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        by_name(worker)
        remotes = worker.session.attempts.remotes
        worker.tell(ANOTHER)
        assert looked_up(worker) == []  # as long as it is connected
        lose(worker)
        assert looked_up(worker) == [NAME]
        assert remotes.addresses() == (GOOD, OTHER)
        worker.commands()
        worker.tell(messages.Resolved(NAME, (FRESH, GOOD)))
        assert worker.commands() == []
        assert remotes.addresses() == (GOOD, FRESH)
        lose(worker)
        assert looked_up(worker) == []  # once is enough


def test_in_the_same_network_nothing_is_asked() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        by_name(worker)
        worker.tell(NONE)
        worker.tell(THE_SAME)
        lose(worker)
        assert looked_up(worker) == []


def test_a_name_that_cannot_be_looked_up_there_keeps_its_addresses() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        by_name(worker)
        worker.tell(ANOTHER)
        lose(worker)
        worker.tell(messages.Resolved(NAME, (), "nobody answers"))
        assert worker.session.attempts.remotes.addresses() == (GOOD, OTHER)
        assert worker.session.attempts.failure is None


def test_all_names_are_looked_up_anew_some_at_a_time() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        names = [f"vpn{number}.example" for number in range(5)]
        by_name(worker, *names)
        worker.tell(ANOTHER)
        lose(worker)
        asked = list[str]()
        while now := looked_up(worker):
            assert len(now) <= MAX_LOOKUPS_PER_SESSION
            asked += now
            for name in now:
                worker.tell(messages.Resolved(name, (FRESH,)))
        assert asked == [NAME, *names]


def test_an_engine_that_comes_to_a_name_meanwhile_waits_for_it() -> None:
    with bare_worker(Phase.RUNNING) as worker:
        by_name(worker)
        worker.tell(ANOTHER)
        lose(worker)
        assert looked_up(worker) == [NAME]
        remotes = worker.session.attempts.remotes
        for address in (GOOD, OTHER):
            remotes.tried = address
            remotes.attempt_failed()
        worker.engine_says(">HOLD:Waiting for hold release:0")
        worker.time_passes()
        assert worker.session.attempts.engine_holds
        assert looked_up(worker) == []  # it is asked for already
        worker.tell(messages.Resolved(NAME, (FRESH,)))
        assert not worker.session.attempts.engine_holds
        assert remotes.addresses() == (FRESH,)
