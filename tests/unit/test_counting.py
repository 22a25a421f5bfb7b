"""Who reads what is counted waits for the engine a moment at most, and asks it no second time meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ...ipc import messages
from ...policy.limits import COUNT_PATIENCE, COUNT_PATIENCE_BACK
from ...supervisor.sessions import counting
from ...supervisor.sessions.counting import Counting, Patience
from ...supervisor.sessions.states import State
from ...supervisor.sessions.statistics import Statistics
from ..support.bare import session_in

DEADLINE = 20.0  # seconds


class Asked:
    """What is counted in a run whose worker is the test."""

    def __init__(self, patience: Patience | None = None, user: int = 1000) -> None:
        self.questions: list[messages.Count] = []
        self.counting = Counting(Statistics(), self.questions.append, patience or Patience(), user)

    def look(self, *, can_ask: bool = True) -> Awaitable[None] | None:
        return self.counting.look("", can_ask=can_ask)

    async def time_passes(self) -> None:
        self.counting._current_until = asyncio.get_running_loop().time()


def run(body: Callable[[Asked], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(DEADLINE):
            await body(Asked())

    asyncio.run(main())


def test_all_who_read_wait_for_one_answer_which_holds_a_while() -> None:
    async def body(asked: Asked) -> None:
        waiting = [asked.look(), asked.look()]
        assert None not in waiting
        await asyncio.sleep(0)
        assert len(asked.questions) == 1
        asked.counting.answered()
        await asyncio.gather(*(one for one in waiting if one is not None))
        assert asked.look() is None
        await asked.time_passes()
        again = asked.look()
        assert again is not None
        await asyncio.sleep(0)
        assert len(asked.questions) == 2
        asked.counting.answered()
        await again

    run(body)


def test_one_that_does_not_answer_is_not_asked_again_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "COUNT_DEADLINE", 0.01)

    async def body(asked: Asked) -> None:
        for _ in range(3):
            waiting = asked.look()
            assert waiting is not None
            await waiting
            await asked.time_passes()
        assert len(asked.questions) == 1
        asked.counting.answered()
        waiting = asked.look()
        assert waiting is not None
        await waiting
        assert len(asked.questions) == 2

    run(body)


def test_whoever_waits_is_answered_when_the_run_ends_or_a_caller_leaves() -> None:
    async def body(asked: Asked) -> None:
        leaves, waits = asked.look(), asked.look()
        assert leaves is not None and waits is not None
        task = asyncio.ensure_future(leaves)
        await asyncio.sleep(0)
        task.cancel()
        asked.counting.end()
        await waits

    run(body)


def test_a_worker_that_does_not_know_the_question_is_not_asked() -> None:
    async def body(asked: Asked) -> None:
        waiting = asked.look(can_ask=False)
        assert waiting is not None
        await waiting
        assert not asked.questions and asked.look(can_ask=False) is None

    run(body)


def test_many_sessions_of_one_user_that_answer_late_hold_up_no_reader_of_all() -> None:
    """Each may answer in time to be waited for again; one who may read all would wait for one after the other."""

    async def main() -> None:
        patience = Patience()
        bobs = [Asked(patience, user=1001) for _ in range(20)]
        waited = 0
        async with asyncio.timeout(DEADLINE):
            for bob in bobs:
                if (waiting := bob.look()) is not None:
                    waited += 1
                    await waiting
                else:
                    await asyncio.sleep(0)
            assert waited < 5
            assert all(bob.questions for bob in bobs)  # so whoever reads again has what they say
            alice = Asked(patience)
            waiting = alice.look()
            assert waiting is not None
            await asyncio.sleep(0)
            alice.counting.answered()
            await waiting

    asyncio.run(main())


def test_what_was_waited_is_forgiven_after_a_while() -> None:
    async def main() -> None:
        patience = Patience()
        assert patience.has_any(1001)
        patience.spend(1001, 2 * COUNT_PATIENCE)
        assert not patience.has_any(1001) and patience.has_any(1000)
        now = asyncio.get_running_loop().time() + 2 * COUNT_PATIENCE_BACK
        patience.now = lambda: now
        assert patience.has_any(1001)
        patience.spend(1001, COUNT_PATIENCE / 2)
        assert patience.has_any(1001)

    asyncio.run(main())


@pytest.mark.parametrize(("minor", "knows"), [(0, False), (messages.COUNT_SINCE, True), (messages.MINOR, True)])
def test_who_knows_it(minor: int, knows: bool) -> None:
    async def say() -> None:
        with session_in(State.CONNECTED) as session:
            session.bare_run.conversation.go_on(0, None, minor)
            assert session.bare_run.conversation.counts_when_asked is knows

    asyncio.run(say())
