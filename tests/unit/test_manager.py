"""Finding sessions: who sees which, and by what."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from ...ipc import messages
from ...policy.access import Caller
from ...policy.limits import MAX_STARTS_PER_USER
from ...policy.session_places import Places
from ...supervisor.errors import CallerError
from ...supervisor.rights import Rights
from ...supervisor.services.external_configuration import ExternalConfiguration
from ...supervisor.sessions.manager import SessionManager
from ...supervisor.sessions.register import Register
from ...supervisor.sessions.states import State
from ..support.bare import REQUEST_NUMBER, BareSession, session_in

ALICE, BOB, ROOT = Caller(":1.1", 1000), Caller(":1.2", 1001), Caller(":1.3", 0)


@contextmanager
def manager(*states: State) -> Iterator[tuple[SessionManager, list[BareSession]]]:
    """With alice's sessions in these states, with devices tun0, tun1 …, their paths /0, /1 …"""
    made = SessionManager.__new__(SessionManager)
    made._register = Register(Places(len(states)))
    sessions = []
    with ExitStack() as stack:
        for number, state in enumerate(states):
            connects = state is State.CONNECTED
            session = stack.enter_context(session_in(State.CONNECTING if connects else state))
            session.path, session.config_name = f"/{number}", f"profile {number}"
            session.bare_run.network.device = f"tun{number}"
            if connects:
                session.hear(messages.Connected(REQUEST_NUMBER, "udp", "198.51.100.1", 1194, "vpn.example"))
            made._register.add(session)
            sessions.append(session)
            stack.callback(session.forget)
        yield made, sessions


def test_a_session_is_found_by_its_device() -> None:
    async def main() -> None:
        with manager(State.CONNECTED, State.CONNECTED, State.READY) as (made, sessions):
            assert made.lookup_interface(ALICE, "tun1") == "/1"
            assert made.fetch_managed_interfaces(ALICE) == ["tun0", "tun1", ""]
            for caller, device in ((BOB, "tun1"), (ROOT, "tun1"), (ALICE, "tun2"), (ALICE, "tun9"), (ALICE, "")):
                with pytest.raises(CallerError, match=r"^Interface not found$"):
                    made.lookup_interface(caller, device)
            sessions[1].acl.granted.add(BOB.uid)
            assert made.lookup_interface(BOB, "tun1") == "/1"

    asyncio.run(main())


def test_a_name_that_was_given_again_before_its_removal_was_heard_of() -> None:
    async def main() -> None:
        with manager(State.CONNECTED, State.CONNECTED) as (made, sessions):
            sessions[1].bare_run.network.device = "tun0"
            with pytest.raises(CallerError, match=r"^More than one interface found$"):
                made.lookup_interface(ALICE, "tun0")
            sessions[1].acl.owner = BOB.uid
            assert made.lookup_interface(ALICE, "tun0") == "/0" and made.lookup_interface(BOB, "tun0") == "/1"

    asyncio.run(main())


def test_sessions_are_found_by_their_profile_until_they_fail() -> None:
    async def main() -> None:
        with manager(State.READY, State.FAILED, State.STARTING) as (made, _):
            assert made.lookup_config_name(ALICE, "profile 0") == ["/0"]
            assert made.lookup_config_name(ALICE, "profile 1") == made.lookup_config_name(ALICE, "profile 2") == []
            assert made.fetch_available_sessions(ALICE) == ["/0", "/1"]
            assert made.fetch_available_sessions(ROOT) == ["/0", "/1"]
            assert made.fetch_available_sessions(BOB) == []

    asyncio.run(main())


def test_a_session_that_is_being_started_cannot_be_transferred() -> None:
    async def main() -> None:
        with manager(State.READY, State.STARTING) as (made, sessions):
            made.transfer_ownership(ROOT, "/0", BOB.uid)
            assert sessions[0].acl.owner == BOB.uid
            for path in ("/1", "/2"):
                with pytest.raises(CallerError, match=rf"^No session at {path}$"):
                    made.transfer_ownership(ROOT, path, BOB.uid)

    asyncio.run(main())


def test_a_few_of_a_users_sessions_are_started_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        callers = [*[ALICE] * (MAX_STARTS_PER_USER + 3), BOB]
        made = SessionManager.__new__(SessionManager)
        made._rights = Rights()
        made._register = Register(Places(len(callers)))
        begun: list[Caller] = []
        goes_on = asyncio.Event()

        class Paths(ExternalConfiguration):
            """Each profile is its path."""

            def __init__(self) -> None:
                pass

            async def profile_for(self, path: str, caller: Caller) -> Any:
                return path

            async def used(self, profile: Any) -> None:
                pass

        async def start(profile: Any, caller: Caller) -> Any:
            begun.append(caller)
            await goes_on.wait()
            return profile

        made._profiles = Paths()
        monkeypatch.setattr(made, "_start_session", start)
        tasks = [asyncio.create_task(made.new_tunnel(caller, f"/{n}")) for n, caller in enumerate(callers)]
        while BOB not in begun and not tasks[-1].done():
            await asyncio.sleep(0)
        assert begun.count(ALICE) == MAX_STARTS_PER_USER
        goes_on.set()
        assert await asyncio.gather(*tasks) == [f"/{n}" for n in range(len(callers))]
        del tasks
        assert dict(made._register._turns) == {}

    asyncio.run(main())
