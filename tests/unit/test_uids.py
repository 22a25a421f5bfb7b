"""User ids of sessions: each its own, none of anybody else's."""

from pathlib import Path

import pytest

from ...policy.exit_status import ExitStatus
from ...supervisor.errors import StartError, SystemFailure
from ...supervisor.sessions.uids import UserIds, check_unused

RANGE = range(60706, 61184)


def test_each_session_gets_an_id_of_its_own() -> None:
    ids = UserIds(range(5, 8))
    assert [ids.take() for _ in range(3)] == [5, 6, 7]
    with pytest.raises(SystemFailure, match="--session-uids"):
        ids.take()
    for uid in (6, 5, 7):
        ids.give_back(uid)
    assert [ids.take() for _ in range(3)] == [5, 6, 7]  # the lowest first: its cgroup is there


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("passwd", "eve:x:60706:100::/home/eve:/bin/sh"),
        ("passwd", "eve:x:61183:100::/home/eve:/bin/sh"),
        ("group", "eve:x:61000:"),
        ("subuid", "eve:60000:65536"),
        ("subuid", "eve:61183:1"),
        ("subgid", "eve:1:4294967294"),
    ],
)
def test_an_overlap_is_named(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / file).write_text(f"root:x:0:0::/root:/bin/sh\n{line}\n")
    with pytest.raises(StartError, match=f"/etc/{file}: 'eve' uses ids .*60706 to 61183.*--session-uids") as caught:
        check_unused(RANGE, tmp_path)
    assert caught.value.status == ExitStatus.CANNOT_START


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("passwd", "eve:x:60705:100::/:/bin/sh\nbob:x:61184:100::/:/bin/sh\n"),
        ("passwd", "eve:x:1000:60800:name:/:/bin/sh\n"),  # the group's line would tell
        ("subuid", "eve:60000:706\nbob:61184:65536\n"),
        ("group", "\n+::::\n# comment\neve:x:many:\nshort\n\xff:x:1:\n"),
    ],
)
def test_what_does_not_overlap_is_no_matter(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / file).write_text(text, encoding="latin-1")
    check_unused(RANGE, tmp_path)


def test_missing_files_are_no_matter(tmp_path: Path) -> None:
    check_unused(RANGE, tmp_path)
