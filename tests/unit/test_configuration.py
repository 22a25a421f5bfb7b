"""The administrator's files: what they may say, what is said of what they may not, and which files are read at all."""

import os
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

import pytest

from ...packaging.configuration_doc import sample_file
from ...policy.configuration.files import read
from ...policy.configuration.options import Options, Setting, combined, default
from ...policy.configuration.table import KEYS, OPTIONS
from ...policy.limits import MAX_CONFIGURATION_FILE, MAX_CONFIGURATION_FILES
from ...policy.rights import Right, Rule
from ...policy.sandbox.layers import Layer
from ...supervisor.start.options import WrongConfiguration, options, parse

ME = (os.getuid(),)
PAGE = "openvpn3-sessionmgr.conf(5) lists them"


def written(directory: Path, text: str | bytes = "", **others: str) -> Path:
    """A directory with this config.toml, and these files in config.d."""
    (directory / "config.d").mkdir()
    (directory / "config.d").chmod(0o755)
    directory.chmod(0o755)
    below = {f"config.d/{name}.toml": content for name, content in others.items()}
    for place, content in {"config.toml": text, **below}.items():
        (directory / place).write_bytes(content if isinstance(content, bytes) else content.encode())
        (directory / place).chmod(0o644)
    return directory


def problems(directory: Path) -> list[str]:
    """What is wrong, without the names of the files."""
    found = read(directory, ME).problems
    assert all(str(directory) in one for one in found)
    return [one.replace(f"{directory}/", "").removeprefix("config.toml") for one in found]


def test_a_field_for_each_option_and_an_option_for_each_field() -> None:
    assert {option.attribute for option in OPTIONS} == get_type_hints(Options).keys() - {"sources"}
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
    assert {right.value for right in Right} <= KEYS.keys()


def test_the_file_that_is_installed_says_what_is_so_anyway(tmp_path: Path) -> None:
    directory = written(tmp_path, sample_file())
    assert read(directory, ME).settings == {} and read(directory, ME).problems == []
    keys = [line[1:] for line in sample_file().splitlines() if line.startswith("#") and line[1:2] not in (" ", "#", "")]
    (directory / "config.toml").write_text("\n".join(keys))
    found = read(directory, ME)
    assert found.problems == [] and found.settings.keys() == KEYS.keys()
    for name, setting in found.settings.items():
        if KEYS[name].default is not None:
            assert setting.value == default(KEYS[name]), name


