"""ovpnctl doctor: each thing that it looks at is broken, and found; a machine that is well has no fault."""

import json
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ....ctl.exits import CommandExit
from ...lab import kernel
from ...lab.bus import POLICIES, Bus
from ...lab.connection import LOG, SESSIONS
from ...lab.lab import Lab
from ...lab.network import ip
from ...lab.private_etc import OF_RESOLV_CONF, PrivateEtc
from ...lab.processes import clean_environment
from ...lab.service import OVPNCTL, SESSION_UIDS
from ...lab.surroundings import SHARED
from ...support.administration import chosen
from ...support.sessions import begin

_MS_REMOUNT, _MS_RDONLY = 0x20, 0x1
OWNER = """\
import asyncio, sys
from dbus_fast import BusType
from dbus_fast.aio import MessageBus
async def own():
    connection = await MessageBus(bus_type=BusType.SYSTEM).connect()
    await connection.request_name(sys.argv[1])
    print("ready", flush=True)
    await connection.wait_for_disconnect()
asyncio.run(own())
"""


@pytest.fixture
def machine(lab: Lab) -> Lab:
    """A lab whose administrator's files say what its service is told on the command line."""
    choose(lab)
    return lab


def choose(lab: Lab, more: str = "") -> None:
    directories = [f'{name}-dir = "{lab.service_directory / name}"' for name in ("state", "runtime")]
    chosen(lab, "\n".join([*directories, f'session-uids = "{SESSION_UIDS[0]}-{SESSION_UIDS[-1]}"', more]))


def examined(lab: Lab, user: str = "root") -> dict[str, list[dict[str, Any]]]:
    """What doctor finds, by check; its exit status is right."""
    done = lab.ovpnctl(user, "doctor", "--json", f"--config-dir={lab.service_directory / 'etc'}")
    assert done.stdout, done.stderr
    shown = json.loads(done.stdout)
    found: dict[str, list[dict[str, Any]]] = {}
    for one in shown["findings"]:
        found.setdefault(one["check"], []).append(one)
        assert (one["to_do"] is None) == (one["verdict"] == "ok"), one
    faults = [one for one in shown["findings"] if one["verdict"] == "fault"]
    assert shown["faults"] == len(faults)
    assert done.returncode == (CommandExit.FAULTS if faults else CommandExit.OK), done.stderr
    return found


