"""What the engine asks about a PKCS#11 token: who answers, and what is never done by itself."""

import base64
import subprocess
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from ...ipc.messages import InputSlot
from ...policy.dbus_numbers import InputGroup
from ...policy.limits import MAX_CERTIFICATES
from ...worker.session.certificate_name import common_name
from ...worker.session.management import CertificateCount, CertificateEntry
from ...worker.session.pkcs11_prompts import WrongPin
from ...worker.session.questions import CannotAnswer, Questions
from ...worker.session.user_input import UserInput
from ..lab.pki import Pki

NEED_PIN = "Need 'alice token' password"
NEED_TOKEN = "NEED-OK:Need 'token-insertion-request' confirmation MSG:Please insert alice token"
NEED_ID = "NEED-STR:Need 'pkcs11-id-request' string MSG:Please specify PKCS#11 id to use"
FIRST, SECOND = r"maker/model/1/alice/01", r"maker/model/2/spare\x20card/0a"
PIN = InputSlot("pkcs11_pin", "alice PIN", True)


def typed(user: UserInput, name: str, value: str) -> None:
    user.take(name, memoryview(value.encode()))


def asked(reply: object) -> InputSlot:
    """The one question that a reply is."""
    assert isinstance(reply, Questions) and reply.group is InputGroup.PK_PASSPHRASE
    [slot] = reply.slots
    return slot


def der(name: str) -> bytes:
    certificate = Pki().authority.issue(name).certificate
    return x509.load_pem_x509_certificate(certificate.encode()).public_bytes(Encoding.DER)


def entry(identity: str, name: str) -> CertificateEntry:
    return CertificateEntry(identity, base64.b64encode(der(name)).decode())


def test_a_pin_is_asked_for_and_used_once() -> None:
    user = UserInput()
    assert asked(user.wanted(NEED_PIN)) == PIN
    assert user.query == NEED_PIN
    typed(user, "pkcs11_pin", 'say "1234"')
    assert user.wanted(NEED_PIN) == [bytearray(rb'password "alice token" "say \"1234\""')]
    assert user.query == ""
    with pytest.raises(WrongPin, match="PKCS11_PIN_FAIL: the token alice did not accept"):
        user.wanted(NEED_PIN)


def test_a_pin_is_asked_for_again_when_the_first_one_was_right() -> None:
    user = UserInput()
    for settle in (user.login_accepted, user.before_attempt):
        typed(user, "pkcs11_pin", "1234")
        user.wanted(NEED_PIN)  # forgets it, if it was for another token
        typed(user, "pkcs11_pin", "1234")
        assert user.wanted(NEED_PIN) == [bytearray(b'password "alice token" "1234"')]
        settle()
        assert asked(user.wanted(NEED_PIN)) == PIN


def test_a_pin_goes_to_no_other_token() -> None:
    user = UserInput()
    assert asked(user.wanted(NEED_PIN)) == PIN
    typed(user, "pkcs11_pin", "1234")
    assert asked(user.wanted("Need 'bob token' password")).label == "bob PIN"
    assert asked(user.wanted(NEED_PIN)) == PIN, "it is forgotten"


@pytest.mark.parametrize("label", ["o'neill", "a token", "Auth", "", 'x "y"', "Need 'x"])
def test_labels_of_all_kinds(label: str) -> None:
    user = UserInput()
    query = f"Need '{label} token' password"
    user.wanted(query)
    typed(user, "pkcs11_pin", "1")
    commands = user.wanted(query)
    assert isinstance(commands, list)
    [command] = commands
    escaped = label.replace('"', r"\"")
    assert command == bytearray(f'password "{escaped} token" "1"'.encode())


def test_a_server_cannot_ask_for_a_pin() -> None:
    user = UserInput()
    typed(user, "pkcs11_pin", "1234")
    reply = user.wanted("Need 'Auth' username/password SC:1,x token' password")
    assert isinstance(reply, Questions) and reply.group is InputGroup.USER_PASSWORD


def test_what_is_not_known_is_no_pin() -> None:
    for query in (
        "Need 'alice' password",
        "Need 'alice token' username/password",
        "Do Need 'alice token' password",
        "PK_SIGN:abc",
        "NEED-OK:Need 'x'",
    ):
        with pytest.raises(CannotAnswer, match="not supported"):
            UserInput().wanted(query)