def test_the_parser_is_not_loaded_for_comments(tmp_path: Path) -> None:
    """It would be a part of each start."""
    written(tmp_path, sample_file(), other="  \n\t# nothing\n")
    program = (
        "import sys; from pathlib import Path; from openvpn3_sessionmgr.policy.configuration.files import read; "
        f"print(len(read(Path({str(tmp_path)!r}), {ME}).files), 'tomllib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"


def test_what_counts_more(tmp_path: Path) -> None:
    directory = written(
        tmp_path,
        'log-level = 1\nidle-exit = 1\nredirect = "root"\nconnect-timeout = 1',
        b='log-level = 3\nredirect = ["@vpn", "seat"]',
        a="log-level = 2\nidle-exit = 0.5",
    )
    command_line = parse(["--log-level=4", "--kill-switch=root,bob"])
    chosen = combined(command_line, read(directory, ME).settings)
    assert (chosen.log_level, chosen.idle_exit, chosen.connect_timeout) == (4, 30.0, 1.0)
    assert chosen.rights[Right.REDIRECT] == Rule(("@vpn", "seat"), f"redirect in {directory}/config.d/b.toml")
    assert chosen.rights[Right.KILL_SWITCH] == Rule(("root", "bob"), "--kill-switch root,bob")
    assert chosen.rights[Right.DNS] == Rule(("any",))
    assert chosen.look_interval == 30.0


def test_no_files(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none"):
        found = read(directory, ME)
        assert not found.problems and not found.files
    assert options(parse([f"--config-dir={tmp_path / 'none'}"])).log_level == 3


def test_kinds_of_values(tmp_path: Path) -> None:
    text = """
session-uids = "70000-70010"
sandbox = ["mdwe", "pid"]
pkcs11-provider = ["a=/a.so", "b=/b.so,/etc/b,group=g"]
device-names = ["tun*", "vpn?"]
colour = true
openvpn = "/opt/openvpn"
log-file = "stdout:"
profile-disk-per-user = 2
dns = "alice,bob"
"""
    found = read(written(tmp_path, text), ME)
    assert found.problems == []
    chosen = combined({}, found.settings)
    assert (chosen.session_uids, chosen.sandbox) == (range(70000, 70011), frozenset({Layer.MDWE, Layer.PID}))
    assert [one.name for one in chosen.pkcs11_providers] == ["a", "b"] and chosen.pkcs11_providers[1].group == "g"
    assert (chosen.device_names, chosen.colour, chosen.engine) == (("tun*", "vpn?"), True, Path("/opt/openvpn"))
    assert (chosen.log_file, chosen.quotas.disk_per_user, chosen.dns) == ("stdout:", 2 * 2**20, ("alice", "bob"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("log-level = 7", ", line 1: log-level: '7' is not a number from 0 to 6"),
        ("\nlog-level = '3'", ", line 2: log-level: it is a number, without quotation marks"),
        ("log-level = true", ", line 1: log-level: it is a number, without quotation marks"),
        ("log-level = 3.5", ", line 1: log-level: '3.5' is not a number from 0 to 6"),
        ("idle-exit = nan", ", line 1: idle-exit: 'nan' is not a number from 0 to 999999"),
        ("colour = 'yes'", ", line 1: colour: it is true or false"),
        ("openvpn = 'openvpn'", ", line 1: openvpn: 'openvpn' is not a full path: it begins with /"),
        ("log-file = ''", ", line 1: log-file: '' is not a full path"),
        ("redirect = 5", ', line 1: redirect: it is a text in quotation marks, or a list of such: ["…", "…"]'),
        ("redirect = ['alice', 5]", ", line 1: redirect: it is a text in quotation marks, or a list of such"),
        ("redirect = []", ', line 1: redirect: it names nobody: for that there is "refuse"'),
        ("redirect = ''", ", line 1: redirect: it is empty"),
        ("redirect = ['any', 'bob']", ', line 1: redirect: "any" stands alone'),
        ("redirect.who = 'any'", ", line 1: redirect: it is a text in quotation marks"),
        ("sandbox = ['all']", ", line 1: sandbox: 'all' is not a valid Layer; there are user"),
        ("public-networks = 'no'", ", line 1: public-networks: 'no' is not allow or refuse"),
        ("redirct = 'any'", ", line 1: there is no key 'redirct': did you mean redirect?"),
        ("Log_Level = 3", ", line 1: there is no key 'Log_Level': did you mean log-level?"),
        ("config-dir = '/'", ", line 1: config-dir is an option of the command line only"),
        ("x = 1", f", line 1: there is no key 'x': {PAGE}"),
        ("[service]\nlog-level = 3", ", line 1: [service]: keys stand at the top of the file, in no table"),
        ("[service]\nlog = 3", f", line 1: there is no key 'service': {PAGE}"),
        ("log-level = 3\nlog-level = 4", ": Cannot overwrite a value (at "),
        ("log-level: 3", ": Expected '=' after a key in a key/value pair (at line 1, column 10)"),
        ("log-level = 3\nidle-exit", ": Expected '=' after a key in a key/value pair (at end of document)"),
        ("x = " + "[" * 30_000, ": brackets in brackets, too many of them"),
        (b"\0\1\2", ": Invalid statement (at line 1, column 1)"),
        (b"# a\n\xff\xfe", " is not text in UTF-8 (line 2)"),
        ("#" * (MAX_CONFIGURATION_FILE + 1), " is larger than 64 KiB"),
    ],
)
def test_what_is_wrong_is_named(text: str | bytes, said: str, tmp_path: Path) -> None:
    found = problems(written(tmp_path, text))
    assert len(found) == 1 and found[0].startswith(said), found


def test_everything_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    directory = written(tmp_path, "log-level = 7\nx = 1\nidle-exit = 5", a="=", b="colour = 1")
    found = read(directory, ME)
    assert len(found.problems) == 4
    assert found.settings == {"idle-exit": Setting(300.0, f"idle-exit in {directory}/config.toml")}


def test_of_very_much_that_is_wrong_the_service_says_the_beginning(tmp_path: Path) -> None:
    directory = written(tmp_path, "".join(f"x{number} = 1\n" for number in range(5000)))
    with pytest.raises(WrongConfiguration) as wrong:
        options(parse([f"--config-dir={directory}"]))
    assert str(wrong.value).endswith("; and 4992 more (ovpnctl config-check)") and len(str(wrong.value)) < 2000


def test_files_that_are_not_read(tmp_path: Path) -> None:
    directory = written(tmp_path)
    for name in ("README", "a.toml.dpkg-old", ".a.toml.swp", ".a.toml"):
        (directory / "config.d" / name).write_text("=")
    assert problems(directory) == []


def test_hostile_files(tmp_path: Path) -> None:
    directory = written(tmp_path)
    target = directory / "config.toml"

    def said() -> str:
        [problem] = problems(directory)
        return problem

    target.chmod(0o664)
    assert said() == f" may be written by group {target.stat().st_gid} (mode 0664): chmod go-w"
    target.chmod(0o646)
    assert said() == " may be written by everybody (mode 0646): chmod go-w"
    target.chmod(0o644)
    other = read(directory, (ME[0] + 1,)).problems
    assert other == [f"{directory} belongs to user {ME[0]}, not to root: chown root"]
    os.truncate(target, 100 * 1024 * 1024)
    assert said() == " is larger than 64 KiB"
    target.rename(directory / "elsewhere")
    target.symlink_to(directory / "elsewhere")
    assert said() == " is a symbolic link: put the file itself there"
    target.unlink()
    target.symlink_to(directory / "nowhere")
    assert said() == " is a symbolic link: put the file itself there"
    target.unlink()
    target.mkdir()
    assert said() == " is no regular file"
    target.rmdir()
    os.mkfifo(target)  # nobody writes it
    assert said() == " is no regular file"
    target.unlink()
    (directory / "config.d").chmod(0o777)
    assert said() == "config.d may be written by everybody (mode 0777): chmod go-w"
    (directory / "config.d").rmdir()
    (directory / "config.d").write_text("")
    assert said() == "config.d: Not a directory"


def test_a_directory_of_others(tmp_path: Path) -> None:
    directory = written(tmp_path, "log-level = 7")
    directory.chmod(0o775)
    [problem] = read(directory, ME).problems
    assert problem.startswith(f"{directory} may be written by group")
    plain = tmp_path / "file"
    plain.write_text("")
    assert read(plain, ME).problems == [f"{plain}: Not a directory"]


def test_too_many_files(tmp_path: Path) -> None:
    many = {f"f{number}": "" for number in range(MAX_CONFIGURATION_FILES + 1)}
    assert problems(written(tmp_path, **many)) == ["config.d has 65 files, more than 64: put them together"]
