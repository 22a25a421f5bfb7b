"""The log: what is shown, how it looks, and that no destination can hold up who writes to it."""

import fcntl
import os
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from ...policy.access import Acl
from ...policy.dbus_numbers import CATEGORY_NAMES, GROUP_NAMES, LogCategory, LogGroup
from ...policy.limits import LOG_CREDIT, LOG_LINES_OF_USER, MAX_LOG_LINE, MAX_QUEUED_LINES
from ...supervisor.errors import StartError
from ...supervisor.logging.destinations import (
    Journald,
    Stream,
    Syslog,
    default_destination,
    open_file,
    open_log,
)
from ...supervisor.logging.log import Log, Origin, Record, Style, escape_control_characters
from ...supervisor.sessions.forwarding import Forwarder, Forwards
from ...supervisor.sessions.session_log import SessionLog
from ..support.log_lines import LogLines
from ..support.skipping import cannot_run_here

IMPORT_ROOT = str(Path(__file__).resolve().parents[2] / "src")
NO_FORWARDS = Forwards("/s", Acl(1001), Forwarder.__new__(Forwarder))
DEADLINE = 10.0  # seconds, for anything that should happen at once

LEAST_SHOWN = ["CRIT", "ERROR", "WARN", "INFO", "VERB1", "VERB2", "DEBUG"]  # at levels 0 to 6


def say_everything(log: Log) -> None:
    for category in LogCategory:
        if category != LogCategory.UNDEFINED:
            log.write(LogGroup.SESSIONMGR, category, "x")


def lines_of(log: Log, path: Path) -> list[str]:
    assert log.close(DEADLINE)
    return path.read_text().splitlines()


@pytest.mark.parametrize("level", range(7))
def test_each_level_shows_its_category_and_graver_ones(tmp_path: Path, level: int) -> None:
    log = Log(level, [open_file(str(tmp_path / "log"), colour=False)])
    say_everything(log)
    shown = [line.split("Session Manager ")[1].removesuffix(": x") for line in lines_of(log, tmp_path / "log")]
    expected = [LogCategory[name] for name in reversed(LEAST_SHOWN[: level + 1])] + [LogCategory.FATAL]
    assert shown == [CATEGORY_NAMES[category] for category in expected]


def test_a_line_looks_as_in_the_original(tmp_path: Path) -> None:
    log = Log(3, [open_file(str(tmp_path / "log"), colour=False)])
    log.info("started")
    log.warn("no route", group=LogGroup.NETCFG, session="s1")
    log.write(LogGroup.CLIENT, LogCategory.ERROR, "gone")
    stamps, texts = zip(
        *(re.fullmatch(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (.*)", line).groups()  # type: ignore[union-attr]  # a mismatch fails the test
          for line in lines_of(log, tmp_path / "log")),
        strict=True,
    )  # fmt: skip
    assert texts == (
        "Session Manager INFO: started",
        "{s1} Network Configuration WARNING: no route",
        "Client -- ERROR --: gone",
    )
    assert abs(time.mktime(time.strptime(stamps[0][:19], "%Y-%m-%d %H:%M:%S")) - time.time()) < 60


def test_every_group_and_category_has_a_name() -> None:
    assert set(GROUP_NAMES) == set(LogGroup)
    assert set(CATEGORY_NAMES) == set(LogCategory)


def test_the_level_can_change(tmp_path: Path) -> None:
    log = Log(3, [open_file(str(tmp_path / "log"), colour=False)])
    log.debug("before")
    log.level = 6
    log.debug("after")
    assert [line[-5:] for line in lines_of(log, tmp_path / "log")] == ["after"]


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("plain ü €", "plain ü €"),
        ("a\x1b[31mb\x07\x00", "a\\x1b[31mb\\x07\\x00"),
        ("col\x9b1mour", "col\\x9b1mour"),
        ("right\u202eleft", "right\\u202eleft"),
        ("half \udcff", "half \\udcff"),
        ("tab\there", "tab here"),
        ("first\r\nsecond\n\n", "first\nsecond"),
        ("over\rwritten", "over\\rwritten"),
    ],
)
def test_what_could_steer_a_terminal_is_escaped(raw: str, safe: str) -> None:
    assert escape_control_characters(raw) == safe


