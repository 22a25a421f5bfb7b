"""The command line: each option, and what is said about a bad value."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ...policy.configuration.options import Options, combined
from ...policy.profile.pkcs11 import Provider
from ...supervisor.start.options import PROGRAM, parse
from ...supervisor.version import VERSION


def given(arguments: Sequence[str]) -> Options:
    """The options that are in force with this command line and no file."""
    return combined(parse(arguments), {})


def test_the_defaults_are_the_original_ones() -> None:
    options = given([])
    assert (options.log_level, options.log_file, options.colour, options.idle_exit) == (3, None, False, 180)
    assert options.configuration == "auto"
    assert options.engine == Path("/usr/sbin/openvpn")
    assert options.runtime_dir.is_relative_to("/run")


def test_every_option_arrives(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    line = "--log-level 6 --log-file stdout: --colour --idle-exit 0 --connect-timeout 7.5 --state-dir state "
    line += "--runtime-dir /r --openvpn o --configuration external --session-uids 2000-2010 --process-titles plain"
    options = given(line.split())
    assert (options.log_level, options.log_file, options.colour) == (6, "stdout:", True)
    assert (options.idle_exit, options.connect_timeout) == (0, 7.5)
    # Absolute, since nothing must depend on where the service is later.
    assert (options.state_dir, options.runtime_dir) == (tmp_path / "state", Path("/r"))
    assert (options.engine, options.configuration) == (tmp_path / "o", "external")
    assert (options.session_uids, options.process_titles) == (range(2000, 2011), "plain")


def test_providers_are_listed_one_by_one() -> None:
    assert given([]).pkcs11_providers == ()
    options = given(["--pkcs11-provider", "b=/b.so,/etc/b", "--pkcs11-provider=a=/a.so"])
    assert options.pkcs11_providers == (Provider("b", "/b.so", ("/etc/b",)), Provider("a", "/a.so"))


@pytest.mark.parametrize(("minutes", "seconds"), [("3", 180), ("0.5", 30), (".01", 0.6), ("0", 0), ("1e3", 60000)])
def test_idle_exit_takes_fractions_of_minutes(minutes: str, seconds: float) -> None:
    assert given(["--idle-exit", minutes]).idle_exit == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--log-level 7", "--log-level: '7' is not a number from 0 to 6"),
        ("--log-level=-1", "--log-level: '-1' is not a number from 0 to 6"),
        ("--log-level high", "--log-level: 'high' is not a number"),
        ("--redirect alice,any", '--redirect: "any" stands alone'),
        ("--redirect=", "--redirect: it is empty"),
        ("--dns alice,", "--dns: '' is not any, root, seat"),
        ("--max-sessions 1001", "--max-sessions: '1001' is not a number from 1 to 1000"),
        ("--profile-disk-per-user 0", "--profile-disk-per-user: '0' is not a number from 1 to 256"),
        ("--pkcs11-provider=", "--pkcs11-provider: '' is not NAME=MODULE"),
        ("--idle-exit=-1", "--idle-exit: '-1' is not a number from 0"),
        ("--idle-exit soon", "--idle-exit: 'soon' is not a number from 0"),
        ("--idle-exit nan", "--idle-exit: 'nan' is not a number from 0"),
        ("--idle-exit inf", "--idle-exit: 'inf' is not a number from 0"),
        ("--connect-timeout 0", "--connect-timeout: '0' is not a number from 1"),
        ("--connect-timeout ''", "--connect-timeout: \"''\" is not a number from 1"),
        ("--runtime-dir=", "--runtime-dir: it is empty"),
        ("--state-dir=", "--state-dir: it is empty"),
        ("--log-file=", "--log-file: it is empty"),
        ("--openvpn=", "--openvpn: it is empty"),
        ("--configuration none", "--configuration: 'none' is not auto, embedded or external"),
        ("--session-uids 70000", "--session-uids: '70000' is not FIRST-LAST"),
        ("--session-uids 70000-70000", "is not FIRST-LAST with two ids or more"),
        ("--session-uids 70001-70000", "is not FIRST-LAST"),
        ("--session-uids 999-2000", "from 1000 to"),
        ("--session-uids 2000-4294967294", "to 4294967293"),
        ("--session-uids a-b", "'a-b' is not FIRST-LAST"),
        ("--pkcs11-provider card", "--pkcs11-provider: 'card' is not NAME=MODULE"),
        ("--pkcs11-provider a=/a --pkcs11-provider a=/b", "--pkcs11-provider: 'a' is listed more than once"),
        (" ".join(f"--pkcs11-provider n{number}=/a" for number in range(33)), "more than 32 providers"),
        ("--log-lev 3", "unrecognized arguments: --log-lev 3"),
        ("more", "unrecognized arguments: more"),
    ],
)
def test_a_bad_value_is_named(arguments: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments.split())
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"{PROGRAM} {VERSION}")
    for option in ("-h", "--help"):
        with pytest.raises(SystemExit) as ended:
            parse([option])
        assert ended.value.code == 0
        shown = " ".join(capsys.readouterr().out.split())
        for expected in ("--idle-exit MINUTES", "--log-file FILE", "--colour", "default 3; 0: never", "60706-61183"):
            assert expected in shown