def test_a_missing_token_is_asked_for_until_it_is_there() -> None:
    user = UserInput()
    for _ in range(2):
        assert asked(user.wanted(NEED_TOKEN)) == InputSlot("pkcs11_token", "Insert token alice, then answer yes", False)
        typed(user, "pkcs11_token", "whatever")
        assert user.wanted(NEED_TOKEN) == ['needok "token-insertion-request" ok']


def test_the_only_certificate_is_taken() -> None:
    user = UserInput()
    assert user.wanted(NEED_ID) == ["pkcs11-id-count"]
    assert user.listed(CertificateCount(1)) == ["pkcs11-id-get 0"]
    assert user.listed(entry(FIRST, "alice")) == [f'needstr "pkcs11-id-request" "{FIRST}"']
    assert user.query == ""
    assert user.wanted(NEED_ID) == [f'needstr "pkcs11-id-request" "{FIRST}"'], "it is remembered"


def test_one_of_several_certificates_is_chosen() -> None:
    user = UserInput()
    for answer in ("", "0", "3", "x", "²", "1" * 40):
        typed(user, "pkcs11_id", answer)
        assert user.wanted(NEED_ID) == ["pkcs11-id-count"]
        assert user.listed(CertificateCount(2)) == ["pkcs11-id-get 0", "pkcs11-id-get 1"]
        assert user.listed(entry(FIRST, "alice")) == []
        slot = asked(user.listed(entry(SECOND, "Alice, home")))
        choice = "1: alice (01 on alice), 2: Alice, home (0a on spare card)"
        assert slot == InputSlot("pkcs11_id", f"Number of the certificate ({choice})", False)
        assert user.query == NEED_ID
    typed(user, "pkcs11_id", "2")
    escaped = SECOND.replace("\\", "\\\\")
    assert user.wanted(NEED_ID) == [f'needstr "pkcs11-id-request" "{escaped}"']


def test_without_a_certificate_the_token_is_asked_for_and_looked_at_again() -> None:
    user = UserInput()
    lists: list[list[CertificateCount | CertificateEntry]] = [
        [CertificateCount(0)],
        [CertificateCount(2), CertificateEntry(), CertificateEntry()],
    ]
    for found in lists:
        assert user.wanted(NEED_ID) == ["pkcs11-id-count"]
        *_, reply = [user.listed(event) for event in found]
        assert asked(reply).name == "pkcs11_token"
        typed(user, "pkcs11_token", "yes")


def test_what_is_told_unasked_means_nothing() -> None:
    user = UserInput()
    assert user.listed(CertificateCount(1)) == []
    user.wanted(NEED_ID)
    user.query = ""  # the engine has begun another attempt
    assert user.listed(CertificateCount(1)) == []


def test_the_number_of_certificates_is_bounded() -> None:
    user = UserInput()
    user.wanted(NEED_ID)
    commands = user.listed(CertificateCount(10**18))
    assert isinstance(commands, list) and len(commands) == MAX_CERTIFICATES


@pytest.mark.parametrize("name", ["alice", "Grün & Söhne", "x" * 64])
def test_the_name_in_a_certificate(name: str) -> None:
    assert common_name(der(name)) == name


def test_certificates_without_a_name() -> None:
    for nothing in (
        b"",
        b"\x30",
        b"\x30\x80",
        b"\x30\x02\x30\x00",
        b"\x30\x84\xff\xff\xff\xff",
        der("x")[:100],
        der("x")[:-1],
    ):
        assert common_name(nothing) == ""


@given(st.binary(max_size=200))
def test_any_bytes_have_a_name_or_none(data: bytes) -> None:
    common_name(data)
    common_name(b"\x30" + bytes([len(data) & 0x7F]) + data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_certificate_has_a_name_or_none(at: int, byte: int) -> None:
    damaged = bytearray(CERTIFICATE)
    damaged[at % len(damaged)] = byte
    common_name(bytes(damaged))


CERTIFICATE = der("alice")


def test_no_codec_is_loaded_for_a_name() -> None:
    """In a worker there would be no file to load it from."""
    code = (
        "import sys\n"
        "from openvpn3_sessionmgr.worker.session.certificate_name import _TEXTS\n"
        "before = set(sys.modules)\n"
        "[b'x'.decode(text) for text in _TEXTS.values()]\n"
        "print(*(set(sys.modules) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