def test_a_text_cannot_forge_a_second_line(tmp_path: Path) -> None:
    log = Log(3, [open_file(str(tmp_path / "log"), colour=False)])
    log.info("one\n2026-01-01 00:00:00.000 Session Manager INFO: forged")
    first, second = lines_of(log, tmp_path / "log")
    assert first.endswith("INFO: one")
    assert second == "    2026-01-01 00:00:00.000 Session Manager INFO: forged"


def test_a_long_text_is_cut(tmp_path: Path) -> None:
    log = Log(3, [open_file(str(tmp_path / "log"), colour=False)])
    log.info("x" * (MAX_LOG_LINE + 1))
    log.info("y" * MAX_LOG_LINE)
    cut, whole = (line.split("INFO: ")[1] for line in lines_of(log, tmp_path / "log"))
    assert cut == "x" * (MAX_LOG_LINE - 1) + "…"
    assert whole == "y" * MAX_LOG_LINE


def test_colour_is_per_category_and_ends_with_the_line(tmp_path: Path) -> None:
    log = Log(6, [open_file(str(tmp_path / "log"), colour=True)])
    say_everything(log)
    colours = [
        re.match(r"\S+ \S+ (\x1b\[[0-9;]+m)Session.*\x1b\[0m$", line) for line in lines_of(log, tmp_path / "log")
    ]
    assert len({match[1] for match in colours if match}) == len(colours) == 8


def test_a_file_is_appended_to_and_not_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for text in ("first", "second"):
        log = open_log(3, str(path), journald=tmp_path / "none", syslog=tmp_path / "none")
        log.info(text)
        log.close(DEADLINE)
    assert [line.split()[-1] for line in path.read_text().splitlines()] == ["first", "second"]
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kind", ["link", "directory", "missing", "fifo"])
def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "log"
    match kind:
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "missing":
            path = path / "below"
    reason = {"link": "is a symbolic link", "directory": "Is a directory", "missing": "No such file"}
    with pytest.raises(StartError, match=f"cannot open the log file {path}: {reason.get(kind, '')}"):
        open_file(str(path), colour=False)


class LineReader(Iterator[str]):
    """Lines of a pipe; it is an error if none comes in time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._text = b""

    def __next__(self) -> str:
        while b"\n" not in self._text:
            assert select.select([self._descriptor], [], [], DEADLINE)[0], "nothing came"
            self._text += os.read(self._descriptor, 65536)
        line, _, self._text = self._text.partition(b"\n")
        return line.decode()


def accounted_for(said: int, lines: Iterator[str]) -> int:
    """Read "line 0" to "line N" until all `said` are there or a notice stands in the very place of the gap.

    Returns how many were dropped.
    """
    number = dropped = 0
    while number < said:
        line = next(lines)
        if gap := re.search(r"(\d+) lines? dropped: the log took no data", line):
            dropped += int(gap[1])
            number += int(gap[1])
        else:
            assert re.search(rf"line {number}$", line, re.M), line
            number += 1
    assert number == said
    return dropped


def test_a_pipe_nobody_reads_never_blocks_and_the_gap_is_counted_in_its_place() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    log = Log(3, [Stream(writer)])
    log.start()
    said = 5 * MAX_QUEUED_LINES
    for number in range(said):
        log.info(f"line {number}")  # a blocked write would never return
    assert not log.flush(0.05)

    lines = LineReader(reader)
    dropped = accounted_for(said, lines)
    assert 0 < dropped <= said - MAX_QUEUED_LINES
    log.info("afterwards")
    assert next(lines).endswith("afterwards")
    assert log.close(DEADLINE)
    os.close(reader)


def test_closing_does_not_wait_for_a_stopped_pipe() -> None:
    reader, writer = os.pipe()
    log = Log(3, [Stream(writer)])
    for _ in range(MAX_QUEUED_LINES):
        log.info("x" * 200)
    assert not log.close(0.1)
    os.close(reader)


def test_a_pipe_without_blocking_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    log = Log(3, [Stream(writer)])
    log.start()
    for number in range(200):
        log.info(f"{number:0100}")
    text = b""
    while text.count(b"\n") < 200:
        text += os.read(reader, 65536)
    assert [int(line.split()[-1]) for line in text.decode().splitlines()] == list(range(200))
    log.close(DEADLINE)
    os.close(reader)


FULL_DISK = """
import os, subprocess, sys
from openvpn3_sessionmgr.supervisor.logging.log import Log
from openvpn3_sessionmgr.supervisor.logging.destinations import open_file
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", sys.argv[1]], check=True)
ballast = os.open(sys.argv[1] + "/ballast", os.O_WRONLY | os.O_CREAT)
os.write(ballast, bytes(4096))
log = Log(3, [open_file(sys.argv[1] + "/log", colour=False)])
log.start()
for number in range(100):
    log.info(f"line {number} " + "x" * 100)
    assert log.flush(10)