def faults(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [one for ones in found.values() for one in ones if one["verdict"] == "fault"]


def the_one(found: dict[str, list[dict[str, Any]]], check: str, verdict: str, text: str) -> dict[str, Any]:
    """The finding of a check that says so."""
    fitting = [one for one in found[check] if one["verdict"] == verdict and text in one["what"]]
    assert len(fitting) == 1, found[check]
    return fitting[0]


@contextmanager
def mounted(target: Path, filesystem: str, options: str = "") -> Iterator[Path]:
    kernel.mount(filesystem, target, filesystem, options=options)
    try:
        yield target
    finally:
        kernel.unmount(target)


@contextmanager
def written(file: Path, text: str) -> Iterator[None]:
    """A file has another text, written in place."""
    before = file.read_text()
    file.write_text(text)
    try:
        yield
    finally:
        file.write_text(before)


# --- a machine that is well ---


@pytest.mark.parametrize("user", ["root", "alice"])
def test_nothing_is_wrong(machine: Lab, user: str) -> None:
    machine.server()
    machine.supervisor()
    begin(machine).connect()
    found = examined(machine, user)
    assert faults(found) == []
    layers = [one["what"] for one in found["sandbox"]]
    assert layers == ["All layers confine the 1 sessions that this user may use"] or all(
        "layer" in one for one in layers
    )
    verdicts = {one["verdict"] for one in found["nf_tables"]}
    assert verdicts == ({"ok"} if user == "root" else {"unknown"})
    assert "owns" not in found["service"][0]["what"]


def test_the_bus_starts_the_service(machine: Lab) -> None:
    machine.start_bus(activation=[])
    for user in ("alice", "root"):
        found = examined(machine, user)
        assert faults(found) == []
        assert [one["verdict"] for one in found["names"]] == ["ok", "ok"]


def test_text_names_each_check_and_what_to_do(machine: Lab) -> None:
    machine.supervisor()
    choose(machine, "nonsense = 1")
    where = f"--config-dir={machine.service_directory / 'etc'}"
    done = machine.ovpnctl("alice", "doctor", where)
    assert done.returncode == CommandExit.FAULTS
    assert "fault    configuration: " in done.stdout and "config-check" in done.stdout
    assert "ok       engine: " in done.stdout
    quiet = machine.ovpnctl("alice", "doctor", "--quiet", where).stdout
    assert "fault    configuration: " in quiet and "\nok " not in quiet


# --- what is installed ---


def test_a_wrong_configuration_file(machine: Lab) -> None:
    choose(machine, "nonsense = 1\nlog-level = 99")
    machine.supervisor(wait=False).process.wait()
    machine.started.clear()
    found = examined(machine, "alice")
    said = [one["what"] for one in found["configuration"]]
    assert len(said) == 2 and "nonsense" in said[0] + said[1] and "config.toml" in said[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is no engine"),
        ("#!/bin/sh\necho OpenVPN 2.4.9 x86_64-pc-linux-gnu\n", "too old"),
        ("#!/bin/sh\necho OpenVPN 3.9 x86_64-pc-linux-gnu\n", "was not tried"),
        ("#!/bin/sh\necho hello\n", "does not say"),
    ],
)
def test_an_engine_that_is_not_supported(machine: Lab, text: str, said: str) -> None:
    machine.supervisor()
    program = machine.service_directory / "openvpn"
    if text:
        program.write_text(text)
        program.chmod(0o755)
    choose(machine, f'openvpn = "{program}"')
    verdict = "warning" if "tried" in said else "fault"
    assert the_one(examined(machine, "alice"), "engine", verdict, said)["to_do"]


def test_no_account(machine: Lab) -> None:
    machine.supervisor()
    passwd = SHARED / "passwd"
    without = "".join(line for line in passwd.read_text().splitlines(True) if not line.startswith("_openvpn:"))
    with written(passwd, without):
        one = the_one(examined(machine, "alice"), "account", "fault", "There is no account _openvpn")
        assert "systemd-sysusers" in one["to_do"]


def test_a_full_directory(machine: Lab) -> None:
    machine.supervisor()
    place = machine.service_directory / "full"
    place.mkdir()
    choose(machine)
    etc = machine.service_directory / "etc/config.d/full.toml"
    etc.write_text(f'state-dir = "{place}"\n')
    etc.chmod(0o644)
    with mounted(place, "tmpfs", "size=4096k,mode=0700"):
        the_one(examined(machine), "directories", "warning", "has room for 4096 KiB")
        with (place / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):
            while True:
                filler.write(bytes(4096))
        the_one(examined(machine), "directories", "fault", "has room for 0 KiB")
        kernel.mount("none", place, flags=_MS_REMOUNT | _MS_RDONLY)
        the_one(examined(machine, "alice"), "directories", "fault", "read-only")
    shutil.chown(place, "bob")
    the_one(examined(machine, "alice"), "directories", "fault", "belongs to user")


# --- the kernel ---


def test_no_device_node(machine: Lab) -> None:
    """Where the driver is there, the service makes a node of its own; something else in its place is a fault."""
    machine.supervisor()
    with mounted(Path("/dev/net"), "tmpfs", "mode=755"):
        for user in ("root", "alice"):
            one = the_one(examined(machine, user), "tun", "warning", "/dev/net/tun is missing")
            assert "mknod" in one["to_do"]
        Path("/dev/net/tun").touch()
        the_one(examined(machine, "alice"), "tun", "fault", "is not the device 10:200")


