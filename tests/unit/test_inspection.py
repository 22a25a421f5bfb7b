"""What is shown of a session's processes: of real ones, of those that have ended, and how it looks."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from click.testing import CliRunner
from dbus_fast import Variant

from ...ctl.__main__ import cli
from ...ctl.bus import failure
from ...ctl.exits import CommandExit
from ...ctl.inspection import inspection_json, inspection_text, size
from ...ctl.process_details import details
from ...ctl.services import INSPECTION, SESSIONS
from ...ctl.show import local_time
from ...policy.sandbox.layers import Layer
from ...supervisor.sessions.inspection import process_row
from ...supervisor.workers.proc import children

PATH = "/net/openvpn/v3/sessions/1"
SESSION = {"owner": 0, "config_name": "office", "device_name": "tun0", "status": [2, 7, ""]}
GONE = {"role": Variant("s", "engine"), "pid": Variant("u", 70)}
DETAILS = {
    "descriptors": 12,
    "read_bytes": 4096,
    "written_bytes": 0,
    "uss": 3 << 20,
    "pss": 20 << 20,
    "swap": 0,
    "no_new_privs": True,
    "seccomp": 2,
    "seccomp_filters": 3,
    "capabilities": {"permitted": "0000000000001000", "effective": "0000000000000000"},
    "namespaces": ["mnt", "pid"],
}


def row(**more: Variant) -> dict[str, Variant]:
    return {
        "role": Variant("s", "worker"),
        "pid": Variant("u", 69),
        "uid": Variant("u", 60707),
        "state": Variant("s", "sleeping"),
        "cpu_user": Variant("d", 1.0),
        "cpu_system": Variant("d", 0.5),
        "memory": Variant("t", 18 << 20),
        "shared": Variant("t", 6 << 20),
        "threads": Variant("u", 1),
        "started": Variant("d", time.time() - 100),
        **more,
    }


def inspection(*rows: dict[str, Variant], **more: Any) -> dict[str, Any]:
    missing = {"cgroup": "no cgroup v2 is mounted"}
    return {"session_uid": 60707, "layers": ["user", "pid"], "missing_layers": missing, "processes": rows, **more}


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process of our own that has executed its program, and waits."""
    code = "print(flush=True); input()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process:
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_as_every_user_sees_it(child: "subprocess.Popen[bytes]") -> None:
    seen = psutil.Process(child.pid)
    assert child.pid in children(os.getpid())
    values = {name: variant.value for name, variant in process_row("worker", child.pid).items()}
    assert (values["role"], values["pid"], values["uid"]) == ("worker", child.pid, os.getuid())
    assert (values["threads"], values["started"]) == (1, seen.create_time())
    assert values["memory"] == seen.memory_info().rss > values["shared"] > 0


def test_what_a_worker_forks_is_an_engine_once_it_has_executed_that() -> None:
    forked = os.fork()
    if forked == 0:
        signal.pause()
    with subprocess.Popen(["sleep", "60"]) as executed:  # Popen returns when the program is executed
        roles = [process_row("engine", pid, os.getpid())["role"].value for pid in (forked, executed.pid)]
        executed.kill()
    os.kill(forked, signal.SIGKILL)
    os.waitpid(forked, 0)
    assert roles == ["helper", "engine"]


def test_a_process_that_is_gone_or_somebody_elses_has_no_readings(child: "subprocess.Popen[bytes]") -> None:
    bare = {"role": "engine", "pid": child.pid}
    stranger = process_row("engine", child.pid, parent=1)
    assert {name: variant.value for name, variant in stranger.items()} == bare
    child.kill()
    child.wait()
    assert {name: one.value for name, one in process_row("engine", child.pid).items()} == bare
    assert children(child.pid) == []


def test_details_are_those_of_the_same_process_only(child: "subprocess.Popen[bytes]") -> None:
    seen = {"pid": child.pid, "uid": os.getuid(), "started": psutil.Process(child.pid).create_time()}
    found = details(seen)
    assert found is not None and found["descriptors"] == 3 and found["uss"] > 0
    assert found["namespaces"] == [] and set(found["capabilities"]) >= {"permitted", "bounding"}
    assert details({**seen, "started": seen["started"] - 3600}) is None
    assert details({**seen, "uid": os.getuid() + 1}) is None
    child.kill()
    child.wait()
    assert details(seen) is None


