"""Whether a text is a client's profile at all, by what it has and lacks."""

from collections.abc import Iterable

from .options import OPTIONS
from .other_formats import other_format
from .syntax import Option


def server_locked(options: Iterable[Option]) -> bool:
    """Whether this is a profile without a user's certificate, for any user of one server."""
    return any(option.name == "setenv" and option.params[:1] == ("GENERIC_CONFIG",) for option in options)


def missing_required(options: Iterable[Option]) -> tuple[str, ...]:
    """The options that a client's profile needs and that are missing, named as by OpenVPN 3 Linux."""
    names = {option.name for option in options}
    if "connection" in names:
        names.add("remote")  # its blocks are read, and checked, when the whole profile is compiled
    needed = {
        "--ca": {"ca", "pkcs12", "peer-fingerprint"},
        "--client or --tls-client": {"client", "tls-client"},
        "--dev": {"dev", "dev-type"},
        "--remote": {"remote"},
    }
    return tuple(text for text, any_of in needed.items() if names.isdisjoint(any_of))


def problem(text: str, options: Iterable[Option]) -> str | None:
    """Why `text`, with these options, is no valid profile; what front-ends know, in the words of OpenVPN 3 Linux."""
    options = list(options)
    if server_locked(options):
        return "Server locked profiles are unsupported"
    missing = missing_required(options)
    if not missing:
        return None
    known = f"Configuration profile is missing required options: {', '.join(missing)}"
    if not options:
        return f"the profile is empty. {known}"
    if other := other_format(text):
        return other
    if not any(option.name in OPTIONS for option in options):
        return f"nothing in it is an option of OpenVPN: is this a profile? {known}"
    return known
