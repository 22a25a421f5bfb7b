"""Records on disk: those of an earlier process are found, and none needs room that is not there."""

import os
import stat
from pathlib import Path

import pytest

from ...policy.limits import MAX_RECORDS
from ...supervisor.record_file import RECORD_PLACE, RecordFile


def test_records_stay_until_they_are_removed(tmp_path: Path) -> None:
    file = tmp_path / "records"
    first = RecordFile(file)
    places = [first.add(record) for record in (b"a", b"b", b"c" * (RECORD_PLACE - 6))]
    first.remove(places[0])
    first.close()
    second = RecordFile(file)
    assert second.add(b"d") == places[0]  # of a file that was not read before
    assert second.read() == {0: b"d", 1: b"b", 2: b"c" * (RECORD_PLACE - 6)}
    for size in (0, RECORD_PLACE):
        with pytest.raises(ValueError, match=f"a record of {size} bytes"):
            second.add(bytes(size))
    second.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        second.remove(0)


def test_what_was_cut_off_is_told(tmp_path: Path) -> None:
    file = tmp_path / "records"
    records = RecordFile(file)
    whole = records.add(b"whole")
    for size in range(1, 11):
        records.add(b"0123456789")
        content = file.read_bytes()[RECORD_PLACE : RECORD_PLACE + 6 + size]
        with file.open("r+b") as raw:
            raw.seek(RECORD_PLACE)
            raw.write(content.ljust(RECORD_PLACE, b"\0"))
        assert records.read() == {whole: b"whole", 1: b"0123456789" if size == 10 else None}
        records.remove(1)
    records.close()


def test_the_space_is_taken_at_once(tmp_path: Path) -> None:
    file = tmp_path / "records"
    records = RecordFile(file)
    status = file.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_blocks * 512 >= MAX_RECORDS * RECORD_PLACE
    for _ in range(MAX_RECORDS):
        records.add(os.urandom(100))
    with pytest.raises(OSError, match=f"all {MAX_RECORDS} places in {file} are taken"):
        records.add(b"one more")
    assert file.stat().st_size == MAX_RECORDS * RECORD_PLACE
    records.close()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "records").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        RecordFile(tmp_path / "records")
