"""One instance only: on a bus, in a runtime directory, and when the bus starts two at once."""

import signal
from functools import partial

from ....policy.exit_status import ExitStatus
from ...lab.bus import Bus
from ...lab.connection import (
    CONFIGURATION,
    CONFIGURATION_PATH,
    SESSIONS,
    SESSIONS_PATH,
    BusClient,
)
from ...lab.lab import Lab
from ...lab.processes import DEADLINE, pids, until_gone
from ...support.service_life import kill_and_wait, owner_pid, refused, started, title

PROGRAM = "openvpn3-service-sessionmgr"


def test_a_second_one_on_the_bus_is_refused(lab: Lab) -> None:
    service = lab.supervisor()
    alice = lab.connection("alice")
    path = alice.new_tunnel(alice.import_profile("work", lab.profile()))
    said = refused(lab, status=ExitStatus.ALREADY_RUNNING)
    assert "openvpn3-service-sessionmgr is running on this bus already" in said
    # Started by the bus, it is nothing to worry about: an error would fail the call that started it.
    environment = lab.bus.environment() | {"DBUS_STARTER_BUS_TYPE": "system"}
    assert "running on this bus already" in refused(lab, environment=environment, status=ExitStatus.OK)
    assert owner_pid(alice) == owner_pid(alice, CONFIGURATION) == service.pid
    assert alice.session(SESSIONS_PATH, "FetchAvailableSessions") == [path]


def test_a_runtime_directory_has_one_instance_on_whatever_bus(lab: Lab) -> None:
    runtime = lab.directory / "runtime"
    with started(lab, f"--runtime-dir={runtime}") as service:
        service.wait_line("runs as user")
        other_bus = Bus(lab.client_side, lab.directory / "other-bus")
        other_bus.start()
        try:
            environment = other_bus.environment()
            said = refused(lab, f"--runtime-dir={runtime}", environment=environment, status=ExitStatus.ALREADY_RUNNING)
            assert f"(process {service.pid}) uses {runtime}" in said
            with started(lab, directory=lab.directory / "another", environment=environment) as second:
                second.wait_line("runs as user")
                assert second.stop() == ExitStatus.OK
        finally:
            other_bus.stop()
        assert owner_pid(lab.watcher) == service.pid
        assert service.stop() == ExitStatus.OK


def test_a_configuration_service_of_somebody_else_is_named(lab: Lab) -> None:
    # With the service's own account, since the policy lets nobody else have that name.
    bus = ("/org/freedesktop/DBus", "org.freedesktop.DBus")
    lab.connection("_openvpn").call(*bus, "RequestName", "su", CONFIGURATION, 0, to=bus[1])
    said = refused(lab, status=ExitStatus.ALREADY_RUNNING)
    assert f"Another service owns {CONFIGURATION}" in said
    assert "--configuration external" in said
    with started(lab, "--configuration=external") as service:
        service.wait_line("external configuration service")
        assert owner_pid(lab.watcher) == service.pid != owner_pid(lab.watcher, CONFIGURATION)
        assert service.stop() == ExitStatus.OK


def test_two_names_called_at_once_make_one_instance(lab: Lab) -> None:
    """dbus-daemon starts an instance for each; the calls of both names are answered, by the same one."""
    rounds = 10
    lab.start_bus(activation=["--idle-exit=0"])
    alice, bob = lab.connection("alice"), lab.connection("bob")
    profile = lab.profile()
    for number in range(rounds):
        if number % 2:
            waiting = [(bob, _import(bob, profile)), (alice, _fetch(alice)), (bob, _fetch(bob))]
        else:
            waiting = [(bob, _fetch(bob)), (alice, _fetch(alice)), (bob, _import(bob, profile))]
        for connection, call in waiting:
            connection.finish_call(call)
        pid = owner_pid(alice)
        assert owner_pid(alice, CONFIGURATION) == pid
        assert not until_gone(partial(_instances, besides=pid), DEADLINE)
        kill_and_wait(pid, signal.SIGTERM)
        for name in (SESSIONS, CONFIGURATION):
            lab.watcher.wait_no_owner(name)
    losers = [line for line in lab.bus.process.lines if line.startswith(f"{PROGRAM}: {PROGRAM} is running")]
    assert len(losers) == rounds  # so there were two each time


def _fetch(connection: BusClient) -> int:
    return connection.start_call(SESSIONS_PATH, SESSIONS, "FetchAvailableSessions")


def _import(connection: BusClient, profile: str) -> int:
    arguments = ("work", profile, False, False)
    return connection.start_call(CONFIGURATION_PATH, CONFIGURATION, "Import", "ssbb", *arguments)


def _instances(besides: int) -> set[int]:
    """The services that run, without their helpers, `besides` one."""
    titles = {pid: title(pid) for pid in pids() - {besides}}
    return {pid for pid, text in titles.items() if PROGRAM in text and not text.startswith(f"{PROGRAM}:")}


def test_a_large_profile_is_imported_by_the_call_that_starts_the_service(lab: Lab) -> None:
    lab.start_bus(activation=["--idle-exit=0"])
    text = lab.profile() + "# a comment that makes it longer than most\n" * 10_000
    alice = lab.connection("alice")
    path = alice.import_profile("large", text)
    assert alice.call(path, CONFIGURATION, "Fetch") == text
