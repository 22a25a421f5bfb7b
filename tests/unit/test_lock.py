"""The kill switch: who spoke first, as the kernel lists sockets; notes of who wants it; what is typed."""

from pathlib import Path

import click
import pytest

from ...ctl.arguments import duration
from ...policy.configuration.options import combined
from ...supervisor.errors import SystemFailure
from ...supervisor.network.locking.lock_rules import Hold
from ...supervisor.network.locking.sockets import Peer, look
from ...supervisor.start.options import parse

_HEADER = "  sl  local_address rem_address   st tx_queue rx_queue\n"
_REST = "00000000:00000000 00:00000000 00000000     0        0 1 1 0 10\n"
_MAPPED = "0000000000000000FFFF0000"
_SSH, _FAR, _HERE = 22, "C80200C0", "026433C6"  # 192.0.2.200, 198.51.100.2 as a machine of the usual order prints them

_LOOPBACK = "0100007F"


def row(own: str, port: int, peer: str, peers: int, state: int) -> str:
    return f"   0: {own}:{port:04X} {peer}:{peers:04X} {state:02X} {_REST}"


def machine(place: Path, **rows: list[str]) -> Path:
    for name in ("tcp", "tcp6", "udp", "udp6"):
        (place / name).write_text(_HEADER + "".join(rows.get(name, ())))
    (place / "ports").write_text("32768\t60999\n")
    return place


def test_who_spoke_first(tmp_path: Path) -> None:
    place = machine(
        tmp_path,
        tcp=[
            row(_HERE, _SSH, _FAR, 50000, 1),
            row(_HERE, 40000, _FAR, 443, 1),
            row(_HERE, 700, _FAR, 2049, 1),  # NFS, whose clients have ports of root's
            row(_LOOPBACK, _SSH, _LOOPBACK, 50003, 1),
            row(_LOOPBACK, 50003, _LOOPBACK, _SSH, 1),
        ],
        tcp6=[
            row("0" * 32, _SSH, "0" * 32, 0, 10),
            row(f"{_MAPPED}{_HERE}", _SSH, f"{_MAPPED}{_FAR}", 50001, 1),
            row(f"{_MAPPED}{_LOOPBACK}", _SSH, f"{_MAPPED}{_LOOPBACK}", 50004, 1),
            row("0" * 24 + "01000000", _SSH, "0" * 24 + "01000000", 50005, 1),
            row("0" * 32, _SSH, "B80D0120000000000000000001000000", 50002, 1),
        ],
        udp=[
            row("00000000", 68, "00000000", 0, 7),
            row("00000000", 5353, "00000000", 0, 7),
            row("00000000", 45000, "00000000", 0, 7),
        ],
        udp6=[row("0" * 32, 5000, "B80D0120000000000000000001000000", 443, 1)],
    )
    found = look(place, place / "ports")
    far, far6 = bytes([192, 0, 2, 200]), bytes.fromhex("20010db8000000000000000000000001")
    assert found.accepted == {Peer(far, 50000, _SSH), Peer(far, 50001, _SSH), Peer(far6, 50002, _SSH)}
    assert found.outgoing == {(6, 40000), (6, 700), (17, 45000), (17, 5000)}


def test_a_machine_without_ipv6(tmp_path: Path) -> None:
    place = machine(tmp_path)
    (place / "tcp6").unlink()
    (place / "udp6").unlink()
    assert not look(place, place / "ports").outgoing
    (place / "ports").write_text("damaged")
    with pytest.raises(SystemFailure, match="connections cannot be told"):
        look(place, place / "ports")


@pytest.mark.parametrize("profile", ["office", "", 'my "profile"; x=1 \n日本', "x" * 255])
def test_what_is_noted(profile: str) -> None:
    """It can be read again, and fits into a comment, without what would end one in a list of rules."""
    hold = Hold(user=2**32 - 3, session="0" * 37, since=2**40, profile=profile)
    assert len(hold.comment.encode()) < 254
    assert not set(hold.comment) & set('"\\\n')
    read = Hold.of(hold.comment)
    assert (read.user, read.session, read.since) == (hold.user, hold.session, hold.since)
    assert len(read.profile) == min(len(profile), 64)


@pytest.mark.parametrize("comment", ["", "user=1", "user=x session= since=1 profile=", "=" * 100, " ".join("abc")])
def test_notes_of_others(comment: str) -> None:
    with pytest.raises(ValueError):
        Hold.of(comment)


def test_networks_of_the_administrator() -> None:
    assert combined({}, {}).kill_switch_allow == ()
    given = "192.0.2.0/24,2001:db8::/64,192.0.2.0/24,198.51.100.7"
    assert combined(parse([f"--kill-switch-allow={given}"]), {}).kill_switch_allow == (
        "192.0.2.0/24",
        "2001:db8::/64",
        "198.51.100.7/32",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("192.0.2.1/24", "has host bits set"),
        ("0.0.0.0/0", "is everything"),
        ("::/0", "is everything"),
        ("printer", "does not appear to be"),
        ("192.0.2.0/24,", "does not appear to be"),
        (",".join(f"192.0.2.{number}" for number in range(65)), "65 networks are more than 64"),
    ],
)
def test_networks_that_are_none(text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([f"--kill-switch-allow={text}"])
    assert said in capsys.readouterr().err


def test_for_how_long() -> None:
    assert [duration(text) for text in ("90", "90s", "5m", "1h")] == [90, 90, 300, 3600]
    for text in ("", "0", "5 m", "1.5m", "2h", "61m", "-1", "m", "9" * 7):
        with pytest.raises(click.BadParameter, match="of 60 minutes at most"):
            duration(text)