def test_json() -> None:
    shown = inspection_json(PATH, SESSION, inspection(row(), GONE), {69: DETAILS})
    assert (shown["path"], shown["owner"], shown["device"]) == (PATH, "root", "tun0")
    assert (shown["session_uid"], shown["layers"]) == (60707, ["user", "pid"])
    assert shown["missing_layers"] == {"cgroup": "no cgroup v2 is mounted"}
    worker, engine = shown["processes"]
    assert (worker["role"], worker["gone"], worker["memory"], worker["details"]) == ("worker", False, 18 << 20, DETAILS)
    assert worker["cpu_percent"] == pytest.approx(1.5, abs=0.2)
    assert engine == {**dict.fromkeys(worker), "role": "engine", "pid": 70, "gone": True}


def test_every_member_of_the_json_is_documented() -> None:
    shown = inspection_json(PATH, SESSION, inspection(row()), {69: DETAILS})
    text = CliRunner().invoke(cli, ["inspect", "--help"]).output
    [process] = shown["processes"]
    for name in ("session_uid", "layers", "missing_layers", "processes", *process, *DETAILS):
        assert name in text, name


def test_what_people_see() -> None:
    shown = inspection_json(PATH, SESSION, inspection(row(), GONE), {69: DETAILS})
    text = inspection_text(shown)
    lines = text.splitlines()
    assert f"Session: {PATH}" in lines and "Runs as: uid 60707" in lines
    assert " Status: Connection, Client connected" in lines
    assert (
        "cgroup  no        bounds on memory and processes of the session as a whole: no cgroup v2 is mounted" in lines
    )
    assert "pid     yes       sees, and can signal, its own processes only" in lines
    rows = [re.split(" {2,}", line) for line in lines]
    assert rows[rows.index(["Process", "worker", "engine"]) + 1 :] == [
        ["PID", "69", "70"],
        ["State", "sleeping", "gone"],
        ["User id", "60707", "-"],
        ["CPU", f"1.50 s ({shown['processes'][0]['cpu_percent']:.1f} %)", "-"],
        ["Memory", "18.0 MB (6144 kB shared)", "-"],
        ["Threads", "1", "-"],
        ["Started", local_time(int(shown["processes"][0]["started"])), "-"],
        ["Memory of its own", "3072 kB", "-"],
        ["Its share of memory", "20.0 MB", "-"],
        ["Swap", "0 kB", "-"],
        ["Descriptors", "12", "-"],
        ["Read", "4 kB", "-"],
        ["Written", "0 kB", "-"],
        ["Capabilities", "permitted 0000000000001000", "-"],
        ["No new privileges", "yes", "-"],
        ["Seccomp", "3 filters", "-"],
        ["Own namespaces", "mnt, pid", "-"],
    ]
    assert "Root sees more" not in text


def test_sessions_without_processes_and_those_that_have_not_reported() -> None:
    none = inspection(session_uid=0, layers=[], missing_layers={})
    text = inspection_text(inspection_json(PATH, SESSION, none, {}))
    assert "It has no processes." in text and "Runs as: -" in text and "Layer" not in text
    early = inspection(row(), layers=[], missing_layers={})
    assert "have not reported yet" in inspection_text(inspection_json(PATH, SESSION, early, {}))


def test_what_others_chose_cannot_steer_the_terminal() -> None:
    evil = "\x1b]0;owned\x07[bold]"
    evil_row = row(role=Variant("s", evil), state=Variant("s", evil))
    session = {**SESSION, "config_name": evil, "status": [2, 10, evil]}
    found = inspection(evil_row, layers=[evil], missing_layers={"cgroup": evil})
    text = inspection_text(inspection_json(PATH, session, found, {69: DETAILS}))
    assert text.replace("\n", "").isprintable()
    assert text.count("\ufffd]0;owned\ufffd[bold]") == 6


def test_unknown_layers_are_shown_too() -> None:
    text = inspection_text(inspection_json(PATH, SESSION, inspection(row(), layers=["novel", *Layer]), {}))
    assert all(any(line.split()[:2] == [layer, "yes"] for line in text.splitlines()) for layer in [*Layer, "novel"])


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 kB"), (10 * 1024 * 1024 - 1024, "10239 kB"), (10 * 1024 * 1024, "10.0 MB")],
)
def test_sizes(number: int, text: str) -> None:
    assert size(number) == text


def test_a_session_manager_without_this_interface() -> None:
    error = failure(SESSIONS, "org.freedesktop.DBus.Error.InvalidArgs", f"No such interface “{INSPECTION}”", PATH)
    assert error.status == CommandExit.REFUSED and "is another one" in error.hint


@pytest.mark.parametrize("session", ["", "/net//openvpn"])
def test_names_that_cannot_be_meant(session: str) -> None:
    done = CliRunner().invoke(cli, ["inspect", session])
    assert done.exit_code == CommandExit.USAGE and "Invalid value for 'SESSION'" in done.output
