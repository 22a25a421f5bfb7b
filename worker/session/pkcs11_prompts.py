"""Prompts about PKCS#11 tokens: which certificate, which PIN, and whether the token is inserted.

The engine asks for each over its management interface (openvpn's management-notes.txt, needok, needstr,
pkcs11-id-count, pkcs11-id-get).  Nothing of this is tried again by itself: a few wrong PINs lock a token.
"""

import base64
import re

import msgspec

from ...ipc.messages import InputSlot
from ...policy.dbus_numbers import InputGroup
from ...policy.limits import MAX_CERTIFICATES
from ...policy.profile.pkcs11 import token_label
from . import secret
from .certificate_name import common_name
from .management import CertificateCount, CertificateEntry, quote
from .questions import CannotAnswer, Commands, Questions, one_line

PIN = "pkcs11_pin"
IDENTITY = "pkcs11_id"
INSERTED = "pkcs11_token"

INSERTION_REQUEST = "token-insertion-request"
IDENTITY_REQUEST = "pkcs11-id-request"

# Greedy, since a label may contain anything; the name of the request for a PIN is the label and " token".
_PIN_REQUEST = re.compile(r"Need '(?P<label>.*) token' password")
_INSERTION = re.compile(r"MSG:Please insert (?P<label>.*) token$")


class WrongPin(CannotAnswer):
    """The token did not take the PIN; the text is for the user."""


class _Certificate(msgspec.Struct, frozen=True):
    identity: str
    name: str


class Pkcs11Prompts:
    """What is known about the token of one session.  PINs are not kept here, nor anywhere once they were used."""

    def __init__(self) -> None:
        self.label = ""  # of the token whose PIN the user was asked for
        self._pin_given = False  # to the engine, which has not shown yet that it was right
        self._identity = ""  # of the certificate to use
        self._certificates: list[_Certificate] = []
        self._to_come = 0  # certificates that the engine has still to tell about
        self.listing = False

    def pin_is_settled(self) -> None:
        """The engine has connected, or begins another attempt: another request for a PIN has another reason."""
        self._pin_given = False

    # The PIN

    def asked_for(self, label: str, pin: bytearray) -> Commands | Questions:
        """The engine asks for the PIN of a token; `pin`, which is overwritten, is what the user typed, if anything.

        Raises WrongPin when it asks once more.
        """
        self.label = label
        if not pin:
            if self._pin_given:
                raise WrongPin(
                    f"PKCS11_PIN_FAIL: the token {one_line(label)} did not accept the PIN; it was tried once only, "
                    "since wrong PINs lock a token"
                )
            return self.pin_question(label)
        self._pin_given = True
        parameter = secret.quoted(pin)
        command = secret.joined(f"password {quote(f'{label} token')} ".encode(), parameter)
        secret.overwrite(pin, parameter)
        return [command]

    def pin_question(self, label: str) -> Questions:
        """The question for the PIN of a token."""
        self.label = label
        slot = InputSlot(PIN, one_line(f"{label} PIN"), True)
        text = one_line(f"PIN of the token {label} needed")
        return Questions(InputGroup.PK_PASSPHRASE, (slot,), text, text)

    # The token itself

    def insert(self, query: str, confirmed: bool) -> Commands | Questions:
        """The engine misses a token; `confirmed` tells that the user says it is there."""
        if confirmed:
            return [f"needok {quote(INSERTION_REQUEST)} ok"]
        found = _INSERTION.search(query)
        return _insertion(f"Insert token {found['label']}" if found else "Insert the token")

    # The certificate

    def choose(self, answer: str) -> Commands:
        """The engine wants to know which certificate to use; `answer` is what the user chose, or nothing."""
        if answer.isascii() and answer.isdigit() and 0 < int(answer[:9]) <= len(self._certificates):
            self._identity = self._certificates[int(answer) - 1].identity
        elif any(answer == one.identity for one in self._certificates):
            self._identity = answer
        if self._identity:
            return [self._identified()]
        self.listing = True
        self._certificates = []
        return ["pkcs11-id-count"]

    def listed(self, event: CertificateCount | CertificateEntry) -> Commands | Questions:
        """The engine tells what certificates there are: go on asking it, ask the user, or take the only one."""
        if isinstance(event, CertificateCount):
            self._to_come = min(event.count, MAX_CERTIFICATES)
            if self._to_come:
                return [f"pkcs11-id-get {number}" for number in range(self._to_come)]
        else:
            self._to_come -= 1
            if event.identity:
                self._certificates.append(_Certificate(event.identity, _named(event)))
            if self._to_come > 0:
                return []
        self.listing = False
        if not self._certificates:
            return _insertion("No certificate was found: insert the token")
        if len(self._certificates) == 1:
            self._identity = self._certificates[0].identity
            return [self._identified()]
        choice = ", ".join(f"{number}: {one.name}" for number, one in enumerate(self._certificates, 1))
        slot = InputSlot(IDENTITY, f"Number of the certificate ({choice})", False)
        text = "Choose a certificate of your token"
        return Questions(InputGroup.PK_PASSPHRASE, (slot,), text, text)

    def _identified(self) -> str:
        return f"needstr {quote(IDENTITY_REQUEST)} {quote(self._identity)}"


def pin_request(query: str) -> str | None:
    """The label of the token whose PIN the engine asks for, if it does."""
    found = _PIN_REQUEST.fullmatch(query)
    return found["label"] if found else None


def _named(entry: CertificateEntry) -> str:
    try:
        name = common_name(base64.b64decode(entry.certificate, validate=True))
    except ValueError:
        name = ""
    label = token_label(entry.identity)
    where = f"{entry.identity.rpartition('/')[2]} on {label}" if label else entry.identity
    return one_line(f"{name} ({where})" if name else where)[:80]


def _insertion(text: str) -> Questions:
    label = one_line(text)
    slot = InputSlot(INSERTED, one_line(f"{text}, then answer yes"), False)
    return Questions(InputGroup.PK_PASSPHRASE, (slot,), label, label)
