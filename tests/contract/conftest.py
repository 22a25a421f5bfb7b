"""One set of services for each file of tests, with users who leave nothing behind from test to test."""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from openvpn3_sessionmgr.policy.dbus_numbers import StatusMajor, StatusMinor
from openvpn3_sessionmgr.tests.contract.not_yet import NOT_YET
from openvpn3_sessionmgr.tests.contract.subject import SUBJECT, Begin, Connect, Session, come_about
from openvpn3_sessionmgr.tests.lab import skips
from openvpn3_sessionmgr.tests.lab.connection import (
    CONFIGURATION,
    CONFIGURATION_PATH,
    SESSIONS_PATH,
    BusClient,
    BusError,
)
from openvpn3_sessionmgr.tests.lab.incumbent import IncumbentLab
from openvpn3_sessionmgr.tests.lab.lab import Lab
from openvpn3_sessionmgr.tests.lab.openvpn import Server
from openvpn3_sessionmgr.tests.lab.processes import LabError
from openvpn3_sessionmgr.tests.support.skipping import cannot_run_here

_HERE = "tests/contract/"


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave these out of a run of all tests: they are asked for by name."""
    return None if any(_HERE.rstrip("/") in argument for argument in config.args) else True


def pytest_collection_modifyitems(items: list[pytest.Item], config: pytest.Config) -> None:
    """Mark what is not done yet."""
    if not SUBJECT.ours:
        return
    used = set[str]()
    whole = set[str]()  # files of which no part was left out
    for item in items:
        if not item.nodeid.startswith(_HERE):
            continue
        case = item.nodeid.removeprefix(_HERE)
        whole.add(case.partition("::")[0])
        for name in {case, case.partition("[")[0]} & NOT_YET.keys():
            used.add(name)
            item.add_marker(pytest.mark.xfail(reason=f"not yet: {NOT_YET[name]}", strict=True))
    chosen = any("::" in argument for argument in config.args)
    unknown = {name for name in NOT_YET.keys() - used if name.partition("::")[0] in whole}
    if unknown and not chosen:
        raise pytest.UsageError(f"not_yet.py names tests that are not there: {sorted(unknown)}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Count an original that is late, also at the last try, as something that this machine cannot run.

    What it says and does is held against the contract all the same; how fast it is on a busy machine is no matter of
    this project's.
    """
    report = (yield).get_result()
    if SUBJECT.ours or not report.failed or call.excinfo is None or not call.excinfo.errisinstance(LabError):
        return
    tries = 1 + (item.config.getoption("reruns", None) or 0)
    if " within " in str(call.excinfo.value) and getattr(item, "execution_count", 1) >= tries:
        path, line, _ = item.location
        report.outcome = "skipped"
        report.longrepr = (path, line or 0, f"Skipped: {skips.CANNOT_RUN}the original is late: {call.excinfo.value}")


@pytest.fixture(scope="module")
def served_lab() -> Iterator[Lab]:
    """The lab with the services under test, and a server that lets everybody in who has a certificate."""
    if SUBJECT.release is None:
        with Lab() as made:
            made.supervisor()
            yield made
        return
    if not SUBJECT.release.tree.exists():
        cannot_run_here(f"{SUBJECT.release.tree} is missing; `make incumbent-trees` makes it")
    with IncumbentLab(SUBJECT.release) as incumbent:
        incumbent.start_services()
        yield incumbent


@pytest.fixture(scope="module")
def server(served_lab: Lab) -> Server:
    """A server that lets everybody in who has a certificate."""
    return served_lab.server()


@pytest.fixture
def users(served_lab: Lab) -> Iterator[Connect]:
    """Connections by user name; what the users made is taken away with them."""
    with ExitStack() as parts:
        made: dict[str, BusClient] = {}

        def connect(user: str) -> BusClient:
            if user not in made:
                made[user] = served_lab.connection(user)
                parts.callback(_leave, made[user])
            return made[user]

        yield connect


def _leave(user: BusClient) -> None:
    for path in user.session(SESSIONS_PATH, "FetchAvailableSessions"):
        with suppress(BusError):  # not theirs, or just gone
            user.session(path, "Disconnect")
    for path in user.call(CONFIGURATION_PATH, CONFIGURATION, "FetchAvailableConfigs"):
        with suppress(BusError):
            user.call(path, CONFIGURATION, "Remove")
    user.close()


@pytest.fixture
def alice(users: Connect) -> BusClient:
    """Alice, who owns things."""
    return users("alice")


@pytest.fixture
def bob(users: Connect) -> BusClient:
    """Bob, with whom nothing is shared."""
    return users("bob")


@pytest.fixture
def root(users: Connect) -> BusClient:
    """The administrator."""
    return users("root")


@pytest.fixture
def begin(served_lab: Lab, alice: BusClient) -> Begin:
    """Makes a session of a new profile, not connected yet; options are those of `Lab.profile`."""

    def make(name: str = "work", user: BusClient = alice, **options: Any) -> Session:
        profile = user.import_profile(name, served_lab.profile(**options))
        made = Session(user, profile, user.new_tunnel(profile))
        come_about(
            lambda: bool(
                made.get("config_name") == name and made.get("status") != [StatusMajor.UNSET, StatusMinor.UNSET, ""]
            )
        )
        return made

    return make


@pytest.fixture
def session(begin: Begin) -> Session:
    """Alice's session, not connected."""
    return begin()


@pytest.fixture
def connected(server: Server, session: Session) -> Session:
    """Alice's session, connected."""
    assert server
    session.connect()
    return session