def test_no_namespaces_for_users(machine: Lab) -> None:
    """Root's in a user namespace of the test's own, where that sysctl counts for those below."""
    bound = "echo 0 >/proc/sys/user/max_user_namespaces; exec "
    where = f"--config-dir={machine.service_directory / 'etc'}"
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", f"{bound}{OVPNCTL} doctor --json {where}"]
    done = machine.as_user("root", command)
    assert done.stdout, done.stderr
    found = {one["check"]: one for one in json.loads(done.stdout)["findings"]}
    assert found["namespaces"]["verdict"] == "warning" and "ovpnctl exec" in found["namespaces"]["what"]


# --- the bus ---


def test_no_bus(machine: Lab) -> None:
    machine.bus.stop()
    for user in ("root", "alice"):
        found = examined(machine, user)
        assert faults(found) == found["bus"]
        assert found["service"][0]["verdict"] == "unknown"


def test_a_name_that_is_somebody_elses(machine: Lab) -> None:
    machine.before_bus(lambda bus: bus.let_own(SESSIONS))
    machine.before_bus(lambda bus: bus.let_own(LOG))
    other = machine.start_as_user("bob", [sys.executable, "-c", OWNER, LOG])
    other.wait_line("^ready$")
    service = machine.supervisor(wait=False)
    machine.watcher.wait_owner(SESSIONS)
    service.process.wait_line("Another service owns")
    one = the_one(examined(machine, "alice"), "names", "warning", f"{LOG} belongs to another program")
    assert f"process {other.pid}" in one["what"]
    service.stop()
    another = machine.start_as_user("bob", [sys.executable, "-c", OWNER, SESSIONS])
    another.wait_line("^ready$")
    one = the_one(examined(machine, "alice"), "service", "fault", "Another session manager is in force")
    assert f"process {another.pid}" in one["what"]


def test_a_service_that_does_not_answer(machine: Lab) -> None:
    service = machine.supervisor()
    service.process.signal(signal.SIGSTOP)
    try:
        found = examined(machine, "alice")
    finally:
        service.process.signal(signal.SIGCONT)
    the_one(found, "service", "fault", "has not answered for")
    the_one(found, "bus", "ok", "The system bus answers")


def test_a_policy_that_the_bus_has_not_read(machine: Lab) -> None:
    nothing = machine.service_directory / "policies"
    nothing.mkdir()
    machine.before_bus(lambda bus: bus.follow_only(nothing))
    machine.start_bus(activation=[])
    found = examined(machine)
    the_one(found, "service", "fault", "could not start the session manager")
    one = next(one for one in found["policy"] if one["verdict"] == "fault")
    assert "does not let the service's account own its names" in one["what"] and "ReloadConfig" in one["to_do"]
    assert any(one["verdict"] == "unknown" for one in examined(machine, "alice")["policy"])


@pytest.mark.parametrize("program", ["dbus-daemon", "dbus-broker"])
def test_an_older_policy(machine: Lab, program: str) -> None:
    """That of before an upgrade, without an interface."""
    machine.bus_program = program

    def prepare(bus: Bus) -> None:
        older = machine.service_directory / "policies"
        shutil.copytree(POLICIES, older)
        file = older / f"{SESSIONS}.conf"
        file.write_text("".join(line for line in file.read_text().splitlines(True) if "sessions.namespace" not in line))
        bus.follow_only(older)

    machine.before_bus(prepare)
    machine.supervisor()
    one = the_one(examined(machine, "alice"), "policy", "fault", "net.openvpn.v3.sessions.namespace.Enter")
    assert "ReloadConfig" in one["to_do"]


# --- names and networks ---


