"""Whether a block holds what its name says: certificates, keys, lists, by their headers (RFC 7468).

Whether they are good is for the engine to say.
"""

import re

from ...policy.profile.options import Embed, Rule
from ...policy.profile.syntax import Option

_CERTIFICATE = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
_STATIC_KEY = ("OpenVPN Static key V1",)
# By block: labels of which one must be there, the most usual one first.
LABELS = {
    **dict.fromkeys(("ca", "cert", "extra-certs"), _CERTIFICATE),
    **dict.fromkeys(("tls-auth", "tls-crypt"), _STATIC_KEY),
    "tls-crypt-v2": ("OpenVPN tls-crypt-v2 client key",),
    "crl-verify": ("X509 CRL",),
    "key": ("PRIVATE KEY",),  # and others that end so
}
_BEGIN = re.compile(r"-----BEGIN ([^\n]{1,60}?)-----")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")


def unfit(option: Option, rule: Rule) -> str:
    """Why `option`, if it is a block, cannot be one or does not hold what it should; "" if it may."""
    if option.block is None:
        return ""
    if rule.embed is Embed.NEVER:
        return "cannot be a block"
    if not option.block.strip():
        return "is an empty block: is this a template to be filled in?"
    wanted = LABELS.get(option.name)
    if wanted is None:
        return ""
    there = _BEGIN.findall(option.block)
    fitting = [label for label in there if label in wanted or (option.name == "key" and label.endswith(wanted[0]))]
    missing = f"-----BEGIN {wanted[0]}-----"
    if not there:
        # A header that was left away is the engine's to complain of.
        return "" if _BASE64.fullmatch(option.block) else f"holds no {missing}: is this a template to be filled in?"
    if not fitting:
        return f"holds {_shown(there[0])}, but no {missing}"
    if f"-----END {fitting[0]}-----" not in option.block:
        return f"is cut off: after -----BEGIN {fitting[0]}----- there is no -----END {fitting[0]}-----"
    return ""


def _shown(label: str) -> str:
    return label if label.isprintable() else ascii(label)
