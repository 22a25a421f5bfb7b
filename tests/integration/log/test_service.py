"""The log service on a real bus: another service that logs through it, its properties, and names that are taken."""

import os
import re

import pytest
from dbus_fast import Message, MessageType

from ....policy.exit_status import ExitStatus
from ....supervisor.bus.callers import Callers
from ....supervisor.bus.connection import BusConnection
from ....supervisor.bus.dispatch import Dispatcher
from ....supervisor.logging.log import Log, Origin, Record
from ....supervisor.services.log_service import LogService
from ...lab.connection import LOG, LOG_PATH, SESSIONS, SESSIONS_PATH, BusClient, BusError
from ...lab.lab import Lab
from ...lab.processes import LabError
from ...lab.surroundings import SERVICE
from ...support.bus_fixture import PrivateBus, client, private_bus, run
from ...support.service_life import started
from ...support.sessions import CONNECTED, begin

IDLE = 0.6  # seconds
NETCFG = "net.openvpn.v3.netcfg"
NETCFG_PATH = "/net/openvpn/v3/netcfg"
ERROR = "org.gtk.GDBus.UnmappedGError.Quark._net_2eopenvpn_2ev3_2elog_2eerror.Code36"
_BUS = ("/org/freedesktop/DBus", "org.freedesktop.DBus")


def refusal(user: BusClient, member: str, signature: str, *arguments: object) -> str:
    """The text of an error of the log service's domain."""
    with pytest.raises(BusError) as caught:
        user.call(LOG_PATH, LOG, member, signature, *arguments)
    assert caught.value.name == ERROR
    prefix, _, text = caught.value.text.partition("log.error: ")
    assert prefix == "GDBus.Error:net.openvpn.v3."
    return text


def say(user: BusClient, text: str, *, group: int = 8, category: int = 4, interface: str = NETCFG) -> None:
    user.emit(NETCFG_PATH + "/tun0", interface, "Log", "uus", group, category, text, to=LOG)


def subscribers(lab: Lab) -> list[list[str]]:
    found: list[list[str]] = lab.watcher.call(LOG_PATH, LOG, "GetSubscriberList") or []
    return found


def test_another_service_logs_through_it(lab: Lab) -> None:
    service = lab.supervisor()
    other = lab.connection(SERVICE.name)
    say(other, "before")
    other.call(LOG_PATH, LOG, "Attach", "s", NETCFG)
    assert refusal(other, "Attach", "s", NETCFG) == "Already attached"
    say(other, "hello\n2026-01-01 00:00:00.000 Client INFO: forged")
    say(other, "of another interface", interface="a.b")
    other.emit(NETCFG_PATH, NETCFG, "Log", "uuss", 6, 5, "token", "with a token", to=LOG)
    say(other, "of no known kind", group=77, category=77)
    other.emit(NETCFG_PATH, NETCFG, "Log", "s", "of no known type", to=LOG)
    other.emit(NETCFG_PATH, NETCFG, "StatusChange", "uus", 2, 7, "a status", to=LOG)
    [[tag, name, interface, path]] = subscribers(lab)
    assert (name, interface, path) == (other.unique_name, NETCFG, "")
    service.process.wait_line(f"{{tag:{tag}}} External Service INFO: of no known kind")
    assert f"{{tag:{tag}}} Network Configuration INFO: hello\n    2026-01-01" in service.log
    assert f"{{tag:{tag}}} Backend Session Process WARNING: with a token" in service.log
    other.call(LOG_PATH, LOG, "Detach", "s", NETCFG)
    assert refusal(other, "Detach", "s", NETCFG) == "Not attached"
    say(other, "after")
    assert subscribers(lab) == []
    for absent in ("before", "after", "another interface", "no known type", "a status"):
        assert absent not in service.log
    assert refusal(other, "Attach", "s", "x' ,member='y") == "Not the name of an interface"


def test_a_service_that_vanishes_is_detached(lab: Lab) -> None:
    service = lab.supervisor()
    other = lab.connection(SERVICE.name)
    for interface in (NETCFG, SESSIONS):
        other.call(LOG_PATH, LOG, "Attach", "s", interface)
    assert lab.watcher.get(LOG_PATH, "num_attached") == 2
    other.close()
    service.process.wait_line(f"Detached: .* {NETCFG}")
    service.process.wait_line(f"Detached: .* {SESSIONS}")
    assert subscribers(lab) == []


def test_what_is_not_for_everybody(lab: Lab) -> None:
    lab.supervisor()
    other = lab.connection(SERVICE.name)
    other.call(LOG_PATH, LOG, "Attach", "s", NETCFG)
    session = SESSIONS_PATH + "/x"
    assert refusal(other, "AssignSession", "os", session, "a.b") == "Not attached"
    assert refusal(other, "AssignSession", "os", session, NETCFG) == "Access denied"
    assert refusal(other, "ProxyLogEvents", "so", other.unique_name, session) == "Access denied"
    for user in ("alice", "root"):
        for member, signature, arguments in (
            ("Attach", "s", [NETCFG]),
            ("Detach", "s", [NETCFG]),
            ("AssignSession", "os", [session, NETCFG]),
            ("ProxyLogEvents", "so", [":1.1", session]),
        ):
            with pytest.raises(BusError) as caught:
                lab.connection(user).call(LOG_PATH, LOG, member, signature, *arguments)
            assert caught.value.name == "org.freedesktop.DBus.Error.AccessDenied"


