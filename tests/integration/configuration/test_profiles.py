"""What the session manager gets from either configuration service, on a real bus."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ....policy.access import Caller
from ....policy.limits import PROFILE_DEADLINE
from ....supervisor.bus.callers import Callers
from ....supervisor.bus.connection import BusConnection
from ....supervisor.bus.dispatch import Dispatcher
from ....supervisor.bus.signals import Signals
from ....supervisor.errors import AccessDenied, CallerError
from ....supervisor.logging.log import Log
from ....supervisor.services.configuration import ConfigurationService
from ....supervisor.services.external_configuration import ExternalConfiguration
from ....supervisor.services.profile_object import ProfileObject
from ....supervisor.services.profile_store import ProfileStore
from ....supervisor.services.profiles import Profile, Profiles
from ...lab.connection import CONFIGURATION_PATH, BusClient
from ...lab.lab import Lab
from ...lab.surroundings import ACCOUNTS, ALICE, BOB, SERVICE
from ...support.configuration_service import (
    DESTROYED,
    PROFILE,
    PROGRAMS,
    Configuration,
    available,
)


def test_another_services_profile_for_a_user(alice: BusClient, configuration: Configuration) -> None:
    path = alice.import_profile("office", PROFILE, single_use=True)
    assert configuration.read(path, ALICE.uid) == {
        "name": "office",
        "owner": ALICE.uid,
        "overrides": {},
        "single_use": True,
        "text": PROFILE,
    }


def test_another_service_gives_us_what_is_not_for_the_user(alice: BusClient, configuration: Configuration) -> None:
    path = alice.import_profile("office", PROFILE)
    for uid in (BOB.uid, ACCOUNTS["nobody"].uid, 0):
        answer = configuration.read(path, uid)
        assert answer["error"] == "AccessDenied" and path in answer["text"]


def test_another_service_without_the_profile(alice: BusClient, configuration: Configuration) -> None:
    path = f"{CONFIGURATION_PATH}/none"
    assert configuration.read(path, ALICE.uid)["text"] == f"No configuration profile at {path}"


def test_another_service_that_does_not_answer(alice: BusClient, configuration: Configuration) -> None:
    path = alice.import_profile("office", PROFILE)
    configuration.process.freeze()
    answer = configuration.read(path, ALICE.uid)
    configuration.process.thaw()
    assert answer["text"] == f"The configuration service has not answered for {PROFILE_DEADLINE:g} s"


def test_another_service_that_is_not_there(lab: Lab, alice: BusClient, configuration: Configuration) -> None:
    configuration.process.signal(signal.SIGKILL)
    configuration.process.wait()
    answer = configuration.read(f"{CONFIGURATION_PATH}/any", ALICE.uid)
    assert answer["error"] == "CallerError" and "does not give the profile" in answer["text"]


def test_use_that_another_service_does_not_let_us_count_is_logged(
    lab: Lab, alice: BusClient, configuration: Configuration
) -> None:
    path = alice.import_profile("office", PROFILE, single_use=True)
    program = [*PROGRAMS, "read", path, str(ALICE.uid), "used"]
    done = lab.as_user(SERVICE.name, program)  # this bus' policy gives it no name of a backend process
    assert done.returncode == 0 and f"use of profile {path} not counted" in done.stdout
    assert available(alice) == [path]


class Embedded:
    """The service in the test's own process, to be asked as the session manager asks it."""

    def __init__(self, connection: BusConnection, directory: Path) -> None:
        log = Log()
        self.dispatcher = Dispatcher(connection, Callers(connection), service_uid=0, log=log)
        store = ProfileStore(directory / "run", directory / "state")
        self.service = ConfigurationService(
            store, self.dispatcher, Signals(connection), log, service_uid=0, version="v27"
        )


def with_embedded(lab: Lab, test: Callable[[Embedded], Awaitable[None]]) -> None:
    async def run() -> None:
        connection = await BusConnection(lab.bus.address).connect()
        try:
            embedded = Embedded(connection, lab.directory)
            await embedded.service.start()
            await test(embedded)
            await connection.drain()
        finally:
            connection.close()

    asyncio.run(run())


OWNER, OTHER, ROOT = Caller(":1.1", ALICE.uid), Caller(":1.2", BOB.uid), Caller(":1.3", 0)


def test_profile_for_and_used(lab: Lab) -> None:
    async def test(embedded: Embedded) -> None:
        service = embedded.service
        path = await service.import_profile(OWNER, "office", PROFILE, False, True)
        profile = await service.profile_for(path, OWNER)
        assert (profile.path, profile.name, profile.text.decode()) == (path, "office", PROFILE)
        assert (profile.owner, profile.single_use, profile.transfer_owner) == (ALICE.uid, False, False)
        for stranger in (OTHER, ROOT):
            with pytest.raises(AccessDenied, match="not shared with you"):
                await service.profile_for(path, stranger)
        with pytest.raises(CallerError, match=f"No configuration profile at {path}x"):
            await service.profile_for(path + "x", OWNER)

        await service.used(profile)
        await service.used(profile)
        metadata = service.store.find(path).metadata
        assert metadata.used_count == 2 and metadata.last_used >= metadata.imported

    with_embedded(lab, test)


