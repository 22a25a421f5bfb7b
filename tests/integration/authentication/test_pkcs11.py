"""Keys on PKCS#11 tokens: SoftHSM as the card, its PIN typed by the user."""

import os
import re
import shutil
from pathlib import Path

import pytest

from ....policy.dbus_numbers import CREDENTIALS, InputGroup
from ....policy.sandbox.confinement import START_CAPABILITIES
from ....policy.sandbox.layers import ALL, Layer, join
from ...lab import service
from ...lab.connection import BusError
from ...lab.lab import Lab
from ...lab.openvpn import TUNNEL_ADDRESS
from ...lab.surroundings import ALICE
from ...lab.tokens import CONFIGURATION, MODULE, Token
from ...support import service_life
from ...support.authentication import (
    BEGUN,
    ON_THE_WAY,
    REQUIRE_USER,
    Question,
    answer,
    connect,
    questions,
    restart,
    story,
)
from ...support.service_life import field
from ...support.sessions import (
    CONNECTED,
    FAILED,
    PAUSED,
    RECONNECTING,
    UserSession,
    begin,
    processes_of_sessions,
    wait_gone,
)
from ...support.terminal import Terminal
from ...support.token_sessions import PIN, question, started_with_tokens, with_token

NEEDED = "PIN of the token alice needed"
ASKED = [*BEGUN, f"attention PK_PASSPHRASE {NEEDED}", f"CFG_REQUIRE_USER {NEEDED}"]
HOW_TO_ADD = "the administrator adds one with the service's option --pkcs11-provider NAME=MODULE"


def test_the_right_pin(lab: Lab, token: Token) -> None:
    started_with_tokens(lab)
    session = with_token(lab, token.identities[0])
    assert story(session) == ASKED
    assert answer(session, pkcs11_pin=PIN) == [question()]
    before = session.seen
    connect(session)
    assert story(session, before) == [*ON_THE_WAY, "CONN_CONNECTED"]
    assert lab.echo(TUNNEL_ADDRESS, b"inside") == b"inside"


def test_its_session_has_all_layers(lab: Lab, token: Token) -> None:
    made = started_with_tokens(lab)
    user = with_token(lab, token.identities[0])
    connect(user, pkcs11_pin=PIN)
    other = begin(lab, "other", user="bob")
    service_life.wait_until(lambda: made.log.count("Confined by ") == 2)
    said = [line.split("Confined by ")[1] for line in made.log.splitlines() if "Confined by " in line]
    layers = join(ALL - {Layer.CGROUP})
    assert [line.replace("cgroup,", "") for line in said] == [layers, layers]
    for session in (user, other):
        assert [field(one.pid, "Seccomp_filters") for one in (session.worker, session.engine)] == ["3", "3"]
    assert lab.echo(TUNNEL_ADDRESS, b"confined") == b"confined"


def test_a_module_that_starts_threads(lab: Lab) -> None:
    """OpenSC ends the whole engine where it cannot; without a reader there is no card to be found."""
    [module] = Path("/usr/lib").glob("*-linux-gnu*/opensc-pkcs11.so")
    lab.server()
    lab.supervisor(f"--pkcs11-provider=card={module},/etc/opensc")
    session = with_token(lab, "OpenSC/PKCS\\x2315/0001/missing/01", provider="card")
    connect(session, REQUIRE_USER, pkcs11_pin=PIN)
    assert [one.label for one in questions(session)] == ["Insert token missing, then answer yes"]
    assert Path(f"/proc/{session.engine.pid}/status").read_text().count("Seccomp:\t2") == 1


@pytest.mark.parametrize("layers", ["none", "root", "mount", "mount,root"])
def test_without_a_root_or_mounts_of_their_own_all_sessions_see_providers(lab: Lab, token: Token, layers: str) -> None:
    made = started_with_tokens(lab, f"--sandbox={layers}")
    connect(with_token(lab, token.identities[0]), pkcs11_pin=PIN)
    other = begin(lab, "other", user="bob")
    shown = layers != "mount,root"
    assert seen_by(other, lab.tokens.directory).is_dir() is shown
    said = "PKCS#11: all sessions can see the files of all providers"
    assert (said in made.log) is shown


def test_no_second_pin_when_it_connects_again(lab: Lab, token: Token) -> None:
    server = lab.server(protocol="tcp")
    lab.supervisor(lab.tokens.option)
    session = with_token(lab, token.identities[0], protocol="tcp")
    connect(session, pkcs11_pin=PIN)
    restart(session)
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED)
    before = session.seen
    session.call("Resume")
    session.wait(CONNECTED, before)
    before = session.seen
    server.stop()
    session.wait(RECONNECTING, before)
    server.start()
    session.wait(CONNECTED, before, deadline=30)
    assert REQUIRE_USER not in [int(line[2:].split()[0]) for line in story(session, before) if line.startswith("2,")]
    assert lab.echo(TUNNEL_ADDRESS, b"again") == b"again"