def test_details_of_the_sender(lab: Lab) -> None:
    service = lab.supervisor()
    other = lab.connection(SERVICE.name)
    lab.watcher.set(LOG_PATH, "log_dbus_details", "b", True)
    other.call(LOG_PATH, LOG, "Attach", "s", NETCFG)
    say(other, "hello")
    sender = f"sender={other.unique_name}, pid={other.pid}"
    service.process.wait_line(f"hello .{sender}, interface={NETCFG}, path={NETCFG_PATH}/tun0.$")


class Kept:
    """A destination that keeps its lines."""

    method = "kept"

    def __init__(self) -> None:
        self.records: list[Record] = []

    def put(self, record: Record) -> None:
        self.records.append(record)

    def start(self) -> None:
        pass

    def flush(self, deadline: float) -> bool:
        return True

    def close(self, deadline: float) -> None:
        pass


def test_what_the_process_behind_a_session_logs_is_about_the_session() -> None:
    kept = Kept()
    log = Log(6, [kept])
    session = SESSIONS_PATH + "/x"

    async def test(bus: PrivateBus) -> None:
        connection = BusConnection(bus.address)
        await connection.connect()
        callers = Callers(connection)
        await callers.start()
        dispatcher = Dispatcher(connection, callers, service_uid=0, log=log)
        LogService(connection, callers, dispatcher, log, version="v1").start()
        assert await connection.request_names([LOG]) == {LOG: True}
        dispatcher.open()
        async with client(bus) as backend:
            for member, signature, *arguments in (("Attach", "s", NETCFG), ("AssignSession", "os", session, NETCFG)):
                if member == "AssignSession":
                    await backend.bus_call("RequestName", "su", f"net.openvpn.v3.backends.be{os.getpid()}", 4)
                reply = await backend.call(member, signature, *arguments, interface=LOG, path=LOG_PATH, to=LOG)
                assert reply.message_type is MessageType.METHOD_RETURN, reply.body
            line = Message(LOG, "/own", NETCFG, "Log", MessageType.SIGNAL, signature="uuss", body=[7, 4, "t", "hello"])
            await backend.bus.send(line)
            await backend.bus_call("GetId")
            await connection.round_trip()
            [record] = [record for record in kept.records if record.text == "hello"]
            tag = record.origin.tag
            assert record.origin == Origin(backend.name, os.getpid(), NETCFG, session, tag, "t")
            assert tag.isdecimal()
        connection.close()

    with private_bus() as bus:
        run(test(bus))


def test_properties(lab: Lab) -> None:
    service = lab.supervisor(log_level=4)
    alice, root = lab.connection("alice"), lab.watcher
    values = alice.get_all(LOG_PATH)
    assert re.fullmatch(r"v\d+(\.\d+)?(_\w*)*", values.pop("version"))
    assert values == {
        "log_method": "stdout:",
        "log_level": 4,
        "log_dbus_details": False,
        "log_prefix_logtag": True,
        "timestamp": True,
        "config_file": "",
        "num_attached": 0,
    }
    with pytest.raises(BusError, match="Access denied"):
        alice.set(LOG_PATH, "log_level", "u", 6)
    with pytest.raises(BusError, match="Incorrect log level"):
        root.set(LOG_PATH, "log_level", "u", 7)
    root.set(LOG_PATH, "log_level", "u", 6)
    root.set(LOG_PATH, "log_prefix_logtag", "b", False)
    root.set(LOG_PATH, "timestamp", "b", False)
    other = lab.connection(SERVICE.name)
    other.call(LOG_PATH, LOG, "Attach", "s", NETCFG)
    say(other, "plain", category=1)
    service.process.wait_line("^Network Configuration DEBUG: plain$")


def test_who_logs_through_it_keeps_it(lab: Lab) -> None:
    other = lab.connection(SERVICE.name)
    service = lab.supervisor(idle_exit=IDLE / 60)
    other.call(LOG_PATH, LOG, "Attach", "s", NETCFG)
    with pytest.raises(LabError):
        lab.watcher.wait_no_owner(SESSIONS, 2 * IDLE)
    other.call(LOG_PATH, LOG, "Detach", "s", NETCFG)
    assert service.process.wait() == ExitStatus.OK


@pytest.mark.parametrize("name", ["log", "backends", "netcfg"])
def test_a_name_that_is_taken(lab: Lab, name: str) -> None:
    """The service goes on without it; without the log's, statuses still reach those who use a session."""
    lab.server()
    full = f"net.openvpn.v3.{name}"
    other = lab.connection(SERVICE.name)
    assert other.call(*_BUS, "RequestName", "su", full, 4, to=_BUS[1]) == 1
    with started(lab, "--log-level=6") as service:
        service.wait_line("runs as user")
        assert lab.watcher.owner_of(full) == other.unique_name
        session = begin(lab)
        session.call("LogForward", "b", True)
        session.connect()
        assert session.get("status") == [2, CONNECTED, ""]
        assert (session.get("device_path") == "/") == (name == "netcfg")
        assert ("Another service owns net.openvpn.v3.log" in service.text) == (name == "log")
        assert service.stop() == ExitStatus.OK
    assert lab.watcher.owner_of(full) == other.unique_name


@pytest.mark.parametrize("name", ["log", "backends", "netcfg"])
def test_the_bus_starts_the_service_by_each_name(lab: Lab, name: str) -> None:
    lab.start_bus(activation=[f"--idle-exit={IDLE / 60:f}"])
    alice = lab.connection("alice")
    path = f"/net/openvpn/v3/{name}"
    assert alice.get(path, "version") == alice.get(SESSIONS_PATH, "version")
    lab.watcher.wait_no_owner(SESSIONS)
