"""Names that OpenVPN does not know, and that look like an option which protects: left out, it would not protect.

OpenVPN itself refuses any name that it does not know.  Profiles carry options of other clients, so here they are left
out; but not one that is likely to be a slip of the pen.
"""

import re

from .options import OPTIONS

# Without them, a tunnel comes up that is open to more than its author wanted.
PROTECTING = frozenset(
    (
        *("remote-cert-tls", "remote-cert-ku", "remote-cert-eku", "ns-cert-type", "verify-x509-name", "verify-hash"),
        *("peer-fingerprint", "crl-verify", "tls-version-min", "tls-cert-profile", "tls-cipher", "tls-ciphersuites"),
        *("tls-groups", "tls-auth", "tls-crypt", "tls-crypt-v2", "auth-nocache", "redirect-gateway", "block-ipv6"),
        *("route-nopull", "pull-filter", "explicit-exit-notify"),
    )
)
_LONG_ENOUGH = 8  # letters of a name that one letter does not make another word
_BLANKS = re.compile(r"[\s\u200b-\u200d\u2060\ufeff]+")
_DASHES = re.compile(r"[_\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")


def meant(name: str) -> str | None:
    """The option that `name`, which is none, is likely to be meant for; None if it is unlike any that matters.

    It differs in case, by blanks or dashes of another alphabet, or from an option that protects by one letter.
    """
    first, *rest = [word for word in _BLANKS.split(name) if word] or [""]
    first = _DASHES.sub("-", first).strip("-").lower()
    if first in PROTECTING or (rest and first in OPTIONS):
        return first
    if len(first) < _LONG_ENOUGH:
        return None
    return next((option for option in sorted(PROTECTING) if _one_letter_apart(first, option)), None)


def _one_letter_apart(one: str, other: str) -> bool:
    """Whether one letter more, less or other, or two in the wrong order, make one word of the other."""
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if start is None:
        return True
    rest, wanted = one[start:], other[start:]
    swapped = rest[1:2] + rest[:1] + rest[2:]
    return wanted in (rest[1:], swapped) or rest == wanted[1:] or rest[1:] == wanted[1:]