os.unlink(sys.argv[1] + "/ballast")
os.close(ballast)
log.info("room again")
assert log.close(10)
sys.stdout.write(open(sys.argv[1] + "/log").read())
"""


def test_a_full_disk_loses_lines_counts_them_and_recovers(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        cannot_run_here("it takes root to mount a small tmpfs")
    result = subprocess.run(
        ["unshare", "--mount", sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "PYTHONPATH": IMPORT_ROOT},
    )  # fmt: skip
    lines = result.stdout.splitlines()
    whole = [line for line in lines if " line " in line and line.endswith("x" * 100)]
    assert [int(line.split(" line ")[1].split()[0]) for line in whole] == list(range(len(whole)))
    assert re.fullmatch(rf"[-0-9]+ \S+ Logger WARNING: {100 - len(whole)} lines dropped: .*", lines[-2])
    assert lines[-1].endswith("room again")
    assert len(lines) - len(whole) in (2, 3)  # a torn line may stand before the notice


def datagram_server(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(path))
    server.settimeout(DEADLINE)
    return server


def test_journald_gets_fields(tmp_path: Path) -> None:
    with datagram_server(tmp_path / "journal") as server:
        log = open_log(3, journald=tmp_path / "journal", syslog=tmp_path / "none")
        log.bus_name = ":1.7"
        log.error("it broke", group=LogGroup.CLIENT, session="1s2")
        log.info("two\nlines")
        log.info("\U000e0001" * MAX_LOG_LINE)
        log.start()
        assert server.recv(65536) == (
            b"MESSAGE=it broke\nPRIORITY=3\nSYSLOG_IDENTIFIER=openvpn3-sessionmgr\n"
            b"O3_LOG_GROUP=Client\nO3_LOG_CATEGORY=-- ERROR --\nO3_LOG_SENDER=net.openvpn.v3.log\n"
            b"O3_SENDER=:1.7\nO3_SENDER_PID=%d\nO3_INTERFACE=net.openvpn.v3.backends\n"
            b"O3_OBJECT_PATH=/net/openvpn/v3/sessions/1s2\nO3_SESSION_TOKEN=1t2\n" % os.getpid()
        )
        assert server.recv(65536).startswith(b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nPRIORITY=6\n")
        assert server.recv(65536).startswith(b"MESSAGE=" + b"\\U000e0001" * MAX_LOG_LINE)
        log.close(DEADLINE)


def test_syslog_is_used_where_journald_is_not(tmp_path: Path) -> None:
    with datagram_server(tmp_path / "log") as server:
        log = open_log(3, journald=tmp_path / "none", syslog=tmp_path / "log")
        log.crit("it broke")
        log.start()
        assert re.fullmatch(
            rb"<26>(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 1-3]\d \d\d:\d\d:\d\d "
            rb"openvpn3-sessionmgr\[%d\]: Session Manager !! CRITICAL !!: it broke" % os.getpid(),
            server.recv(65536),
        )
        log.close(DEADLINE)


def test_journald_is_preferred(tmp_path: Path) -> None:
    with datagram_server(tmp_path / "journal"), datagram_server(tmp_path / "log"):
        assert isinstance(default_destination(tmp_path / "journal", tmp_path / "log"), Journald)
        assert isinstance(default_destination(tmp_path / "none", tmp_path / "log"), Syslog)


def test_without_any_destination_it_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(3, journald=tmp_path / "none", syslog=tmp_path / "none")
    log.info("unheard")
    log.close()
    assert (
        capsys.readouterr().err == "openvpn3-sessionmgr: neither journald nor syslog is available: nothing is logged\n"
    )


def test_a_full_journald_socket_never_blocks(tmp_path: Path) -> None:
    with datagram_server(tmp_path / "journal") as server:
        log = Log(3, [Journald(tmp_path / "journal")])
        log.start()
        for number in range(3 * MAX_QUEUED_LINES):
            log.info(f"line {number}")
        assert not log.flush(0.05)
        assert accounted_for(3 * MAX_QUEUED_LINES, (server.recv(65536).decode() for _ in count())) > 0
        assert log.close(DEADLINE)


def test_a_restarted_journald_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    server = datagram_server(path)
    log = Log(3, [Journald(path)])
    log.start()
    log.info("one")
    assert b"MESSAGE=one\n" in server.recv(65536)
    server.close()
    path.unlink()
    log.info("lost")
    assert log.flush(DEADLINE)
    with datagram_server(path) as server:
        log.info("two")
        assert b"MESSAGE=1 line dropped" in server.recv(65536)
        assert b"MESSAGE=two\n" in server.recv(65536)
        log.close(DEADLINE)


def record(text: str, user: int | None) -> Record:
    origin = Origin("", 1, "", "")
    return Record(0.0, LogGroup.SESSIONMGR, LogCategory.INFO, text, "", origin, Style(), user)


def test_lines_of_one_user_are_bounded_and_counted_and_those_of_others_are_not() -> None:
    lines = LogLines()
    log = Log(3, [lines])
    due: list[Callable[[], None]] = []
    log.credit.later = lambda seconds, tell: due.append(tell)
    sessions = [SessionLog(f"s{number}", log, NO_FORWARDS, 1001) for number in range(50)]
    for session in sessions:
        for _ in range(LOG_CREDIT):
            session.write(LogCategory.INFO, "bob")
    for text, user in (("alice", 1000), ("own", None)):
        for _ in range(150):
            log.info(text, user=user)
    written = lines.texts.count("bob")
    assert LOG_LINES_OF_USER <= written < 5 * LOG_LINES_OF_USER
    assert (lines.texts.count("alice"), lines.texts.count("own")) == (150, 150)
    [tell] = due
    tell()
    assert lines.texts[-1].startswith(f"{50 * LOG_CREDIT - written} log lines of user 1001 were left out")
    tell()
    assert sum("left out" in text for text in lines.texts) == 1


def test_what_was_left_out_is_told_at_the_end() -> None:
    lines = LogLines()
    log = Log(3, [lines])
    for _ in range(5 * LOG_LINES_OF_USER):
        log.info("bob", user=1001)
    log.close()
    assert "log lines of user 1001 were left out" in lines.texts[-1]


def test_lines_that_are_not_shown_cost_nothing() -> None:
    lines = LogLines()
    log = Log(3, [lines])
    for _ in range(5 * LOG_LINES_OF_USER):
        log.debug("bob", user=1001)
    log.info("bob", user=1001)
    assert lines.texts == ["bob"]


@pytest.mark.parametrize("text", ["x", "x" * (MAX_LOG_LINE - 10)])
def test_a_user_leaves_room_in_the_queue(text: str) -> None:
    """A destination that takes nothing has room for lines of others, however many one user causes."""
    reader, writer = os.pipe()
    destination = Stream(writer)
    users = (1001, 1002, 1003, 1004)
    for user in users:
        for _ in range(MAX_QUEUED_LINES):
            destination.put(record(f"{user} {text}", user))
    destination.put(record("own", None))
    destination.start()
    said = b""
    while b": own" not in said:
        said += os.read(reader, 65536)
    for user in users:
        assert said.count(b": %d " % user) >= 7
    destination.close(time.monotonic() + DEADLINE)
    os.close(reader)