def test_resolv_conf_that_cannot_be_written(machine: Lab, tmp_path: Path) -> None:
    machine.supervisor()
    with PrivateEtc(machine.service_directory / "layer"):
        kernel.bind(OF_RESOLV_CONF, OF_RESOLV_CONF)
        try:
            kernel.mount("none", OF_RESOLV_CONF, flags=_MS_REMOUNT | _MS_RDONLY | kernel.MS_BIND)
            the_one(examined(machine, "alice"), "dns", "warning", "read-only")
            choose(machine, 'dns-backend = "file"')
            the_one(examined(machine, "alice"), "dns", "fault", "read-only")
        finally:
            kernel.unmount(OF_RESOLV_CONF)
    choose(machine, 'dns-backend = "resolved"')
    the_one(examined(machine, "alice"), "dns", "fault", "is not on the bus")


def test_a_strict_device(machine: Lab) -> None:
    machine.supervisor()
    set_it = ["sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter"]
    assert machine.client_side.run(set_it, environment=clean_environment()).returncode == 0
    the_one(examined(machine, "alice"), "rp_filter", "warning", "rp_filter is strict (all)")


def test_another_vpns_rules(machine: Lab) -> None:
    """A rule that catches everything, and halves of the default route; not what is for marked packets only."""
    machine.supervisor()
    inside = ("-n", machine.client_side.name)
    ip(*inside, "rule", "add", "priority", "99", "fwmark", "0x77", "lookup", "77")
    assert examined(machine, "alice")["rules"][0]["verdict"] == "ok"
    ip(*inside, "rule", "add", "priority", "100", "lookup", "77")
    assert examined(machine, "alice")["rules"][0]["verdict"] == "ok"  # there is nothing in it
    ip(*inside, "route", "add", "default", "dev", "lo", "table", "77")
    the_one(examined(machine, "alice"), "rules", "warning", "rule 100 for IPv4 has all routes of table 77")
    ip(*inside, "rule", "del", "priority", "100")
    ip(*inside, "route", "add", "128.0.0.0/1", "dev", "lo")
    the_one(examined(machine, "alice"), "rules", "warning", "halves of the default route (IPv4)")


def test_a_firewall_that_drops(machine: Lab) -> None:
    machine.supervisor()
    rules = "table inet strict { chain out { type filter hook output priority 0; policy drop; accept; }; }"
    assert machine.client_side.run(["nft", rules], environment=clean_environment()).returncode == 0
    the_one(examined(machine), "firewall", "warning", "strict out")
    assert examined(machine, "alice")["firewall"][0]["verdict"] == "unknown"


def test_what_a_service_has_left(machine: Lab) -> None:
    machine.server()
    service = machine.supervisor()
    session = begin(machine)
    session.connect()
    device = session.get("device_name")
    service.process.signal(signal.SIGKILL)
    service.process.wait()
    machine.watcher.wait_no_owner(SESSIONS)
    one = the_one(examined(machine), "leftovers", "warning", f"device {device}")
    assert "table of nf_tables openvpn3-sessionmgr" in one["what"] and "record " in one["what"]
    assert "ovpnctl cleanup" in one["to_do"]
    found = examined(machine, "alice")["leftovers"]
    assert [one["verdict"] for one in found] == ["warning", "unknown"] and device in found[0]["what"]
    done = machine.ovpnctl("root", "cleanup", f"--runtime-dir={machine.service_directory / 'runtime'}")
    assert done.returncode == 0, done.stderr
    assert examined(machine)["leftovers"][0]["verdict"] == "ok"


@pytest.mark.parametrize("with_rule", [True, False])
def test_whether_polkit_admits_the_service(machine: Lab, with_rule: bool) -> None:
    machine.resolved(with_rule=with_rule)
    machine.supervisor()
    found = examined(machine)
    assert found["dns"][0]["verdict"] == "ok" and "systemd-resolved" in found["dns"][0]["what"]
    the_one(found, "polkit", *(("ok", "polkit admits") if with_rule else ("fault", "polkit does not admit")))
