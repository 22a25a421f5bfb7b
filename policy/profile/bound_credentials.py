"""Credentials that the administrator gives to profiles: by which name each is found, and what it may be.

A name has a digest of all by which somebody chooses where an answer is sent: whose profile it is, its text, and its
overrides.  So one that is changed, or belongs to another user, has no credentials; what a profile is called does not
count.  The names fit systemd.exec(5), LoadCredential=.
"""

from collections.abc import Mapping
from hashlib import sha256

import msgspec

from ..limits import MAX_INPUT
from .overrides import SECRET_OVERRIDES

PREFIX = "openvpn3-sessionmgr"
DIRECTORY = "CREDENTIALS_DIRECTORY"  # the variable that names where systemd has put those of a unit
# What a profile may ask before its session connects; what a server asks later is for its user.
QUESTIONS = frozenset(
    ("username", "password", "static_challenge", "pk_passphrase", "pkcs11_pin", "http_proxy_user", "http_proxy_pass")
)


def fingerprint(owner: int, text_digest: str, overrides: Mapping[str, bool | str]) -> str:
    """Of a profile of this user, whose text has this digest: hexadecimal digits.

    Secret overrides do not count: whoever sees the fingerprint could try out which they are.
    """
    counted = sorted((name, value) for name, value in overrides.items() if name not in SECRET_OVERRIDES and value != "")
    return sha256(msgspec.json.encode([owner, text_digest, counted])).hexdigest()


def credential_name(of_profile: str, question: str) -> str:
    """The name of the credential that answers a question, for a profile with this fingerprint; empty if none may."""
    return f"{PREFIX}.{of_profile}.{question}" if of_profile and question in QUESTIONS else ""


def answer_in(content: bytes) -> str:
    """The answer that a credential has, which may end with a newline.  Raises ValueError, without the content."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError("it is empty")
    if len(text.encode()) > MAX_INPUT:
        raise ValueError(f"it is longer than the {MAX_INPUT} bytes that OpenVPN takes")
    if any(character in text for character in "\r\n\0"):
        raise ValueError("it is more than one line")
    return text
