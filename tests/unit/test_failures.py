"""Which failures are kept, for how many users, who sees them, and what the files may hold."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from ...policy.causes import CAUSES, Cause
from ...policy.dbus_numbers import StatusMinor
from ...policy.limits import (
    MAX_FAILURE_FILE,
    MAX_FAILURE_USERS,
    MAX_FAILURES_PER_USER,
    MAX_FAILURES_SHOWN,
    MAX_PROFILE_NAME,
    MAX_STATUS_TEXT,
)
from ...supervisor.bus.callers import Callers
from ...supervisor.bus.connection import BusConnection
from ...supervisor.bus.dispatch import Dispatcher
from ...supervisor.bus.failures_api import FAILURES_PATH
from ...supervisor.logging.log import Log
from ...supervisor.sessions import failure_files
from ...supervisor.sessions.failures import Failures
from ...supervisor.sessions.past_failure import PastFailure, Reached

PATH = "/net/openvpn/v3/sessions/" + "0" * 36


def failure(starter: int, number: int = 0, *, owner: int = 0, text: str = "no", profile: str = "work") -> PastFailure:
    return PastFailure(
        time=1_000_000 + number,
        owner=owner or starter,
        starter=starter,
        session=PATH,
        profile=profile,
        reached=Reached.CONNECTING,
        seconds=1,
        status=StatusMinor.CONN_FAILED,
        text=text,
        cause=Cause.NO_ANSWER,
    )


@asynccontextmanager
async def failures(directory: Path) -> AsyncIterator[tuple[Failures, Dispatcher]]:
    """The failures in a directory, with a bus that nobody is on."""
    place = directory / "bus"
    place.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(place))
        bus.listen()
        connection = BusConnection(f"unix:path={place}")
        dispatcher = Dispatcher(connection, Callers(connection), service_uid=0, log=Log())
        made = Failures(directory / "failures", dispatcher, Log())
        await made.load()
        yield made, dispatcher
        await made.close()
        connection.close()


def shown(dispatcher: Dispatcher) -> set[int]:
    """The users who have an object."""
    return {int(path.rpartition("/")[2]) for path in dispatcher.exported if path.startswith(FAILURES_PATH)}


def test_each_starter_has_so_many_and_the_next_service_knows_them(tmp_path: Path) -> None:
    async def main() -> None:
        async with failures(tmp_path) as (made, _):
            for number in range(MAX_FAILURES_PER_USER + 2):
                made.add(failure(1000, number))
            made.add(failure(1001, 1, owner=1002))
        async with failures(tmp_path) as (made, dispatcher):
            newest = [one.time - 1_000_000 for one in made.of(1000)]
            assert newest == list(range(MAX_FAILURES_PER_USER + 1, 1, -1))
            assert made.of(1001) == made.of(1002) == [failure(1001, 1, owner=1002)]
            assert len(made.of(0)) == MAX_FAILURES_PER_USER + 1 and made.of(1003) == []
            assert shown(dispatcher) == {0, 1000, 1001, 1002}

    asyncio.run(main())


def test_of_many_users_the_one_is_forgotten_who_has_not_failed_for_longest(tmp_path: Path) -> None:
    async def main() -> None:
        async with failures(tmp_path) as (made, dispatcher):
            for user in range(MAX_FAILURE_USERS):
                made.add(failure(user + 1, user))
            made.add(failure(1, MAX_FAILURE_USERS))
            made.add(failure(9999, MAX_FAILURE_USERS))
            assert made.of(2) == [] and len(made.of(1)) == 2 and 2 not in shown(dispatcher)
            assert len(made.of(0)) == MAX_FAILURES_SHOWN
        kept = {int(file.stem) for file in (tmp_path / "failures").iterdir()}
        assert kept == {*range(1, MAX_FAILURE_USERS + 1), 9999} - {2}

    asyncio.run(main())


def test_the_largest_file_that_is_written_is_read(tmp_path: Path) -> None:
    longest = failure(2**32 - 2, text="\N{GRINNING FACE}" * MAX_STATUS_TEXT, profile="\\" * MAX_PROFILE_NAME)
    failure_files.write(tmp_path, longest.starter, [longest] * MAX_FAILURES_PER_USER)
    [file] = tmp_path.iterdir()
    assert file.stat().st_size <= MAX_FAILURE_FILE
    assert failure_files.load(tmp_path) == ({longest.starter: (longest,) * MAX_FAILURES_PER_USER}, [])


def test_what_to_do_is_told_of_the_causes_that_are_known() -> None:
    assert failure(1000).hint == CAUSES[Cause.NO_ANSWER].hint != ""
    unknown = PastFailure(0, 0, 0, PATH, "work", Reached.READY, 0, 0, "no", "of another release")
    assert unknown.hint == ""
