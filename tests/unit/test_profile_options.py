"""The table of profile options, held against the manual pages, and against the engine that is installed here."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ...policy.profile.options import ALLOWED, IGNORED, OPTIONS, REFUSED, TAKEN_OVER, Embed, Treatment
from ..support.skipping import cannot_run_here

CLASSES = {
    Treatment.ALLOWED: ALLOWED,
    Treatment.TAKEN_OVER: TAKEN_OVER,
    Treatment.IGNORED: IGNORED,
    Treatment.REFUSED: REFUSED,
}

# The options that each manual page describes, one a line.
LISTS = sorted(Path(__file__).with_name("openvpn_options").iterdir())

# What must never reach the engine from a profile, whoever edits the table.
DANGEROUS = {
    "runs a program or loads code": """
        up down route-up route-pre-down ipchange plugin tls-verify learn-address client-connect client-disconnect
        auth-user-pass-verify tls-crypt-v2-verify client-crresponse dns-updown script-security setenv-safe iproute
        up-delay up-restart down-pre engine pkcs11-providers""",
    "reads a file or directory": """
        config capath cd chroot client-config-dir show-pkcs11-ids askpass auth-gen-token-secret cryptoapicert dh
        ifconfig-pool-persist""",
    "writes a file": """
        log log-append status writepid replay-persist genkey memstats tls-export-cert export-peer-cert-dir tmp-dir
        syslog""",
    "changes the identity of the process": "user group setcon daemon nice mlock",
    "opens the management interface to others": """
        management management-client management-external-key management-external-cert management-hold
        management-query-remote management-query-proxy management-query-passwords management-log-cache
        management-up-down management-signal management-client-user management-client-group
        management-forget-disconnect""",
    "makes the engine say what is secret": "verb echo parameter errors-to-stderr",
    "sends packets without encryption, or makes SIGHUP do so": "remap-usr1 secret no-replay test-crypto",
    "serves others": "server server-ipv6 server-bridge tls-server mode port-share",
    "takes network or device out of our hands": """
        dev dev-type dev-node mktun rmtun route-noexec ifconfig-noexec route-table mark lladdr txqueuelen auth-retry""",
    "ends the engine at once": "help version",
}

# Options of which the engine ignores further parameters.
ENGINE_TAKES_MORE = {"bind-dev", "compat-mode", "force-tls-key-material-export"}


def engine_says(tmp_path: Path, *lines: str) -> str:
    """What openvpn prints about a configuration whose last line it does not know."""
    config = tmp_path / "profile"
    config.write_text("\n".join([*lines, "end-of-profile", ""]))
    done = subprocess.run(
        ["openvpn", "--config", str(config)], cwd=tmp_path, capture_output=True, text=True, timeout=10, check=False
    )
    return done.stdout


def options_in_help() -> set[str]:
    text = subprocess.run(["openvpn", "--help"], capture_output=True, text=True, check=False).stdout
    # "--reneg-*" names several options at once.
    return set(re.findall(r"^ *--([a-z0-9][a-z0-9-]*[a-z0-9])(?![a-z0-9-])", text, re.MULTILINE))


def described(file: Path) -> set[str]:
    """The names in a list; its first line tells where they are from."""
    source, *names = file.read_text().splitlines()
    assert source.startswith("# ") and file.name in source
    assert names == sorted(set(names))
    return set(names)


def options_in_manual() -> set[str]:
    text = subprocess.run(
        ["man", "openvpn"], capture_output=True, text=True, env={"MANWIDTH": "200", "PATH": "/usr/bin:/bin"}, check=True
    ).stdout
    plain = re.sub(r".\x08|\x1b\[[0-9;]*m", "", text)
    return set(re.findall(r"^ {1,9}--([a-z0-9][a-z0-9-]*[a-z0-9])\b", plain, re.MULTILINE))


def words_in_binary() -> set[str]:
    """Everything in the engine's binary that could be an option name: its linker shares the ends of strings."""
    binary = Path(subprocess.run(["which", "openvpn"], capture_output=True, text=True, check=True).stdout.strip())
    ends = {end.decode() for end in re.findall(rb"[a-z0-9-]{2,38}(?=\0)", binary.read_bytes())}
    return {end[at:] for end in ends for at in range(len(end) - 1) if end[at] != "-"}


def test_every_option_is_in_exactly_one_class() -> None:
    assert sum(map(len, CLASSES.values())) == len(OPTIONS)
    for treatment, rows in CLASSES.items():
        assert all(rule.treatment is treatment and rule.reason for rule in rows.values())


@pytest.mark.parametrize("source", [options_in_help, options_in_manual])
def test_every_option_of_the_installed_engine_is_in_the_table(source: Callable[[], set[str]]) -> None:
    found = source()
    assert len(found) > 200
    assert found - set(OPTIONS) == set()


def test_no_undocumented_option_of_the_installed_engine_is_missing(tmp_path: Path) -> None:
    words = sorted(words_in_binary() - set(OPTIONS))
    assert len(words) > 4000
    lines = [" ".join([word, *["2"] * count]) for word in words for count in range(4)]
    said = engine_says(tmp_path, "setenv FORWARD_COMPATIBLE 1", "verb 1", *lines)  # unknown options are warned about
    unknown = set(map(int, re.findall(r"Unrecognized option or missing .*:(\d+): ", said)))
    assert [line for number, line in enumerate(lines, 3) if number not in unknown] == []


@pytest.mark.parametrize("file", LISTS, ids=lambda file: file.name)
def test_every_option_of_the_manual_pages_is_in_the_table(file: Path) -> None:
    names = described(file)
    assert len(names) > 250
    assert names - set(OPTIONS) == set()


def test_there_is_a_list_for_each_version() -> None:
    assert {file.name[:3] for file in LISTS} == {"2.6", "2.7"}


def test_a_list_is_what_the_installed_manual_page_describes() -> None:
    version = subprocess.run(["openvpn", "--version"], capture_output=True, text=True, check=False).stdout.split()[1]
    # Patch releases do not add options; of another minor version the test above has to do.
    lists = [file for file in LISTS if file.name[:3] == version[:3]]
    if not lists:
        cannot_run_here(f"there is no list for OpenVPN {version}")
    for file in lists:
        assert options_in_manual() == described(file)


@pytest.mark.parametrize("act", DANGEROUS)
def test_dangerous_options_are_not_allowed(act: str) -> None:
    dangerous = set(DANGEROUS[act].split())
    assert dangerous - set(OPTIONS) == set()
    assert dangerous & set(ALLOWED) == set()


@pytest.mark.parametrize("name", sorted(name for name in ALLOWED if name != "connection"))
def test_engine_accepts_the_numbers_of_parameters_that_the_table_allows(name: str, tmp_path: Path) -> None:
    rule = ALLOWED[name]
    if rule.embed is Embed.MUST:
        said = engine_says(tmp_path, f"<{name}>", "x", f"</{name}>")
        assert "Unrecognized option" not in said or "end-of-profile" in said
        return
    # The engine is asked about up to two parameters: some values of a third are newer than 2.6.
    for count in range(rule.least, min(rule.most, 2) + 1):
        said = engine_says(tmp_path, " ".join([name, *["2"] * count]))
        assert f":1: {name} " not in said, said
    if rule.least:
        assert "end-of-profile" not in engine_says(tmp_path, " ".join([name, *["2"] * (rule.least - 1)]))
    if rule.most < 4 and name not in ENGINE_TAKES_MORE:
        assert "end-of-profile" not in engine_says(tmp_path, " ".join([name, *["2"] * (rule.most + 1)]))
