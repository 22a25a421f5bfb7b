"""Files that are taken for profiles and are something else."""

import re
from collections.abc import Iterable

from ...policy.profile.options import OPTIONS
from ...policy.profile.syntax import Option

_KINDS = {
    r"PK\x03\x04": "this is an archive; unpack it, and take the profile in it",
    r"\s*(<!doctype html|<html|<head|<\?xml)": "this is a web page; its site may want you to log in before a download",
    r"\s*\{\\rtf": "this is a document of a word processor; save it as plain text",
    r"\s*-----BEGIN ": "this is a certificate or key; the profile is another file, which names or contains it",
    r"(?s).*^\[Interface\].*^PrivateKey": "this is a configuration of WireGuard, which is another kind of VPN",
    r"\s*\Z": "this is an empty file",
}
_PATTERNS = {re.compile(pattern, re.IGNORECASE | re.MULTILINE): text for pattern, text in _KINDS.items()}
_LOOKED_AT = 4096  # characters


def what_it_is(text: str, options: Iterable[Option] | None) -> str:
    """What a text that is no profile probably is; empty if it is not known.  `options` are None if it has no form."""
    begin = text[:_LOOKED_AT].removeprefix("\ufeff")
    if found := next((kind for pattern, kind in _PATTERNS.items() if pattern.match(begin)), ""):
        return found
    if options is not None and not any(option.name in OPTIONS for option in options):
        return "no option of OpenVPN is in it; is this a profile?"
    return ""