def test_the_wrong_pin_is_tried_once(lab: Lab, token: Token) -> None:
    started_with_tokens(lab)
    session = with_token(lab, token.identities[0])
    processes = [session.worker, session.engine]
    before = session.seen
    _, _, text = connect(session, FAILED, pkcs11_pin="0000")
    assert text.startswith("PKCS11_PIN_FAIL: the token alice did not accept the PIN")
    wait_gone(processes)
    assert story(session, before) == [*ON_THE_WAY, f"CONN_FAILED {text}"]
    session.call("Disconnect")
    again = with_token(lab, token.identities[0])
    connect(again, pkcs11_pin=PIN)


def test_the_only_certificate_is_taken(lab: Lab, token: Token) -> None:
    started_with_tokens(lab)
    session = with_token(lab)
    session.call("Ready")
    assert connect(session, REQUIRE_USER) == (2, REQUIRE_USER, NEEDED)
    assert answer(session, pkcs11_pin=PIN) == [question()]
    connect(session)
    restart(session)


def test_one_of_many_certificates_is_chosen(lab: Lab) -> None:
    lab.tokens.add("alice", PIN, lab.pki.stranger.issue("wrong one"), lab.pki.client)
    lab.tokens.add("spare card", "1234", lab.pki.stranger.issue("another"))
    started_with_tokens(lab)
    session = with_token(lab)
    assert connect(session, REQUIRE_USER) == (2, REQUIRE_USER, "Choose a certificate of your token")
    [asked] = questions(session)
    assert (asked.group, asked.name, asked.hidden) == (3, "pkcs11_id", False)
    offered = dict(re.findall(r"([123]): ([^,)]+\([^)]+\))", asked.label))
    assert sorted(offered.values()) == ["another (01 on spare card)", "client (02 on alice)", "wrong one (01 on alice)"]
    [right] = [number for number, name in offered.items() if name.startswith("client ")]
    before = session.seen
    connect(session, REQUIRE_USER, pkcs11_id="4")
    assert [one.name for one in questions(session)] == ["pkcs11_id"], "there is no fourth"
    assert connect(session, REQUIRE_USER, pkcs11_id=right) == (2, REQUIRE_USER, NEEDED)
    connect(session, pkcs11_pin=PIN)
    before = session.seen
    restart(session)
    assert story(session, before) == ["CONN_RECONNECTING", "CONN_RECONNECTING", "CONN_CONNECTED"]


def test_a_token_that_is_not_there(lab: Lab, token: Token) -> None:
    started_with_tokens(lab)
    session = with_token(lab, token.identities[0].replace("/alice/", "/missing/"))
    assert answer(session, pkcs11_pin=PIN) == [question(label="missing")]
    text = "Insert token missing"
    for number in (1, 2):  # it is asked for until it is there
        assert connect(session, REQUIRE_USER) == (2, REQUIRE_USER, text)
        insertion = Question(
            CREDENTIALS, InputGroup.PK_PASSPHRASE, number, "pkcs11_token", f"{text}, then answer yes", hidden=False
        )
        assert answer(session, pkcs11_token="yes") == [insertion]
    connect(session, REQUIRE_USER)
    processes = [session.worker, session.engine]
    session.call("Disconnect")
    wait_gone(processes)


@pytest.mark.parametrize("question_of", ["certificate", "token", "PIN"])
def test_a_pause_while_something_is_asked(lab: Lab, token: Token, question_of: str) -> None:
    """The engine stands in the middle of its question, and asks it again after the pause."""
    lab.tokens.add("spare", "1234", *([lab.pki.client] if question_of == "certificate" else []))
    started_with_tokens(lab)
    if question_of == "token":
        session = with_token(lab, token.identities[0].replace("/alice/", "/missing/"))
        answer(session, pkcs11_pin=PIN)
    else:
        session = with_token(lab)
    _, _, text = connect(session, REQUIRE_USER)
    before = session.seen
    session.call("Pause", "s", "lunch")
    session.wait(PAUSED, before)
    session.call("Resume")
    assert session.wait(REQUIRE_USER, before) == (2, REQUIRE_USER, text)
    assert [one.name for one in questions(session)] == [
        {"certificate": "pkcs11_id", "token": "pkcs11_token", "PIN": "pkcs11_pin"}[question_of]
    ]
    if question_of == "PIN":
        connect(session, pkcs11_pin=PIN)


def test_a_certificate_that_is_not_on_the_token(lab: Lab, token: Token) -> None:
    started_with_tokens(lab)
    missing = token.identities[0].removesuffix("01") + "99"
    session = with_token(lab, missing)
    _, _, text = connect(session, FAILED, pkcs11_pin=PIN)
    assert text == f'Cannot use the PKCS#11 token: Cannot load certificate "{missing}" using PKCS#11 interface'


