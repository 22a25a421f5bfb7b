"""What to write in place of an option that a profile cannot have, in the words of that profile."""

import re

from ...policy.profile.syntax import Option, ProfileTextError, render
from .values import ProfileRefused, names_file, refusal

_MAX_ADVICE = 200  # characters of a line that is quoted
_ATTRIBUTE = re.compile(r"/(?=[A-Za-z][A-Za-z0-9.]*=)")


def advice(option: Option, reason: str) -> str:
    """Why `option` is refused, with what to write instead where that follows from its value."""
    if option.name == "tls-remote" and len(option.params) == 1 and (line := _verify_x509_name(option.params[0])):
        return f"{reason}, here: {line}"
    return reason


def no_file(option: Option) -> ProfileRefused:
    """The refusal of an option that names a file or directory."""
    if option.name == "crl-verify" and len(option.params) > 1:
        return refusal(
            option,
            "names a directory, which cannot be embedded; put the list of revoked certificates (PEM) between "
            "<crl-verify> and </crl-verify>",
        )
    return names_file(option, option.params[0], option.name)


def _verify_x509_name(name: str) -> str:
    """The line that checks the name of tls-remote: a subject as OpenVPN 2.3 wrote it, or a common name."""
    subject = [part for part in _ATTRIBUTE.split(name) if part] if name.startswith("/") else []
    params = (", ".join(subject), "subject") if subject else (name, "name")
    try:
        line = render(Option("verify-x509-name", params)).strip()
    except ProfileTextError:
        return ""
    return line if line.isprintable() and len(line) <= _MAX_ADVICE else ""