def test_a_single_use_profile_is_gone_after_use_and_its_session_keeps_it(lab: Lab) -> None:
    watcher = lab.connection("bob")

    async def test(embedded: Embedded) -> None:
        service = embedded.service
        path = await service.import_profile(OWNER, "once", PROFILE, True, False)
        profile = await service.profile_for(path, OWNER)
        assert path in embedded.dispatcher.exported
        await service.used(profile)
        assert profile.text.decode() == PROFILE
        assert path not in embedded.dispatcher.exported and service.fetch_available_configs(OWNER) == []
        assert not list(lab.directory.rglob("*.profile"))
        await service.used(profile)

    with_embedded(lab, test)
    event = watcher.wait_signal(lambda one: one.member == "ConfigurationManagerEvent" and one.arguments[1] == DESTROYED)
    assert event.arguments[2] == ALICE.uid


@pytest.mark.parametrize("embedded", [True, False])
def test_a_single_use_profile_is_given_to_one_of_several(lab: Lab, embedded: bool) -> None:
    if embedded:
        with_embedded(lab, lambda made: one_of_several(made.service, made.service.import_profile))
        return
    configuration = Configuration(lab)
    alice = lab.connection("alice")

    async def imported(_: Caller, name: str, text: str, single_use: bool, persistent: bool) -> str:
        path = alice.import_profile(name, text, single_use=single_use, persistent=persistent)
        state = lab.directory / "theirs"
        state.mkdir(exist_ok=True)
        kept = {"object_path": path, "owner": ALICE.uid, "acl": [], "public_access": False}
        (state / f"{path.rpartition('/')[2]}.json").write_text(json.dumps(kept))
        return path

    async def run() -> None:
        os.setresuid(SERVICE.uid, SERVICE.uid, 0)  # whom they let read it
        try:
            connection = await BusConnection(lab.bus.address).connect()
        finally:
            os.setresuid(0, 0, 0)
        try:
            await one_of_several(ExternalConfiguration(connection, Log(), lab.directory / "theirs"), imported)
        finally:
            connection.close()

    asyncio.run(run())
    configuration.process.stop()


async def one_of_several(profiles: Profiles, imported: Callable[..., Awaitable[str]]) -> None:
    path = await imported(OWNER, "once", PROFILE, True, False)
    for _ in range(2):
        got = await asyncio.gather(*(profiles.profile_for(path, OWNER) for _ in range(5)), return_exceptions=True)
        (profile,) = (one for one in got if isinstance(one, Profile))
        assert {str(one) for one in got if one is not profile} == {
            f"The configuration profile {path} is for one session only, and one has been started with it: import it "
            "again for another"
        }
        profiles.unused(profile)
    many = await imported(OWNER, "many", PROFILE, False, False)
    assert len(await asyncio.gather(*(profiles.profile_for(many, OWNER) for _ in range(5)))) == 5
    profile = await profiles.profile_for(path, OWNER)
    await profiles.used(profile)
    with pytest.raises(CallerError):
        await profiles.profile_for(path, OWNER)


def test_shared_and_public_profiles(lab: Lab) -> None:
    async def test(embedded: Embedded) -> None:
        service = embedded.service
        path = await service.import_profile(OWNER, "office", PROFILE, False, False)
        stored = service.store.find(path)
        for change, allowed in (
            ({"granted": (BOB.uid,)}, [True, True, False]),
            ({"granted": (), "public": True}, [True, True, True]),
            ({"public": False}, [True, False, False]),
        ):
            await service.store.change(stored, lambda _, change=change: change)  # type: ignore[misc]  # bound now
            listed = [service.lookup_config_name(who, "office") == [path] for who in (OWNER, OTHER, ROOT)]
            assert listed == allowed
            for who, may in zip((OWNER, OTHER, ROOT), allowed, strict=True):
                if may:
                    assert (await service.profile_for(path, who)).name == "office"
                else:
                    with pytest.raises(AccessDenied):
                        await service.profile_for(path, who)

    with_embedded(lab, test)


def test_a_locked_down_profile_may_be_used_but_not_read(lab: Lab) -> None:
    async def test(embedded: Embedded) -> None:
        service = embedded.service
        path = await service.import_profile(OWNER, "office", PROFILE, False, False)
        stored = service.store.find(path)
        await service.store.change(stored, lambda _: {"granted": (BOB.uid,), "locked_down": True})
        profile = ProfileObject(service, stored)
        assert await profile.fetch(OWNER) == PROFILE
        assert await profile.fetch(Caller(":1.9", service.service_uid)) == PROFILE
        with pytest.raises(AccessDenied, match="Access to the configuration profile is denied"):
            await profile.fetch(OTHER)
        assert (await service.profile_for(path, OTHER)).text.decode() == PROFILE

    with_embedded(lab, test)