def test_the_path_of_a_listed_module_is_as_good_as_its_name(lab: Lab, token: Token) -> None:
    started_with_tokens(lab)
    connect(with_token(lab, token.identities[0], provider=MODULE), pkcs11_pin=PIN)


@pytest.mark.parametrize("provider", ["/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", "/tmp/evil.so", "hard"])
def test_what_is_not_listed_is_refused(lab: Lab, token: Token, provider: str) -> None:
    started_with_tokens(lab)
    with pytest.raises(BusError) as error:
        with_token(lab, token.identities[0], provider=provider)
    assert f"'{provider}' is not a provider on this machine; there are: soft; {HOW_TO_ADD}" in error.value.text
    assert not processes_of_sessions()


def test_without_any_provider(lab: Lab) -> None:
    lab.supervisor()
    with pytest.raises(BusError) as error:
        with_token(lab, provider="soft")
    assert f"there is none; {HOW_TO_ADD}" in error.value.text


def test_a_provider_that_is_not_there_costs_only_its_own_sessions(lab: Lab, token: Token) -> None:
    missing = lab.directory / "vendor.so"
    made = started_with_tokens(lab, f"--pkcs11-provider=vendor={missing}")
    problem = f"provider vendor cannot be used: {missing} did not exist at service start"
    made.process.wait_line(f"The PKCS#11 {problem}")
    with pytest.raises(BusError, match=problem):
        with_token(lab, provider="vendor")
    connect(with_token(lab, token.identities[0]), pkcs11_pin=PIN)


def test_only_sessions_that_use_a_provider_see_it(lab: Lab, token: Token) -> None:
    started_with_tokens(lab)
    user = with_token(lab, token.identities[0])
    other = begin(lab, "other")
    module = Path(MODULE).resolve()
    for path in (Path(MODULE), CONFIGURATION, lab.tokens.directory):
        inside = seen_by(user, path)
        assert os.path.samestat(inside.stat(), path.stat())
        assert os.statvfs(inside).f_flag & os.ST_RDONLY
        hidden = seen_by(other, path)
        assert not (list(hidden.iterdir()) if hidden.is_dir() else hidden.read_bytes()) if hidden.exists() else True
    assert not list(seen_by(user, Path("/providers")).iterdir()), "the stage is out of reach"
    gid = lab.tokens.directory.stat().st_gid
    for session, groups in ((user, [gid]), (other, [])):
        for process in (session.worker, session.engine):
            [line] = [
                line
                for line in Path(f"/proc/{process.pid}/status").read_text().splitlines()
                if line.startswith("Groups:")
            ]
            assert [int(word) for word in line.split()[1:]] == groups
    assert seen_by(other, module).exists(), "it lies among the libraries that every session sees"


def test_a_module_among_the_libraries_is_hidden_when_it_is_listed(lab: Lab, token: Token) -> None:
    module = Path(MODULE).resolve()
    lab.server()
    lab.supervisor(lab.tokens.option.replace(MODULE, str(module)))
    user = with_token(lab, token.identities[0])
    other = begin(lab, "other")
    assert seen_by(user, module).read_bytes() == module.read_bytes()
    assert seen_by(other, module).read_bytes() == b""
    connect(user, pkcs11_pin=PIN)


def test_root_with_few_capabilities_shows_what_a_group_may_read(lab: Lab, token: Token) -> None:
    """As under systemd: CAP_DAC_OVERRIDE is not among them."""
    lab.server()
    vendor = lab.directory / "vendor"
    vendor.mkdir()
    module = vendor / "module.so"
    shutil.copyfile(MODULE, module)
    gid = lab.tokens.directory.stat().st_gid
    for place in (vendor, lab.tokens.directory):
        os.chown(place, ALICE.uid, gid)
        place.chmod(0o750)
    service_life.make_directories(lab)
    option = lab.tokens.option.replace(MODULE, str(module))
    with service_life.started(lab, option, through=service_life.with_only(lab, *START_CAPABILITIES)) as process:
        service_life.wait_ready(lab)
        connect(with_token(lab, token.identities[0]), pkcs11_pin=PIN)
        assert "cannot be used" not in process.text


def seen_by(session: UserSession, path: Path) -> Path:
    """What a session's processes see at `path`."""
    return Path(f"/proc/{session.engine.pid}/root") / path.relative_to("/")


def test_ovpnctl_asks_for_the_pin(lab: Lab, token: Token) -> None:
    started_with_tokens(lab)
    profile = lab.file("work.ovpn", lab.profile(certified=False, more=["pkcs11-providers soft"]))
    command = [service.OVPNCTL, "session-start", "--timeout", "15", "--config", str(profile)]
    environment = {**lab.bus.environment(), "TERM": "xterm"}
    with Terminal(lab.client_side.command(command, "alice"), environment) as shown:
        shown.answer("alice PIN: ", PIN)
        shown.wait("Connected to ")
        assert shown.finish() == 0
    assert PIN not in shown.text
