"""Sessions whose key is on a PKCS#11 token, for the tests of them."""

from ...policy.dbus_numbers import CREDENTIALS, InputGroup
from ..lab.lab import Lab
from ..lab.service import Service
from .authentication import Question
from .sessions import UserSession, begin

PIN = "pin-5e1f-alice"


def question(number: int = 0, label: str = "alice") -> Question:
    return Question(CREDENTIALS, InputGroup.PK_PASSPHRASE, number, "pkcs11_pin", f"{label} PIN", hidden=True)


def started_with_tokens(lab: Lab, *options: str) -> Service:
    """A server, and the service with the tokens as its provider."""
    lab.server()
    return lab.supervisor(lab.tokens.option, *options)


def with_token(
    lab: Lab, identity: str = "", user: str = "alice", provider: str = "soft", protocol: str = "udp"
) -> UserSession:
    """A new session of a profile that uses a token."""
    lines = [f"pkcs11-providers {provider}", *([f"pkcs11-id '{identity}'"] if identity else [])]
    return begin(lab, user=user, certified=False, protocol=protocol, more=lines)
