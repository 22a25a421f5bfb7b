"""Look-ups of accounts in a directory that may hang."""

import asyncio
import os
import pwd
import subprocess
import sys
import threading

import pytest

from ...policy.limits import MAX_ACCOUNT_LOOKUPS, MAX_ACCOUNT_LOOKUPS_PER_USER
from ...supervisor.accounts import account_id, account_name, look_up

NOBODY = 4_000_000_000


def test_names_and_numbers() -> None:
    async def test() -> None:
        me = pwd.getpwuid(os.getuid()).pw_name
        assert await account_name(os.getuid()) == me
        assert await account_id(me, NOBODY) == os.getuid()
        assert await account_name(NOBODY) == str(NOBODY)
        with pytest.raises(KeyError):
            await account_id("no such user", NOBODY)

    asyncio.run(test())


def test_what_hangs_is_given_up_and_bounded() -> None:
    """A user whose look-ups hang leaves places to others; all together have so many."""
    directory_answers = threading.Event()

    async def test() -> None:
        hanging = []
        for user in range(MAX_ACCOUNT_LOOKUPS // MAX_ACCOUNT_LOOKUPS_PER_USER):
            assert await look_up(os.getuid, user) == os.getuid()
            for _ in range(MAX_ACCOUNT_LOOKUPS_PER_USER):
                hanging.append(asyncio.create_task(look_up(directory_answers.wait, user)))
            await asyncio.sleep(0)
            with pytest.raises(TimeoutError):  # it waits for one of these
                await look_up(os.getuid, user)
        with pytest.raises(TimeoutError):
            await look_up(os.getuid, NOBODY)
        outcomes = await asyncio.gather(*hanging, return_exceptions=True)
        assert all(isinstance(outcome, TimeoutError) for outcome in outcomes)

        directory_answers.set()
        until_free = threading.Event()
        while True:  # each thread frees its place as it ends
            try:
                assert await look_up(until_free.is_set, NOBODY) is False
                return
            except TimeoutError:
                continue

    asyncio.run(test())


def test_many_look_ups_of_one_user_wait_for_each_other() -> None:
    async def test() -> None:
        wanted = [look_up(os.getuid, NOBODY) for _ in range(5 * MAX_ACCOUNT_LOOKUPS)]
        assert await asyncio.gather(*wanted) == [os.getuid()] * len(wanted)

    asyncio.run(test())


def test_what_hangs_does_not_keep_the_service_from_ending() -> None:
    program = """
import asyncio, threading
from openvpn3_sessionmgr.supervisor.accounts import look_up
async def main():
    try:
        await look_up(threading.Event().wait, 0)
    except TimeoutError:
        print("given up")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "given up\n"
